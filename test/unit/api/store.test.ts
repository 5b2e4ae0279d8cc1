/** The embedded store, and the database before it. */
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Database } from '../../../src/api/database.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import { digestIn, seal, toggled } from '../../../src/api/store/sealed.js';
import { Recent } from '../../../src/api/store/recent.js';
import { checkSchema, SCHEMA } from '../../../src/api/store/schema.js';
import { StoreError, type Changes, type Commit, type Store } from '../../../src/api/store/store.js';

let folder: string;
let store: LmdbStore;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-store-'));
  store = await LmdbStore.open(folder);
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

const changes = (entries: Readonly<Record<string, string | undefined>>): Changes => new Map(Object.entries(entries));

it('keeps what was committed, by key, over a restart', async () => {
  expect(await store.load()).toEqual({ schema: undefined, revision: 0, entries: new Map() });
  expect(await store.commit(0, changes({ a: '1', b: '2' }))).toBe(1);
  expect(await store.commit(1, changes({ a: undefined, c: '3' }))).toBe(2);
  await store.close();
  store = await LmdbStore.open(folder);
  expect(await store.load()).toEqual({
    schema: SCHEMA,
    revision: 2,
    entries: new Map([
      ['b', '2'],
      ['c', '3'],
    ]),
  });
});

it('refuses a change that was made from something older, whole', async () => {
  await store.commit(0, changes({ a: '1' }));
  expect(await store.commit(0, changes({ a: '2', b: '2' }))).toBe('conflict');
  expect((await store.load()).entries).toEqual(new Map([['a', '1']]));
});

it('tells of each transaction, in order, from any revision that it remembers', async () => {
  await store.commit(0, changes({ a: '1' }));
  await store.commit(1, changes({ a: '2' }));
  const heard: Commit[] = [];
  let gaps = 0;
  const listener = {
    onCommit: (commit: Commit) => heard.push(commit),
    onGap: () => gaps++,
  };
  const stop = store.watch(1, listener);
  await store.commit(2, changes({ b: '3' }));
  stop();
  await store.commit(3, changes({ b: '4' }));
  expect(heard.map(({ revision }) => revision)).toEqual([2, 3]);
  await store.close();
  store = await LmdbStore.open(folder);
  store.watch(2, listener);
  expect(gaps).toBe(1);
  store.watch(99, listener);
  expect(gaps).toBe(2);
});

it('is served by one process at a time; others may read', async () => {
  await expect(LmdbStore.open(folder)).rejects.toThrow(StoreError);
  await store.commit(0, changes({ a: '1' }));
  const reader = await LmdbStore.open(folder, 'read');
  expect((await reader.load()).entries).toEqual(new Map([['a', '1']]));
  await reader.close();
});

it('has an identity of its own, which it keeps over a restart and in a copy', async () => {
  const { identity } = store;
  expect(identity).toMatch(/^[0-9a-f-]{36}$/);
  await store.close();
  cpSync(folder, `${folder}-copy`, { recursive: true });
  const copy = await LmdbStore.open(`${folder}-copy`);
  expect(copy.identity).toBe(identity);
  await copy.close();
  const another = await LmdbStore.open(`${folder}-another`);
  expect(another.identity).not.toBe(identity);
  await another.close();
  for (const end of ['copy', 'another']) rmSync(`${folder}-${end}`, { recursive: true });
  store = await LmdbStore.open(folder);
  expect(store.identity).toBe(identity);
});

it('of a newer version is left alone', () => {
  expect(() => {
    checkSchema('x', SCHEMA + 1);
  }).toThrow(/newer version/);
  checkSchema('x', SCHEMA);
  checkSchema('x', undefined);
});

// The database

const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };

function addressGroup(id: string): { readonly id: string } & Parameters<typeof putName>[1] {
  return {
    id,
    project_id: 'a',
    name: id,
    description: '',
    addresses: [],
    created_at: '',
    updated_at: '',
    revision_number: 1,
  };
}

type AddressGroup = Extract<Awaited<ReturnType<Database['view']['get']>>, { readonly addresses: unknown }>;

function putName(database: Database, group: AddressGroup): Promise<void> {
  return database.change(NOBODY, (writer) => {
    writer.put('address_group', group);
  });
}

/** Commits are refused as often as is said, or fail. */
class Unwilling implements Store {
  newest: Store['newest'] = async () => this.inner.newest();

  look(): void {
    return;
  }

  probe(): void {
    return;
  }

  readonly name = 'unwilling';
  readonly identity = undefined;
  conflicts = 0;
  isFull = false;

  constructor(
    private readonly inner: LmdbStore,
    readonly keepsViews = false,
  ) {}

  load: Store['load'] = async () => this.inner.load();
  watch: Store['watch'] = (revision, listener) => this.inner.watch(revision, listener);
  close: Store['close'] = async () => Promise.resolve();

  commit: Store['commit'] = async (base, made) => {
    if (this.isFull) throw new StoreError('no space left on device');
    if (this.conflicts-- > 0)
      await this.inner.commit(base, changes({ [`address_group/other${base.toString()}`]: undefined }));
    return this.inner.commit(base, made);
  };
}

it('a change that somebody else came before is computed again', async () => {
  const unwilling = new Unwilling(store);
  const database = await Database.open(unwilling, () => undefined);
  unwilling.conflicts = 3;
  let runs = 0;
  await database.change(NOBODY, (writer) => {
    runs++;
    writer.put('address_group', addressGroup('x'));
  });
  expect(runs).toBe(4);
  expect(database.view.get('address_group', 'x')?.name).toBe('x');
  expect(database.revision).toBe(4);
});

it('what agents cannot be told of is not changed, and not seen', async () => {
  const database = await Database.open(new Unwilling(store, true), () => undefined);
  const change = database.change(NOBODY, (writer) => {
    writer.put('address_group', { ...addressGroup('x'), addresses: ['\ud800'] });
  });
  await expect(change).rejects.toThrow('URI malformed');
  expect(database.view.get('address_group', 'x')).toBeUndefined();
});

it('a process that the lock does not keep out is noticed by its revision, and everything is read again', async () => {
  const database = await Database.open(store, () => undefined);
  await putName(database, addressGroup('x'));
  const heard: string[] = [];
  database.listen(({ changes: told }) => {
    heard.push(...told.map(({ id }) => id));
  });
  const stranger = open({ path: folder, noSubdir: false, maxDbs: 2 });
  const sealed = seal('address_group/theirs', { ...addressGroup('theirs') });
  stranger.transactionSync(() => {
    stranger.openDB<string, string>({ name: 'entries', encoding: 'string' }).putSync('address_group/theirs', sealed);
    const meta = stranger.openDB<number | string, string>({ name: 'meta', encoding: 'json' });
    meta.putSync('sum', toggled(String(meta.get('sum')), digestIn(sealed)));
    meta.putSync('revision', 2);
  });
  await putName(database, addressGroup('y'));
  expect([...database.view.all('address_group')].map(({ id }) => id).sort()).toEqual(['theirs', 'x', 'y']);
  expect(database.revision).toBe(3);
  expect(heard).toEqual(['theirs', 'y']);
  await stranger.close();
});

it('when what another process wrote is no store any more, changes are refused, and what was known stays', async () => {
  const database = await Database.open(store, () => undefined);
  await putName(database, addressGroup('x'));
  const stranger = open({ path: folder, noSubdir: false, maxDbs: 2 });
  stranger.transactionSync(() => {
    stranger.openDB<string, string>({ name: 'entries', encoding: 'string' }).putSync('address_group/theirs', '{}');
    stranger.openDB<number, string>({ name: 'meta', encoding: 'json' }).putSync('revision', 2);
  });
  await expect(putName(database, addressGroup('y'))).rejects.toThrow(/damaged/);
  expect([...database.view.all('address_group')].map(({ id }) => id)).toEqual(['x']);
  await stranger.close();
});

it('what the store cannot take is as if it had never been, and the next change goes through', async () => {
  const unwilling = new Unwilling(store);
  const database = await Database.open(unwilling, () => undefined);
  unwilling.isFull = true;
  await expect(putName(database, addressGroup('x'))).rejects.toThrow('no space left');
  expect([database.view.count('address_group'), database.revision]).toEqual([0, 0]);
  unwilling.isFull = false;
  await putName(database, addressGroup('y'));
  expect([...database.view.all('address_group')].map(({ id }) => id)).toEqual(['y']);
});

it('a change that throws leaves nothing; those that wait with it are there', async () => {
  const database = await Database.open(store, () => undefined);
  const results = await Promise.allSettled([
    putName(database, addressGroup('x')),
    database.change(NOBODY, (writer) => {
      writer.put('address_group', addressGroup('y'));
      writer.delete('address_group', 'x');
      throw new Error('refused');
    }),
    putName(database, addressGroup('z')),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect([...database.view.all('address_group')].map(({ id }) => id).sort()).toEqual(['x', 'z']);
  // Both in one transaction.
  expect(database.revision).toBe(1);
});

it('a change of a whole cloud, of more records than a call takes arguments, is one change', async () => {
  const database = await Database.open(store, () => undefined);
  const count = 150_000;
  await database.change(NOBODY, (writer) => {
    for (let id = 0; id < count; id++) writer.put('address_group', addressGroup(id.toString()));
  });
  expect([database.revision, database.view.count('address_group')]).toEqual([1, count]);
});

it('nobody sees a change before the store has it', async () => {
  const database = await Database.open(store, () => undefined);
  const made = putName(database, addressGroup('x'));
  expect(database.view.count('address_group')).toBe(0);
  await made;
  expect(database.view.count('address_group')).toBe(1);
});

describe('a file that is not as it was written', () => {
  /** A store with many records, closed. */
  async function written(): Promise<string> {
    await store.commit(
      0,
      changes(
        Object.fromEntries(Array.from({ length: 3000 }, (_, number) => [`k${number.toString()}`, 'x'.repeat(200)])),
      ),
    );
    await store.close();
    return join(folder, 'data.mdb');
  }
  const opened = async (): Promise<unknown> => {
    try {
      store = await LmdbStore.open(folder);
      await Database.open(store, () => undefined);
      return 'opened';
    } catch (error) {
      return error;
    }
  };
  const renew = async (): Promise<void> => {
    rmSync(folder, { recursive: true });
    store = await LmdbStore.open(folder);
  };

  it.each<[string, (file: string) => void]>([
    ['empty', (file) => truncateSync(file, 0)],
    ['cut in the middle', (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ['cut after its head', (file) => truncateSync(file, 8192)],
    ['short of a page', (file) => truncateSync(file, statSync(file).size - 4096)],
    ['of text', (file) => writeFileSync(file, 'not a store '.repeat(4000))],
    ['with another byte in a record', (file) => overwrite(file, 'xxxxxxxx', 'xxxxyxxx')],
    ['with another key', (file) => overwrite(file, 'k1234', 'k9234')],
  ])('%s, is one clear line', async (_what, damage) => {
    damage(await written());
    const found = await opened();
    expect(found).toBeInstanceOf(StoreError);
    expect(String(found)).toMatch(/damaged|cannot be opened/);
    expect(String(found)).not.toContain('\n');
    await renew();
  });

  it('as it was written, is opened', async () => {
    await written();
    await store.close().catch(() => undefined);
    store = await LmdbStore.open(folder);
    expect((await store.load()).entries.size).toBe(3000);
  });

  it('a record that is missing, or of an older time, is noticed', async () => {
    await store.commit(0, changes({ a: '1', b: '2' }));
    await store.close();
    const raw = open({ path: folder, noSubdir: false, maxDbs: 2 });
    const entries = raw.openDB<string, string>({ name: 'entries', encoding: 'string' });
    entries.removeSync('a');
    await raw.close();
    store = await LmdbStore.open(folder);
    await expect(store.load()).rejects.toThrow(/records are missing/);
  });
});

function overwrite(file: string, old: string, by: string): void {
  const content = readFileSync(file);
  for (let at = content.indexOf(old); at >= 0; at = content.indexOf(old, at + 1)) content.write(by, at);
  writeFileSync(file, content);
}

it('is for its owner alone, also one that was not', async () => {
  const mode = (name: string): number => statSync(join(folder, name)).mode & 0o777;
  expect([mode('data.mdb'), mode('lock.mdb')]).toEqual([0o600, 0o600]);
  await store.close();
  chmodSync(join(folder, 'data.mdb'), 0o644);
  store = await LmdbStore.open(folder);
  expect(mode('data.mdb')).toBe(0o600);
});

it('remembers changes only as far as they are not too large together', () => {
  const recent = new Recent<{ readonly revision: number; readonly bytes: number }>();
  for (let revision = 1; revision <= 100; revision++) recent.add({ revision, bytes: 1024 * 1024 });
  expect(recent.after(99, 100)).toHaveLength(1);
  expect(recent.after(50, 100)).toBeUndefined();
  expect(recent.after(100, 100)).toEqual([]);
});
