/** `/health` and `/metrics`: whether the API can do its work, and how much there is. For those who watch over it, not for clients. */
import type { FastifyInstance } from 'fastify';
import { KINDS } from './records.js';
import { StoreError } from './store/store.js';
import type { Service } from './service.js';
import type { Followers } from './topology/followers.js';

/** The store is asked at most so often. */
const PROBE_EVERY_MS = 1000;

interface Health {
  readonly store: { readonly readable: boolean; readonly writable: boolean; readonly reason?: string };
  readonly revision: number;
  /** How many read the feed, and how far the slowest is from the newest revision. */
  readonly followers: { readonly count: number; readonly behind: number };
}

/** Counts the answers of an API by status. */
export function countAnswers(app: FastifyInstance): ReadonlyMap<number, number> {
  // From the start, so that the first of them is one that something can be compared with.
  const answers = new Map<number, number>([
    [500, 0],
    [503, 0],
  ]);
  app.addHook('onResponse', (_request, reply, done) => {
    answers.set(reply.statusCode, (answers.get(reply.statusCode) ?? 0) + 1);
    done();
  });
  return answers;
}

export function registerHealth(
  app: FastifyInstance,
  { database, followers }: Service,
  { answers, version }: { readonly answers: ReadonlyMap<number, number>; readonly version: string },
): void {
  let last = -Infinity;
  let store: Health['store'] = { readable: true, writable: true };
  const health = (): Health => {
    const now = performance.now();
    if (now - last >= PROBE_EVERY_MS) {
      store = storeOf(database);
      last = now;
    }
    return {
      store,
      revision: database.revision,
      followers: followersOf(followers, database.revision),
    };
  };
  app.get('/health', async (_request, reply) => {
    const found = health();
    const { readable, writable } = found.store;
    const isWell = readable && writable;
    await reply.code(isWell ? 200 : 503).send({ status: isWell ? 'ok' : 'failing', ...found });
  });
  app.get('/metrics', async (_request, reply) => {
    const { store, revision, followers: behind } = health();
    const runs = `{version="${version}",node="${process.versions.node}"}`;
    const lines = [
      ...metric('portcullis_api_build_info', 'gauge', 'What runs here; always 1.', [[runs, 1]]),
      ...metric('portcullis_api_store_writable', 'gauge', 'Whether the store takes changes.', [
        ['', Number(store.writable)],
      ]),
      ...metric('portcullis_api_store_readable', 'gauge', 'Whether the store is what was written there.', [
        ['', Number(store.readable)],
      ]),
      ...metric('portcullis_api_revision', 'counter', 'Revision of the newest change.', [['', revision]]),
      ...metric('portcullis_api_followers', 'gauge', 'Readers of the feed.', [['', behind.count]]),
      ...metric('portcullis_api_follower_lag_revisions', 'gauge', 'Of the slowest reader of the feed.', [
        ['', behind.behind],
      ]),
      ...metric(
        'portcullis_api_objects',
        'gauge',
        'Objects by kind.',
        KINDS.map((kind) => [`{kind="${kind}"}`, database.view.count(kind)]),
      ),
      ...metric(
        'portcullis_api_answers_total',
        'counter',
        'Answers by status.',
        [...answers].map(([code, count]) => [`{code="${code.toString()}"}`, count]),
      ),
    ];
    await reply.type('text/plain; version=0.0.4').send(`${lines.join('\n')}\n`);
  });
}

function metric(
  name: string,
  type: 'gauge' | 'counter',
  help: string,
  values: readonly (readonly [labels: string, value: number])[],
): readonly string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...values.map(([labels, value]) => `${name}${labels} ${value.toString()}`),
  ];
}

/** What is not what it was is not written, either. */
function storeOf(database: Service['database']): Health['store'] {
  const unreadable = whyNot(() => {
    database.look();
  });
  if (unreadable !== undefined) return { readable: false, writable: false, reason: unreadable };
  const unwritable = whyNot(() => {
    database.probe();
  });
  return {
    readable: true,
    writable: unwritable === undefined,
    ...(unwritable === undefined ? {} : { reason: unwritable }),
  };
}

function whyNot(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof StoreError) return error.message;
    throw error;
  }
}

function followersOf(followers: Followers, revision: number): Health['followers'] {
  const told = followers.revisions();
  return { count: told.length, behind: told.length === 0 ? 0 : revision - Math.min(...told) };
}
