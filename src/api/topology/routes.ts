/**
 * `/portcullis/v1/topology`: the topology as one document or, with `?watch`, as a feed: JSON lines, the first with everything or with
 * what was missed since `from`, then one for each change, and an empty line every few seconds. For agents and `export`.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { isAdmin, isAgent } from '../caller.js';
import { backupOf, recordsOfBackup, restore } from '../backup.js';
import { badRequest, forbidden } from '../errors.js';
import { ImportError } from '../import.js';
import { callerOf, parametersOf, type Service } from '../service.js';
import type { AppliedChange } from '../database.js';
import type { Followers } from './followers.js';
import { changeLine, exportDocument, wholeLine } from './lines.js';

/** Between signs of life, in milliseconds. The reader gives up after three that did not come. */
const SIGN_OF_LIFE_MS = 10_000;
/** What a reader may leave unread, in bytes, before it is cut off: it may come again. */
const MOST_UNREAD_BYTES = 64 * 1024 * 1024;

export function registerTopology(app: FastifyInstance, { database, followers }: Service): void {
  app.get('/topology', async (request, reply) => {
    const caller = callerOf(request);
    if (!isAdmin(caller) && !isAgent(caller)) throw forbidden('rule:get_topology');
    const parameters = parametersOf(request);
    if (parameters.has('watch')) {
      watch(database, followers, missedBy(database, parameters), reply);
      return reply;
    }
    return exportDocument(database.view);
  });
}

/** Of a backup. */
const MOST_BACKUP_BYTES = 1024 * 1024 * 1024;

/** `/portcullis/v1/backup`: everything in one document, and back, while the API is at work. For administrators. */
export function registerBackup(app: FastifyInstance, { database }: Service): void {
  app.get('/backup', (request) => {
    if (!isAdmin(callerOf(request))) throw forbidden('rule:get_backup');
    return backupOf(database);
  });
  app.put('/backup', { bodyLimit: MOST_BACKUP_BYTES }, async (request) => {
    const caller = callerOf(request);
    if (!isAdmin(caller)) throw forbidden('rule:restore_backup');
    try {
      const records = recordsOfBackup(request.body);
      return { restored: await restore(database, caller, records, parametersOf(request).has('replace')) };
    } catch (error) {
      throw error instanceof ImportError ? badRequest(error.message) : error;
    }
  });
}

/** The changes that a reader asks for who was here before; undefined where it needs everything. */
function missedBy(
  database: Service['database'],
  parameters: ReturnType<typeof parametersOf>,
): readonly AppliedChange[] | undefined {
  const [from, session] = [parameters.get('from'), parameters.get('session')];
  if (from === null || session === null || !/^\d{1,15}$/.test(from)) return undefined;
  return database.since(session, Number(from));
}

function watch(
  database: Service['database'],
  followers: Followers,
  missed: readonly AppliedChange[] | undefined,
  reply: FastifyReply,
): void {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { 'Content-Type': 'application/x-ndjson', 'X-Portcullis-Session': database.session });
  let taken = 0;
  const send = (line: { readonly revision: number }): void => {
    raw.write(`${JSON.stringify(line)}\n`, (error) => {
      if (error === null || error === undefined) taken = line.revision;
    });
    if (raw.writableLength > MOST_UNREAD_BYTES) raw.destroy();
  };
  const tell = (change: AppliedChange): void => {
    send(changeLine(database.view, change) ?? { revision: change.revision });
  };
  if (missed === undefined) send(wholeLine(database));
  else {
    missed.forEach(tell);
    // Who comes back hears at once that nothing was missed: it took the connection for lost.
    if (missed.length === 0) send({ revision: database.revision });
  }
  const stop = database.listen((change) => {
    try {
      tell(change);
    } catch (error) {
      // Cut off, the reader comes again and is told what it missed, or why that cannot be told.
      raw.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  });
  const unfollow = followers.add({ revision: () => taken });
  const life = setInterval(() => raw.write('\n'), SIGN_OF_LIFE_MS);
  raw.once('close', () => {
    clearInterval(life);
    unfollow();
    stop();
  });
}
