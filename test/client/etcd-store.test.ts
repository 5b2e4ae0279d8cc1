/** The store in etcd, on a real etcd: what the API relies on, and what makes it false. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseEtcdAddress } from '../../src/etcd/address.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { Database } from '../../src/api/database.js';
import { EtcdStore } from '../../src/api/store/etcd.js';
import { SCHEMA } from '../../src/api/store/schema.js';
import { StoreError, UnknownOutcome, type Changes, type Commit, type Json } from '../../src/api/store/store.js';
import { NO_VIEW_CHANGES } from '../../src/api/topology/host-view.js';
import { CERTIFICATE, KEY } from '../support/certificate.js';
import { eventually } from '../support/waiting.js';
import { CutProxy } from '../support/cut-proxy.js';
import { Etcd, type EtcdOptions } from './lab/etcd.js';

const changes = (entries: Readonly<Record<string, Json | undefined>>): Changes => new Map(Object.entries(entries));
const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };

const toEnd: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of toEnd.splice(0).reverse()) await end();
});

async function cluster(options: EtcdOptions = {}): Promise<Etcd> {
  const etcd = await Etcd.start(options);
  toEnd.push(async () => etcd.end());
  return etcd;
}

async function opened(url: string): Promise<EtcdStore> {
  const store = await EtcdStore.open(parseEtcdAddress(url), {});
  toEnd.push(async () => store.close());
  await store.load();
  return store;
}

/** What a store tells from now on. */
function heardOf(store: EtcdStore, revision: number): { readonly commits: Commit[]; gaps: number } {
  const heard = { commits: [] as Commit[], gaps: 0 };
  store.watch(revision, {
    onCommit: (commit) => heard.commits.push(commit),
    onGap: () => heard.gaps++,
  });
  return heard;
}

const revisionsOf = (heard: { readonly commits: readonly Commit[] }): readonly number[] =>
  heard.commits.map(({ revision }) => revision);

describe('one member', () => {
  it('keeps what was committed, by key, over a restart of either', async () => {
    const etcd = await cluster();
    const store = await EtcdStore.open(parseEtcdAddress(etcd.url()), {});
    expect(await store.load()).toEqual({ schema: undefined, revision: 0, entries: new Map(), lacksViews: false });
    expect(await store.commit(0, changes({ a: 1, b: { c: 'ü' } }), NO_VIEW_CHANGES)).toBe(1);
    await eventually(async () => (await store.newest()) === 1);
    const { identity } = store;
    await store.close();
    await etcd.kill(0);
    etcd.run(0);
    await etcd.healthy();
    const again = await EtcdStore.open(parseEtcdAddress(etcd.url()), {});
    toEnd.push(async () => again.close());
    expect(again.identity).toBe(identity);
    const entries = new Map<string, Json>([
      ['a', 1],
      ['b', { c: 'ü' }],
    ]);
    expect(await again.load()).toEqual({ schema: SCHEMA, revision: 1, entries, lacksViews: false });
  });

  it('several write: a change that was made from something older is refused whole, and each hears of all, in order', async () => {
    const etcd = await cluster();
    const [one, other] = [await opened(etcd.url()), await opened(etcd.url())];
    const heard = [heardOf(one, 0), heardOf(other, 0)];
    expect(await one.commit(0, changes({ a: 1 }), NO_VIEW_CHANGES)).toBe(1);
    expect(await other.commit(0, changes({ a: 2, b: 2 }), NO_VIEW_CHANGES)).toBe('conflict');
    await eventually(() => heard.every(({ commits }) => commits.length === 1));
    expect(await other.commit(1, changes({ a: undefined, b: 3 }), NO_VIEW_CHANGES)).toBe(2);
    await eventually(() => heard.every(({ commits }) => commits.length === 2));
    for (const { commits } of heard) {
      expect(commits.map(({ revision, changes: told }) => [revision, Object.fromEntries(told)])).toEqual([
        [1, { a: 1 }],
        [2, { a: undefined, b: 3 }],
      ]);
    }
  });

  it('who asks for the newest revision while others make newer ones is told one, and not that it is of another time', async () => {
    const etcd = await cluster();
    const [writer, reader] = [await opened(etcd.url()), await opened(etcd.url())];
    const heard = heardOf(writer, 0);
    let isOver = false;
    const asking = Array.from({ length: 8 }, async () => {
      for (let before = 0; !isOver;) {
        const newest = await reader.newest();
        expect(newest).toBeGreaterThanOrEqual(before);
        before = newest;
      }
    });
    const writing = async (): Promise<void> => {
      for (let base = 0; base < 300; base++) {
        expect(await writer.commit(base, changes({ a: base }), NO_VIEW_CHANGES)).toBe(base + 1);
        await eventually(() => heard.commits.length > base);
      }
    };
    await Promise.all([writing().finally(() => (isOver = true)), ...asking]);
  });

  it('a commit of more than etcd takes at once is one commit, and so is a record longer than a value may be', async () => {
    const etcd = await cluster();
    const [one, other] = [await opened(etcd.url()), await opened(etcd.url())];
    const [own, heard] = [heardOf(one, 0), heardOf(other, 0)];
    const told = async (count: number): Promise<void> =>
      eventually(() => [own, heard].every(({ commits }) => commits.length === count));
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`k${index}`, { index }]));
    expect(await one.commit(0, changes(many), NO_VIEW_CHANGES)).toBe(1);
    const long = Array.from(
      { length: 200_000 },
      (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255} "ü😀"`,
    );
    await told(1);
    expect(await one.commit(1, changes({ long, k0: undefined }), NO_VIEW_CHANGES)).toBe(2);
    await told(2);
    expect(heard.commits.map((commit) => commit.changes.size)).toEqual([1000, 2]);
    expect(heard.commits[1]?.changes.get('long')).toEqual(long);
    const fresh = await EtcdStore.open(parseEtcdAddress(etcd.url()), {});
    toEnd.push(async () => fresh.close());
    const { entries, revision } = await fresh.load();
    expect([revision, entries.size, entries.get('long'), entries.get('k0')]).toEqual([2, 1000, long, undefined]);
    expect(await one.commit(2, changes({ long: 'short' }), NO_VIEW_CHANGES)).toBe(3);
    await told(3);
    expect(etcd.ctl('get', '--prefix', '--keys-only', '/portcullis/p').trim()).toBe('');
  });

  it('who dies in the middle of a large commit leaves all of it or nothing, and keeps nobody from going on', async () => {
    const etcd = await cluster();
    const near = await opened(etcd.url());
    const heard = heardOf(near, 0);
    const found = new Set<string>();
    // Until each was seen: before the decision, between it and the end, after it.
    for (let round = 0; found.size < 3; round++) {
      const before = heard.commits.length;
      const dying = await opened(etcd.url());
      const names = Array.from({ length: 2000 }, (_, index) => [`${round}-${index}`, { index }] as const);
      const commit = dying.commit(before, changes(Object.fromEntries(names)), NO_VIEW_CHANGES).catch(() => undefined);
      await setTimeout((round * 17) % 300);
      await dying.close();
      await commit;
      const isHalfway = etcd.ctl('get', '/portcullis/head').includes('"next"');
      // Whoever comes next, and whoever was there: both find out.
      const next = await opened(etcd.url());
      const now = await next.newest();
      await eventually(() => heard.commits.length === now);
      const own = heard.commits[before];
      expect([undefined, 2000]).toContain(own?.changes.size);
      if (isHalfway) expect(own?.changes.size).toBe(2000);
      found.add(own === undefined ? 'nothing' : isHalfway ? 'all, carried out by another' : 'all');
      expect(await near.commit(now, changes({ after: round }), NO_VIEW_CHANGES)).toBe(now + 1);
      await eventually(() => heard.commits.length === now + 1);
      await next.close();
    }
    expect(heard.gaps).toBe(0);
  });

  it('parts of a commit stay as long as it can be decided, whatever a clock says of their age, and no longer', async () => {
    const etcd = await cluster();
    const one = await opened(etcd.url());
    const heard = heardOf(one, 0);
    expect(await one.commit(0, changes({ a: 1 }), NO_VIEW_CHANGES)).toBe(1);
    await eventually(() => heard.commits.length === 1);
    // Of a process whose clock is years behind.
    const part = '/portcullis/parts/1-of-somebody/000000';
    etcd.ctl('put', part, '[]');
    await opened(etcd.url());
    expect(etcd.ctl('get', '--keys-only', part).trim()).toBe(part);
    expect(await one.commit(1, changes({ a: 2 }), NO_VIEW_CHANGES)).toBe(2);
    await opened(etcd.url());
    expect(etcd.ctl('get', '--keys-only', part).trim()).toBe('');
  });

  it('an answer that is lost is asked for: what was done is not done twice, and not said to be undone', async () => {
    const etcd = await cluster();
    const proxy = await CutProxy.start(etcd.url());
    toEnd.push(async () => proxy.end());
    const store = await opened(proxy.url);
    for (let revision = 0; revision < 10; revision++) {
      // Whatever etcd says next is lost with the connection, though it has taken what was asked.
      proxy.cutAtNextAnswer();
      expect(await store.commit(revision, changes({ a: revision }), NO_VIEW_CHANGES)).toBe(revision + 1);
      const told = heardOf(store, revision);
      await eventually(() => told.commits.length > 0 || told.gaps > 0);
    }
    expect((await store.load()).entries.get('a')).toBe(9);
  });

  it('a watch that is cut, and cut again, misses nothing', async () => {
    const etcd = await cluster();
    const proxy = await CutProxy.start(etcd.url());
    toEnd.push(async () => proxy.end());
    const [far, near] = [await opened(proxy.url), await opened(etcd.url())];
    const [heard, own] = [heardOf(far, 0), heardOf(near, 0)];
    for (let revision = 0; revision < 40; revision++) {
      expect(await near.commit(revision, changes({ a: revision }), NO_VIEW_CHANGES)).toBe(revision + 1);
      if (revision % 3 === 0) proxy.cut();
      await eventually(() => own.commits.length === revision + 1);
    }
    await eventually(() => heard.commits.length === 40 || heard.gaps > 0);
    expect(heard.gaps).toBe(0);
    expect(revisionsOf(heard)).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
  });

  it('who was away during a compaction is told that it missed something, and loads what there is', async () => {
    const etcd = await cluster();
    const proxy = await CutProxy.start(etcd.url());
    toEnd.push(async () => proxy.end());
    const [far, near] = [await opened(proxy.url), await opened(etcd.url())];
    const [heard, own] = [heardOf(far, 0), heardOf(near, 0)];
    await proxy.refuse();
    for (let revision = 0; revision < 20; revision++) {
      await near.commit(revision, changes({ [`k${revision}`]: revision }), NO_VIEW_CHANGES);
      await eventually(() => own.commits.length === revision + 1);
    }
    etcd.ctl('compact', latest(etcd).toString());
    await proxy.accept();
    await eventually(() => heard.gaps === 1);
    const { revision, entries } = await far.load();
    expect([revision, entries.size]).toEqual([20, 20]);
    const after = heardOf(far, 20);
    await near.commit(20, changes({ last: true }), NO_VIEW_CHANGES);
    await eventually(() => after.commits.length === 1);
  });

  /** Before 3.5.18 a compaction takes away what was deleted at its own revision, and a watch from there says nothing of it. */
  it('who was away while something was deleted and history ended with that does not keep what is gone', async () => {
    const etcd = await cluster();
    const proxy = await CutProxy.start(etcd.url());
    toEnd.push(async () => proxy.end());
    const [far, near] = [await opened(proxy.url), await opened(etcd.url())];
    const [heard, own] = [heardOf(far, 0), heardOf(near, 0)];
    await near.commit(0, changes({ a: 1, b: 1 }), NO_VIEW_CHANGES);
    await eventually(() => heard.commits.length === 1 && own.commits.length === 1);
    await proxy.refuse();
    await near.commit(1, changes({ a: undefined, b: 2 }), NO_VIEW_CHANGES);
    etcd.compact('--physical');
    await proxy.accept();
    await eventually(() => heard.commits.length === 2 || heard.gaps === 1);
    const told = heard.commits[1]?.changes ?? (await far.load()).entries;
    expect([told.get('a'), told.get('b')]).toEqual([undefined, 2]);
    expect(heard.gaps === 1 || told.has('a')).toBe(true);
  });

  it('what nobody can look up any more, since history ended meanwhile, is not said to be undone', async () => {
    const etcd = await cluster();
    const proxy = await CutProxy.start(etcd.url());
    toEnd.push(async () => proxy.end());
    const [far, near] = [await opened(proxy.url), await opened(etcd.url())];
    const own = heardOf(near, 0);
    proxy.refuseAtNextAnswer();
    const answer = far.commit(0, changes({ a: 1 }), NO_VIEW_CHANGES).catch((error: unknown) => error);
    await eventually(() => own.commits.length === 1);
    expect(await near.commit(1, changes({ a: 2 }), NO_VIEW_CHANGES)).toBe(2);
    etcd.compact('--physical');
    await proxy.accept();
    expect(await answer).toBeInstanceOf(UnknownOutcome);
  });

  it('what a newer version left halfway is not carried out by this one, which would say that it is of its own', async () => {
    const etcd = await cluster();
    const one = await opened(etcd.url());
    const own = heardOf(one, 0);
    await one.commit(0, changes({ a: 1 }), NO_VIEW_CHANGES);
    await eventually(() => own.commits.length === 1);
    const next = { by: 'newer', schema: SCHEMA + 1, parts: 1 };
    const head = JSON.stringify({ revision: 1, schema: SCHEMA, by: 'me', next, view: 2 });
    etcd.ctl('put', '/portcullis/parts/newer/000000', JSON.stringify([['records/a', '2']]));
    etcd.ctl('put', '/portcullis/head', head);
    await expect(opened(etcd.url())).rejects.toThrow('newer version');
    await expect(one.commit(1, changes({ a: 3 }), NO_VIEW_CHANGES)).rejects.toThrow('newer version');
    expect(etcd.ctl('get', '--print-value-only', '/portcullis/head').trim()).toBe(head);
  });

  it('records whose head was taken away are of no version that is known, and are not served as if nobody had committed', async () => {
    const etcd = await cluster();
    const store = await opened(etcd.url());
    await store.commit(0, changes({ a: 1 }), NO_VIEW_CHANGES);
    await store.close();
    etcd.ctl('del', '/portcullis/head');
    await expect(opened(etcd.url())).rejects.toThrow('its head was taken away');
  });

  it('another cluster at the same addresses is refused, loudly', async () => {
    const etcd = await cluster();
    const store = await EtcdStore.open(parseEtcdAddress(etcd.url()), {});
    const database = await Database.open(store, () => undefined);
    toEnd.push(async () => database.close());
    await database.change(NOBODY, (writer) => {
      writer.put('revoked_token', { id: 'x' });
    });
    await etcd.wipe();
    await eventually(() => {
      try {
        database.look();
        return false;
      } catch (error) {
        return error instanceof StoreError && /another (store|cluster|time)/.test(error.message);
      }
    });
    expect(database.view.get('revoked_token', 'x')).toBeDefined();
    await expect(
      database.change(NOBODY, (writer) => {
        writer.put('revoked_token', { id: 'y' });
      }),
    ).rejects.toThrow(StoreError);
    expect(etcd.ctl('get', '--prefix', '--keys-only', '/portcullis/records').trim()).toBe('');
  });

  /**
   * Commits until etcd says that it is full.
   * @param before is called before each commit until one is in doubt. @returns what it said.
   */
  async function fill(
    store: EtcdStore,
    own: { readonly commits: readonly Commit[] },
    before: () => void,
    bytes = 300_000,
  ): Promise<StoreError> {
    const text = 'x'.repeat(bytes);
    for (let isInDoubt = false; ;) {
      if (!isInDoubt) before();
      const base = own.commits.length;
      const answer: unknown = await store
        .commit(base, changes({ [`k${base}`]: text }), NO_VIEW_CHANGES)
        .catch((error: unknown) => error);
      // What was done is there; what was refused is not.
      if (typeof answer === 'number') expect(answer).toBe(base + 1);
      else if (answer instanceof UnknownOutcome) isInDoubt = true;
      else if (answer instanceof StoreError) {
        expect(await store.newest()).toBe(base);
        return answer;
      }
      await eventually(async () => own.commits.length === (await store.newest()));
    }
  }

  it('one that is full takes nothing, says so, and goes on when there is room', async () => {
    const etcd = await cluster({ more: [`--quota-backend-bytes=${2 * 1024 * 1024}`] });
    const store = await opened(etcd.url());
    const own = heardOf(store, 0);
    const said = await fill(store, own, () => undefined);
    expect(said.message).toContain('space exceeded');
    expect(() => {
      store.probe();
    }).toThrow('space exceeded');
    const revision = own.commits.length;
    makeRoom(etcd);
    for (let key = 0; key < revision; key++) etcd.ctl('del', `/portcullis/records/k${key}`);
    makeRoom(etcd);
    expect(await store.commit(revision, changes({ last: true }), NO_VIEW_CHANGES)).toBe(revision + 1);
  });

  /**
   * etcd looks for room before it takes a transaction and again as it applies it. What finds none only then is done all the same, and answered
   * with an error (quotaApplierV3, server/etcdserver/apply/quota.go): others who write at the same moment make that happen.
   */
  it('one that fills up just then does not say of what it did that it was not done', async () => {
    const quota = 2 * 1024 * 1024;
    // What was written counts at once.
    const etcd = await cluster({ more: [`--quota-backend-bytes=${quota}`, '--backend-batch-limit=1'] });
    const store = await opened(etcd.url());
    const own = heardOf(store, 0);
    const other = new EtcdClient(parseEtcdAddress(etcd.url()), {});
    toEnd.push(() => {
      other.close();
      return Promise.resolve();
    });
    const put = { request_put: { key: Buffer.from('/others'), value: Buffer.alloc(150_000, 'x') } };
    const fillUp = async (count: number): Promise<unknown> =>
      Promise.allSettled(
        Array.from({ length: count }, async () => other.txn({ compare: [], success: [put], failure: [] })),
      );
    const isFull = (): boolean => {
      try {
        store.probe();
        return false;
      } catch {
        return true;
      }
    };
    for (let round = 0, wasDoneWhileFull = false; !wasDoneWhileFull; round++) {
      while (statusOf(etcd).dbSize < 0.7 * quota) await fillUp(1);
      const base = own.commits.length;
      const filling = fillUp(8);
      await setTimeout(round % 12);
      const answer: unknown = await store
        .commit(base, changes({ [`k${base}`]: 'x'.repeat(20_000) }), NO_VIEW_CHANGES)
        .catch((error: unknown) => error);
      await filling;
      if (typeof answer === 'number') expect([answer, await store.newest()]).toEqual([base + 1, base + 1]);
      else if (!(answer instanceof UnknownOutcome)) {
        expect(answer).toBeInstanceOf(StoreError);
        expect(await store.newest()).toBe(base);
      }
      wasDoneWhileFull = typeof answer === 'number' && isFull();
      makeRoom(etcd);
      await eventually(async () => !isFull() && own.commits.length === (await store.newest()));
    }
  });

  it('a no to what was asked again does not say that it was not done the first time', async () => {
    const etcd = await cluster({ more: [`--quota-backend-bytes=${2 * 1024 * 1024}`] });
    const proxy = await CutProxy.start(etcd.url());
    toEnd.push(async () => proxy.end());
    const store = await opened(proxy.url);
    const own = heardOf(store, 0);
    while (statusOf(etcd).dbSize < 1_700_000) {
      expect(
        await store.commit(own.commits.length, changes({ filler: 'x'.repeat(100_000) }), NO_VIEW_CHANGES),
      ).toBeTypeOf('number');
      await eventually(async () => own.commits.length === (await store.newest()));
    }
    // The one that makes it full is done, and the answer lost; asked again, etcd is full. Small: nothing is said before it is done.
    const said = await fill(store, own, () => proxy.cutAtNextAnswer(), 5000);
    expect(said.message).toContain('space exceeded');
  });
});

describe('who may', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'portcullis-etcd-files-'));
  });
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('TLS: who signed is checked, a certificate is shown, and files are read again when they are renewed', async () => {
    const [cert, key] = [file('cert.pem', CERTIFICATE), file('key.pem', KEY)];
    const etcd = await cluster({ tls: { ca: cert, cert, key } });
    const address = parseEtcdAddress(etcd.url());
    await expect(EtcdStore.open(address, {})).rejects.toThrow(StoreError);
    await expect(EtcdStore.open(address, { caFile: cert })).rejects.toThrow(StoreError);
    const later = join(folder, 'later.pem');
    const given = { caFile: cert, certificate: { certFile: later, keyFile: key } };
    await expect(EtcdStore.open(address, given)).rejects.toThrow(/later.pem/);
    writeFileSync(later, CERTIFICATE);
    const store = await EtcdStore.open(address, given);
    toEnd.push(async () => store.close());
    await store.load();
    expect(await store.commit(0, changes({ a: 1 }), NO_VIEW_CHANGES)).toBe(1);
  });

  it('TLS: whoever shows a certificate of another address is not asked', async () => {
    const server = createServer({ cert: CERTIFICATE, key: KEY });
    toEnd.push(async () => new Promise((resolve) => server.close(() => resolve())));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
    const { port } = server.address() as AddressInfo;
    const attempt = EtcdStore.open(parseEtcdAddress(`etcd:https://127.0.0.2:${port}`), {
      caFile: file('another.pem', CERTIFICATE),
    });
    await expect(attempt).rejects.toThrow(/127\.0\.0\.2 is not in the cert's list/);
  });

  it('a password: a wrong one is refused, and a token that etcd has forgotten is asked for anew', async () => {
    const etcd = await cluster();
    etcd.enableAuthentication('wonderland');
    const address = parseEtcdAddress(etcd.url());
    const given = (password: string): Parameters<typeof EtcdStore.open>[1] => ({
      user: { name: 'root', passwordFile: file('password', password) },
    });
    await expect(EtcdStore.open(address, {})).rejects.toThrow(/user name is empty/);
    await expect(EtcdStore.open(address, given('rabbit'))).rejects.toThrow(/invalid user ID or password/);
    const store = await EtcdStore.open(address, given('wonderland\n'));
    toEnd.push(async () => store.close());
    await store.load();
    const heard = heardOf(store, 0);
    for (let revision = 0; revision < 3; revision++) {
      expect(await store.commit(revision, changes({ a: revision }), NO_VIEW_CHANGES)).toBe(revision + 1);
      await eventually(() => heard.commits.length === revision + 1);
      // Simple tokens go with the process.
      await etcd.kill(0);
      etcd.run(0);
      await etcd.healthy();
    }
    expect(heard.gaps).toBe(0);
  });
});

interface EtcdStatus {
  readonly header: { readonly revision: number };
  readonly dbSize: number;
}

function statusOf(etcd: Etcd): EtcdStatus {
  const [first] = JSON.parse(etcd.ctl('endpoint', 'status', '--write-out=json')) as readonly {
    readonly Status: EtcdStatus;
  }[];
  if (first === undefined) throw new Error('etcd says no status');
  return first.Status;
}

/** Gives back what was deleted or replaced, and lets it write again. */
function makeRoom(etcd: Etcd): void {
  etcd.ctl('compact', latest(etcd).toString());
  etcd.ctl('defrag');
  etcd.ctl('alarm', 'disarm');
}

function latest(etcd: Etcd): number {
  return statusOf(etcd).header.revision;
}

describe('three members', () => {
  it('leaders die, members hang: whatever was acknowledged is there, once, and everybody hears of it', async () => {
    const etcd = await cluster({ members: 3 });
    const stores = await Promise.all([0, 1].map(async (first) => opened(etcd.url(first))));
    const heard = stores.map((store) => heardOf(store, 0));
    const acknowledged: string[] = [];
    let isOver = false;
    const writers = stores.map(async (store, writer) => {
      for (let count = 0; !isOver; count++) {
        const key = `w${writer}-${count}`;
        // What a database does: from what it was told, and again after a conflict.
        for (;;) {
          const base = heard[writer]?.commits.length ?? 0;
          const answer = await store
            .commit(base, changes({ [key]: count }), NO_VIEW_CHANGES)
            .catch((error: unknown) => {
              if (error instanceof StoreError) return undefined;
              throw error;
            });
          if (typeof answer === 'number') {
            acknowledged.push(key);
            await eventually(() => (heard[writer]?.commits.length ?? 0) >= answer);
          }
          if (answer !== 'conflict') break;
          await eventually(() => (heard[writer]?.commits.length ?? 0) > base);
        }
        await setTimeout(5);
      }
    });
    const grows = async (): Promise<void> => {
      const before = acknowledged.length;
      await eventually(() => acknowledged.length >= before + 20);
    };
    await grows();
    for (let round = 0; round < 3; round++) {
      const leader = etcd.leader();
      if (round === 1) {
        etcd.stop(leader);
        await grows();
        etcd.goOn(leader);
      } else {
        await etcd.kill(leader);
        await grows();
        etcd.run(leader);
      }
      await grows();
    }
    isOver = true;
    await Promise.all(writers);
    expect(heard.map(({ gaps }) => gaps)).toEqual([0, 0]);
    const newest = await stores[0]?.newest();
    await eventually(() => heard.every(({ commits }) => commits.length === newest));
    const told = heard.map(({ commits }) => commits.flatMap(({ changes: told }) => [...told.keys()]));
    expect(told[0]).toEqual(told[1]);
    expect(new Set(told[0]).size).toBe(told[0]?.length);
    expect(acknowledged.filter((key) => told[0]?.includes(key) !== true)).toEqual([]);
  });
});
