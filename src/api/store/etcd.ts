/** A store in etcd, which several API processes serve at once. Its keys: etcd-format.ts. */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { etcdName, type EtcdAddress } from '../../etcd/address.js';
import { EtcdClient, EtcdError, endOf, type EtcdCredentials } from '../../etcd/client.js';
import type { Operation, TxnResponse, WatchResponse } from '../../etcd/messages.js';
import type { ViewChanges } from '../topology/host-view.js';
import {
  Pieces,
  PIECES,
  printHead,
  printPart,
  readHead,
  readPart,
  RECORDS,
  transactionsOf,
  VIEW_VERSION_KEY,
  writesOf,
  type Head,
  type Stage,
  type Write,
} from './etcd-format.js';
import { VIEW_VERSION } from '../../sources/etcd/layout.js';
import { EtcdReports } from './etcd-reports.js';
import { checkSchema, SCHEMA } from './schema.js';
import {
  StoreError,
  UnknownOutcome,
  type Changes,
  type Json,
  type Snapshot,
  type Store,
  type WatchListener,
} from './store.js';
import { together } from './together.js';
import { Watchers } from './watchers.js';

/** Records of one answer, and long values of one. */
const PAGE = 1000;
const PAGE_OF_PIECES = 8;
/** How long a commit is tried while nobody answers; in milliseconds. */
const PATIENCE = 10_000;
/** Between tries; doubled each time. There are few processes of the API, and many who wait for them. In milliseconds. */
const BACKOFF = { first: 50, most: 500 };
/** How far back it is looked whose commit a revision was. */
const MOST_HEADS = 1000;

/** Transactions of a large commit that are under way at once: the members write their logs for several together. */
const AT_ONCE = 4;

/** Longer than a commit may take to be decided; in milliseconds. */
const PARTS_LIVE = 3_600_000;

/** `text` as it lies there, to be compared; undefined where there is none yet. */
interface KnownHead {
  readonly head: Head;
  readonly text: string | undefined;
}

const NO_HEAD: Head = { revision: 0, schema: SCHEMA, by: '' };

export class EtcdStore implements Store {
  readonly name: string;
  readonly keepsViews = true;
  readonly reports: EtcdReports;
  readonly #client: EtcdClient;
  readonly #watchers = new Watchers();
  #identity: string | undefined;
  #clusterId: string | undefined;
  /** The head as it was seen last, and its text; undefined where there is none yet. */
  #head: Head = NO_HEAD;
  /** What agents read is not there, or as another version wrote it. */
  #lacksViews = false;
  #headText: string | undefined;
  #pieces = new Pieces();
  /** What was written of a commit whose revision the head does not have yet. */
  #pending = new Map<string, string | undefined>();
  /** Of etcd, of the last event. */
  #seen = 0;
  #stopWatch: () => void = () => undefined;
  /** Counts loads: what a watch from before one tells is of the past. */
  #epoch = 0;
  /** Why nothing can be read or written at the moment, as far as is known; and why nothing can be written. */
  #trouble: string | undefined;
  #full: string | undefined;
  #isProbing = false;
  #isLoaded = false;
  readonly #closing = new AbortController();

  private constructor(
    private readonly address: EtcdAddress,
    given: EtcdCredentials,
    private readonly report: (trouble: string | undefined) => void,
  ) {
    this.name = etcdName(address);
    this.#client = new EtcdClient(address, given);
    this.reports = new EtcdReports(this.#client, address.prefix);
  }

  /**
   * @param report is told why nothing can be read or written, and, with undefined, when it can again.
   * @throws StoreError when nobody answers, or it is of a newer version.
   */
  static async open(
    address: EtcdAddress,
    given: EtcdCredentials,
    report: (trouble: string | undefined) => void = () => undefined,
  ): Promise<EtcdStore> {
    const store = new EtcdStore(address, given, report);
    try {
      await store.#identify();
      return store;
    } catch (error) {
      await store.close();
      throw store.#asStoreError(error);
    }
  }

  get identity(): string | undefined {
    return this.#identity;
  }

  /** Whoever was served before waits for as long as nobody answers: what is known is in force meanwhile. */
  async load(): Promise<Snapshot> {
    const isAgain = this.#epoch > 0;
    for (;;) {
      try {
        return await this.#attempt(async () => this.#load());
      } catch (error) {
        const failed = this.#asStoreError(error);
        const isCompacted = error instanceof EtcdError && error.failure === 'compacted';
        const isPassing = isCompacted || (isAgain && error instanceof EtcdError);
        if (!isPassing || this.#closing.signal.aborted) throw failed;
        if (!isCompacted) await wait(BACKOFF.most);
      }
    }
  }

  async commit(base: number, changes: Changes, views: ViewChanges): Promise<number | 'conflict'> {
    const before: KnownHead = { head: this.#head, text: this.#headText };
    if (before.head.revision !== base || before.head.next !== undefined) return this.#conflict();
    const by = `${Date.now().toString()}-${randomUUID()}`;
    const records = writesOf(changes, (key) => this.#pieces.count(key));
    const version: readonly Write[] = this.#lacksViews ? [[VIEW_VERSION_KEY, VIEW_VERSION.toString()]] : [];
    const stages = transactionsOf(by, [...records, ...version], views);
    const batches = stages.flat();
    try {
      const [only, ...more] = batches;
      if (more.length === 0) {
        const head: Head = { revision: base + 1, schema: SCHEMA, by };
        return (await this.#decide(before, by, head, only ?? [])) ? base + 1 : await this.#conflict();
      }
      await this.#writeParts(by, batches);
      const next = { by, schema: SCHEMA, parts: batches.length };
      const head: Head = { ...before.head, next };
      if (!(await this.#decide(before, by, head, []))) {
        await this.#attempt(async () => this.#transaction([deletion(this.#key(`parts/${by}/`), true)]));
        return await this.#conflict();
      }
      try {
        await this.#carryOut(head, printHead(head), stages);
      } catch (error) {
        // It is decided: who comes next carries it out.
        throw this.#asUnknown(error);
      }
      return base + 1;
    } catch (error) {
      throw this.#asStoreError(error);
    }
  }

  /** Another commit was faster, or was left halfway: it must come to its end, so that there is a newer revision. */
  async #conflict(): Promise<'conflict'> {
    try {
      await this.#attempt(async () => this.#finishWhatIsLeft());
    } catch (error) {
      throw this.#asStoreError(error);
    }
    return 'conflict';
  }

  watch(revision: number, listener: WatchListener): () => void {
    return this.#watchers.watch(revision, this.#head.revision, listener);
  }

  async newest(): Promise<number> {
    // Newer ones are told of while it is asked.
    const known = this.#head.revision;
    try {
      const { head } = await this.#readHead();
      if (head.revision < known) throw this.#ofAnotherTime();
      this.#setTrouble(undefined);
      return head.revision;
    } catch (error) {
      throw this.#asStoreError(error);
    }
  }

  look(): void {
    if (this.#trouble !== undefined) throw new StoreError(this.#trouble);
  }

  probe(): void {
    this.look();
    const full = this.#full;
    this.#probe();
    if (full !== undefined) throw new StoreError(full);
  }

  /** What comes of it is known the next time. */
  #probe(): void {
    if (this.#isProbing) return;
    this.#isProbing = true;
    this.#transaction([put(this.#key('probe'), '')])
      .then(() => {
        this.#setTrouble(undefined);
        this.#full = undefined;
      })
      .catch((error: unknown) => this.#asStoreError(error))
      .finally(() => (this.#isProbing = false));
  }

  close(): Promise<void> {
    this.#closing.abort();
    this.#epoch++;
    this.#stopWatch();
    this.#watchers.close();
    this.reports.close();
    this.#client.close();
    return Promise.resolve();
  }

  #setTrouble(trouble: string | undefined): void {
    const isNews = (trouble === undefined) !== (this.#trouble === undefined);
    this.#trouble = trouble;
    // Whoever opens it is told by what is thrown.
    if (isNews && this.#isLoaded) this.report(trouble);
  }

  #key(name: string): Buffer {
    return Buffer.from(this.address.prefix + name);
  }

  /** It is still the store that was opened. */
  async #mustBeTheSame(): Promise<void> {
    const { kvs } = await this.#client.range({ key: this.#key('identity') });
    if (kvs[0]?.value.toString() === this.#identity) return;
    throw new StoreError(`${this.name}: it is another store than was opened`);
  }

  /** Made once, whoever is first. */
  async #identify(): Promise<void> {
    const key = this.#key('identity');
    const { succeeded, responses } = await this.#attempt(async () =>
      this.#client.txn({
        compare: [{ result: 'EQUAL', target: 'CREATE', key, create_revision: 0 }],
        success: [
          put(key, randomUUID()),
          { request_range: { key } },
          put(this.#key(VIEW_VERSION_KEY), VIEW_VERSION.toString()),
        ],
        failure: [{ request_range: { key } }],
      }),
    );
    const [found] = responses[succeeded ? 1 : 0]?.response_range?.kvs ?? [];
    this.#identity = found?.value.toString();
  }

  async #load(): Promise<Snapshot> {
    const epoch = ++this.#epoch;
    this.#stopWatch();
    await this.#mustBeTheSame();
    let found = await this.#readHead();
    for (; found.head.next !== undefined; found = await this.#readHead()) await this.#finishWhatIsLeft();
    const { head, text, at, clusterId } = found;
    if (head.revision < this.#head.revision) throw this.#ofAnotherTime();
    this.#clusterId = clusterId;
    checkSchema(this.name, head.schema);
    const views = await this.#client.range({ key: this.#key(VIEW_VERSION_KEY), revision: at });
    this.#lacksViews = views.kvs[0]?.value.toString() !== VIEW_VERSION.toString();
    const [records, pieces] = [await this.#readAll(RECORDS, PAGE, at), await this.#readAll(PIECES, PAGE_OF_PIECES, at)];
    this.#pieces = new Pieces();
    const entries = this.#pieces.changes(records, (key) => pieces.get(key)) as Map<string, Json>;
    this.#head = head;
    this.#headText = text;
    this.#pending = new Map();
    this.#watchers.forget();
    this.#seen = at;
    this.#setTrouble(undefined);
    this.#isLoaded = true;
    this.#follow(epoch, BACKOFF.first);
    await this.#sweepParts();
    const isNew = head.revision === 0;
    const { revision, schema } = head;
    return { schema: isNew ? undefined : schema, revision, entries, lacksViews: this.#lacksViews };
  }

  /** Parts of a commit whose process died before it was decided are nobody's. */
  async #sweepParts(): Promise<void> {
    const key = this.#key('parts/');
    const { kvs } = await this.#client.range({ key, range_end: endOf(key), limit: PAGE, keys_only: true });
    for (const { key: part } of kvs) {
      const [by = ''] = part.toString().slice(key.length).split('/');
      const age = Date.now() - Number(by.split('-')[0]);
      if (by !== this.#head.next?.by && age > PARTS_LIVE) await this.#transaction([deletion(part, false)]);
    }
  }

  /** All keys that begin so, less the prefix, as of one revision of etcd. */
  async #readAll(name: string, limit: number, revision: number): Promise<Map<string, string>> {
    const all = new Map<string, string>();
    for await (const { kvs } of this.#client.pages(this.#key(name), { limit, revision })) {
      for (const kv of kvs) all.set(kv.key.toString().slice(this.address.prefix.length), kv.value.toString());
    }
    return all;
  }

  /** `at`: the revision of etcd that it was read at. */
  async #readHead(revision = 0): Promise<{
    readonly head: Head;
    readonly text: string | undefined;
    readonly at: number;
    readonly modified: number;
    readonly clusterId: string;
  }> {
    const { kvs, header } = await this.#client.range({ key: this.#key('head'), revision });
    const [kv] = kvs;
    const text = kv?.value.toString();
    if (this.#clusterId !== undefined && header.cluster_id !== this.#clusterId) {
      throw new StoreError(`${this.name}: it is another cluster (${header.cluster_id}, before ${this.#clusterId})`);
    }
    return {
      head: text === undefined ? NO_HEAD : readHead(text),
      text,
      at: Number(header.revision),
      modified: Number(kv?.mod_revision ?? 0),
      clusterId: header.cluster_id,
    };
  }

  /**
   * Writes a head in place of the one that is known, and whatever goes with it, in one transaction; tried until it is known what came of it.
   * @returns false when it is another head by now, and not by this.
   */
  async #decide(before: KnownHead, by: string, head: Head, writes: readonly Write[]): Promise<boolean> {
    const key = this.#key('head');
    const { text } = before;
    const answers = { unknown: 0 };
    const isWritten = this.#attempt(
      async () =>
        this.#client.txn({
          compare: [
            text === undefined
              ? { result: 'EQUAL', target: 'CREATE', key, create_revision: 0 }
              : { result: 'EQUAL', target: 'VALUE', key, value: Buffer.from(text) },
          ],
          success: [...writes.map((write) => this.#operation(write)), put(key, printHead(head))],
          failure: [],
        }),
      () => answers.unknown++,
    );
    try {
      const { succeeded } = await isWritten;
      if (succeeded) this.#full = undefined;
      return succeeded || (answers.unknown > 0 && (await this.#wasDecided(by, before.head)));
    } catch (error) {
      if (answers.unknown === 0) throw error;
      // A later try was refused: an earlier one may be under way still, or done.
      if (await this.#wasDecided(by, before.head)) return true;
      throw this.#asUnknown(error);
    }
  }

  /** Whether a commit on top of a head was ours, though nobody said so. */
  async #wasDecided(by: string, before: Head): Promise<boolean> {
    let revision = 0;
    for (let count = 0; count < MOST_HEADS; count++) {
      const { head, modified } = await this.#attempt(async () => this.#readHead(revision));
      if (head.by === by || head.next?.by === by) return true;
      if (head.revision <= before.revision && head.next === undefined) return false;
      if (modified <= 1) return false;
      revision = modified - 1;
    }
    throw new UnknownOutcome(`${this.name}: too much was committed meanwhile to say whether this was`);
  }

  async #writeParts(by: string, batches: readonly (readonly Write[])[]): Promise<void> {
    await together([...batches.entries()], AT_ONCE, async ([index, batch]) => {
      await this.#attempt(async () => this.#transaction([put(this.#partKey(by, index), printPart(batch))]));
    });
  }

  #partKey(by: string, index: number): Buffer {
    return this.#key(`parts/${by}/${index.toString().padStart(6, '0')}`);
  }

  /** Carries out what the head names, stage by stage; whoever else does the same does no harm. */
  async #carryOut(head: Head, text: string, stages: readonly Stage[]): Promise<void> {
    const { next, revision } = head;
    if (next === undefined) return;
    const key = this.#key('head');
    const isStillNext = [{ result: 'EQUAL', target: 'VALUE', key, value: Buffer.from(text) }] as const;
    for (const stage of stages) {
      const answers = await together(stage, AT_ONCE, async (batch) => {
        const success = batch.map((write) => this.#operation(write));
        return this.#attempt(async () => this.#client.txn({ compare: isStillNext, success, failure: [] }));
      });
      // Somebody else was faster.
      if (answers.some(({ succeeded }) => !succeeded)) return;
    }
    const done: Head = { revision: revision + 1, schema: next.schema, by: next.by };
    await this.#attempt(async () =>
      this.#client.txn({
        compare: isStillNext,
        success: [put(key, printHead(done)), deletion(this.#key(`parts/${next.by}/`), true)],
        failure: [],
      }),
    );
  }

  async #finishWhatIsLeft(): Promise<void> {
    const { head, text, at } = await this.#readHead();
    const { next } = head;
    if (next === undefined || text === undefined) return;
    const batches: (readonly Write[])[] = [];
    for (let index = 0; index < next.parts; index++) {
      const { kvs } = await this.#client.range({ key: this.#partKey(next.by, index), revision: at });
      batches.push(readPart(kvs[0]?.value.toString() ?? ''));
    }
    // Where a stage ends is not written down: each part is one.
    await this.#carryOut(
      head,
      text,
      batches.map((batch) => [batch]),
    );
  }

  /** Again while nobody answers. @throws EtcdError; `unreachable` when it is not known whether it was done. */
  async #attempt<T>(work: () => Promise<T>, onUnknown: () => void = () => undefined): Promise<T> {
    const start = performance.now();
    for (let backoff = BACKOFF.first; ; backoff = Math.min(2 * backoff, BACKOFF.most)) {
      try {
        const result = await work();
        this.#setTrouble(undefined);
        return result;
      } catch (error) {
        if (!(error instanceof EtcdError) || error.failure !== 'unreachable') throw error;
        onUnknown();
        if (performance.now() - start > PATIENCE || this.#closing.signal.aborted) throw error;
        await wait(backoff);
      }
    }
  }

  async #transaction(success: readonly Operation[]): Promise<TxnResponse> {
    return this.#client.txn({ compare: [], success, failure: [] });
  }

  #operation([key, value]: Write): Operation {
    return value === undefined ? deletion(this.#key(key), false) : put(this.#key(key), value);
  }

  /** Watches from where it was, for as long as nothing is loaded anew. */
  #follow(epoch: number, backoff: number): void {
    if (epoch !== this.#epoch) return;
    let next = backoff;
    // What is for agents is none of its business.
    const [from, to] = [this.#key('head'), endOf(this.#key(RECORDS))];
    this.#stopWatch = this.#client.watch(from, to, this.#seen + 1, {
      onEvents: (events, header, isProgress) => {
        if (epoch !== this.#epoch) return;
        next = BACKOFF.first;
        this.#setTrouble(undefined);
        if (header.cluster_id !== this.#clusterId) this.#lost(`it is another cluster (${header.cluster_id})`);
        else if (Number(header.revision) < this.#seen) this.#checkTime(epoch);
        else this.#take(events, isProgress ? Number(header.revision) : 0);
      },
      onEnd: (error) => {
        if (epoch !== this.#epoch) return;
        if (error.failure === 'compacted') {
          this.#lost(error.message);
          return;
        }
        this.#setTrouble(`${this.name}: ${error.message}`);
        // Not all at once when a member comes back.
        void wait(next * (0.5 + Math.random()), undefined, { signal: this.#closing.signal }).then(
          () => {
            this.#follow(epoch, Math.min(2 * next, BACKOFF.most));
          },
          () => undefined,
        );
      },
    });
  }

  /** A member that is behind the others says an older revision than was known, and so does a cluster that was put back. */
  #checkTime(epoch: number): void {
    const known = this.#seen;
    this.#attempt(async () => this.#readHead()).then(
      ({ at }) => {
        if (epoch === this.#epoch && at < known) this.#lost('it is of another time');
      },
      (error: unknown) => {
        if (epoch === this.#epoch) this.#lost(error instanceof Error ? error.message : String(error));
      },
    );
  }

  /** Everything must be loaded anew. */
  #lost(reason: string): void {
    this.#epoch++;
    this.#stopWatch();
    this.#setTrouble(`${this.name}: ${reason}`);
    this.#watchers.gap();
  }

  /** @param seen up to which revision of etcd everything was told. */
  #take(events: WatchResponse['events'], seen: number): void {
    try {
      this.#seen = Math.max(this.#seen, seen);
      for (const { type, kv } of events) {
        const key = kv.key.toString().slice(this.address.prefix.length);
        const value = type === 'PUT' ? kv.value.toString() : undefined;
        this.#seen = Number(kv.mod_revision);
        if (key === 'identity') throw new Error('it was made anew');
        if (key.startsWith(RECORDS) || key.startsWith(PIECES)) this.#pending.set(key, value);
        if (key === 'head') this.#takeHead(value);
      }
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : String(error));
    }
  }

  /** The head stands behind the records in its transaction, and etcd tells of keys in that order. */
  #takeHead(text: string | undefined): void {
    if (text === undefined) throw new Error('its head was taken away');
    const head = readHead(text);
    checkSchema(this.name, head.schema);
    const before = this.#head;
    this.#head = head;
    this.#headText = text;
    if (head.revision === before.revision) return;
    if (head.revision !== before.revision + 1) {
      throw new Error(`revision ${head.revision.toString()} comes after ${before.revision.toString()}`);
    }
    const written = this.#pending;
    this.#pending = new Map();
    const changes = this.#pieces.changes(written, (key) => written.get(key));
    const bytes = [...written].reduce((sum, [key, value]) => sum + key.length + (value?.length ?? 0), 0);
    this.#watchers.tell({ revision: head.revision, changes, bytes });
  }

  #asUnknown(error: unknown): UnknownOutcome {
    return new UnknownOutcome(this.#asStoreError(error).message);
  }

  #ofAnotherTime(): StoreError {
    return new StoreError(`${this.name}: it is of another time: its revision is older than one that was known`);
  }

  /** What is wrong with the store is remembered; what is wrong with what it was asked is not. */
  #asStoreError(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    const message = `${this.name}: ${error instanceof Error ? error.message : String(error)}`;
    if (!(error instanceof EtcdError)) return new StoreError(message);
    if (error.failure === 'full') this.#full = message;
    else if (error.failure !== 'refused') this.#setTrouble(message);
    return error.failure === 'unreachable' ? new UnknownOutcome(message) : new StoreError(message);
  }
}

function put(key: Buffer, value: string): Operation {
  return { request_put: { key, value: Buffer.from(value) } };
}

function deletion(key: Buffer, isPrefix: boolean): Operation {
  return { request_delete_range: isPrefix ? { key, range_end: endOf(key) } : { key } };
}
