/**
 * Two versions beside each other. What version 0.1.0 told agents and wrote for them is recorded in test/recorded. It is read as it was
 * meant; and what is told today is no more than that, field by field, since an agent of that version takes an object with a field that it
 * does not know for a bad one. Whoever adds a field raises the version of what is told: then such an agent keeps what it has and says why.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Database } from '../../../src/api/database.js';
import { recordsOf } from '../../../src/api/import.js';
import { KINDS } from '../../../src/api/records.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import { viewChanges, type RecordPair } from '../../../src/api/topology/host-view.js';
import { wholeLine } from '../../../src/api/topology/lines.js';
import { importRecords } from '../../../src/api/transfer.js';
import { ApiSource } from '../../../src/sources/api/index.js';
import { HostView } from '../../../src/sources/feed/host-view.js';
import type { Scope } from '../../../src/sources/feed/scopes.js';
import { readViewHead } from '../../../src/sources/etcd/layout.js';
import { COLLECTIONS, FEED_VERSION, parseFeedLine, TopologyFeed } from '../../../src/sources/feed/feed.js';
import type { SourceEvent } from '../../../compiler/model/index.js';
import { TestApi } from '../../support/api.js';
import { Followed } from '../../support/followed.js';
import { rulesOf } from '../../support/policy.js';
import { eventually } from '../../support/waiting.js';

type Views = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, unknown>>;

const recorded = (name: string): string => readFileSync(join('test/recorded/0.1.0', name), 'utf8');
const LINES = recorded('feed.ndjson').trim().split('\n');
const VIEWS = JSON.parse(recorded('view.json')) as Views;
const HOSTS = ['host-0', 'host-1'];

function followFeed(lines: readonly string[]): Followed {
  const [feed, followed] = [new TopologyFeed('test'), new Followed()];
  for (const line of lines) followed.take(feed.take(parseFeedLine(line), followed.topology));
  return followed;
}

function followViews(views: Views, host: string): Followed {
  const view = new HostView(host);
  for (let missing = [...view.needed()]; missing.length > 0;) {
    for (const scope of missing) {
      const inside = Object.entries(views).filter(([key]) => key.startsWith(scope));
      view.load(scope, new Map(inside.map(([key, text]) => [key.slice(scope.length), text])));
    }
    missing = [...view.needed()].filter((scope: Scope) => !view.has(scope));
  }
  const followed = new Followed();
  followed.take(new TopologyFeed('test').take(view.line(1, true, 'a-store'), followed.topology));
  return followed;
}

/** What a later version may add, at every place. */
function withMore(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withMore);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]) => [name, withMore(inner)]);
  return { ...Object.fromEntries(entries), from_later: { what: ['nobody knows', 1] } };
}

/** The state that was recorded, in a store of today. */
async function today(): Promise<Database> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-upgrade-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const line = JSON.parse(LINES[0] ?? '') as Fields;
  const content = Object.fromEntries(COLLECTIONS.map((name) => [name, line[name]]));
  const { records, leftOut } = recordsOf([{ file: 'recorded', content }], true);
  expect(leftOut).toEqual([]);
  await importRecords(await LmdbStore.open(folder), records);
  const database = await Database.open(await LmdbStore.open(folder), () => undefined);
  onTestFinished(async () => database.close());
  return database;
}

function byId(list: unknown): ReadonlyMap<string, Fields> {
  return new Map((list as readonly (Fields & { readonly id: string })[]).map((one) => [one.id, one]));
}

it('what was told and what was written are read as they were meant, by whichever way they come', () => {
  const fed = followFeed(LINES);
  expect(fed.problems).toEqual([]);
  expect(fed.ports.size).toBe(4);
  for (const host of HOSTS) {
    const viewed = followViews(VIEWS, host);
    expect(viewed.problems).toEqual([]);
    const rules = rulesOf(fed.topology, host);
    expect(rules).toContain('dport 3306');
    expect(rulesOf(viewed.topology, host)).toBe(rules);
  }
});

it('what is told and written today is what was told and written then, field by field', async () => {
  const database = await today();
  const [then, now] = [JSON.parse(LINES[0] ?? '') as Fields, wholeLine(database) as Fields];
  for (const collection of COLLECTIONS) {
    const [old, young] = [byId(then[collection]), byId(now[collection])];
    expect(old.size).toBeGreaterThan(0);
    for (const [id, fields] of old) expect(young.get(id), `${collection} ${id}`).toEqual(fields);
  }
  const { writes } = viewChanges(
    KINDS.flatMap((kind) =>
      [...database.view.all(kind)].map((after) => ({ kind, before: undefined, after }) as RecordPair),
    ),
  );
  // The record of the views is of a few changes later.
  const common = Object.keys(VIEWS).filter((key) => writes.has(key));
  expect(common.length).toBeGreaterThan(25);
  for (const key of common) {
    const [before, after] = [JSON.parse(VIEWS[key] ?? '') as Fields, JSON.parse(writes.get(key) ?? '') as Fields];
    expect(Object.keys(after), key).toEqual(Object.keys(before));
  }
});

it('an object with a field that is not known stays what it was', () => {
  const [feed, followed] = [new TopologyFeed('test'), new Followed()];
  for (const line of LINES) followed.take(feed.take(parseFeedLine(line), followed.topology));
  const before = followed.content;
  const event = feed.take(parseFeedLine(JSON.stringify(withMore(JSON.parse(LINES[0] ?? '')))), followed.topology);
  followed.take(event);
  expect(event.isolations.length).toBeGreaterThan(4);
  expect(followed.content).toEqual(before);
});

it('what a host of then, and what one of a later version says of itself is taken', async () => {
  const api = await TestApi.open();
  const report = JSON.parse(recorded('report.json')) as Fields;
  for (const [host, body] of [
    ['of-then', report],
    ['of-later', withMore(report)],
  ] as const) {
    const { status } = await api.call('PUT', `/portcullis/v1/hosts/${host}`, body, { roles: 'admin' });
    expect([host, status]).toEqual([host, 204]);
  }
  const { body } = await api.call('GET', '/portcullis/v1/hosts', undefined, { roles: 'admin' });
  const told = body['hosts'] as readonly Fields[];
  expect(told).toHaveLength(2);
  for (const host of told) expect(host).toMatchObject(report);
});

it('what would be misread is not read: the agent keeps what it has, and says who is to be upgraded', async () => {
  const later = (line: string): string =>
    JSON.stringify({ ...(JSON.parse(line) as Fields), version: FEED_VERSION + 1 });
  let lines = [LINES[0] ?? ''];
  // An API of a later version comes in place of this one.
  const server = createServer((_, response) => {
    response.writeHead(200, { 'X-Portcullis-Session': lines.length.toString() });
    for (const line of lines) response.write(`${line}\n`);
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const source = new ApiSource(`http://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`, undefined);
  onTestFinished(() => {
    source.stop();
  });
  const events: SourceEvent[] = [];
  const followed = new Followed();
  source.start(
    (event) => {
      events.push(event);
      if (event.kind !== 'stale') followed.take(event);
    },
    () => followed.topology,
  );
  await eventually(() => followed.ports.size === 4);
  const before = followed.content;
  lines = [later(LINES[0] ?? ''), ''];
  server.closeAllConnections();
  await eventually(() => JSON.stringify(events.at(-1)).includes('newer version'));
  expect(JSON.stringify(events.at(-1))).toContain('upgrade the agent');
  expect(followed.content).toEqual(before);
  expect(() => readViewHead('{"revision":1,"schema":2,"by":"x","view":2}')).toThrow(
    /newer version .* upgrade the agent/,
  );
  expect(readViewHead('{"revision":1,"schema":2,"by":"x"}').revision).toBe(1);
});
