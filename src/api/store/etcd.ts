/** A store in etcd, which several API processes serve at once. Its keys: etcd-format.ts. */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { Backoff } from '../../../agent/backoff.js';
import { spread } from '../../../agent/clock.js';
import { SingleFlight } from '../../../agent/single-flight.js';
import { etcdName, type EtcdAddress } from '../../etcd/address.js';
import { EtcdClient, EtcdError, endOf, type EtcdCredentials } from '../../etcd/client.js';
import type { WatchResponse } from '../../etcd/messages.js';
import { VIEW_VERSION } from '../../sources/etcd/layout.js';
import type { ViewChanges } from '../topology/host-view.js';
import { BACKOFF_MS, EtcdCommits, NO_HEAD, put, type KnownHead } from './etcd-commits.js';
import {
  Pieces,
  PIECES,
  readHead,
  RECORDS,
  transactionsOf,
  VIEW_VERSION_KEY,
  writesOf,
  type Head,
  type Write,
} from './etcd-format.js';
import { EtcdReports } from './etcd-reports.js';
import { EtcdTrouble } from './etcd-trouble.js';
import { checkSchema } from './schema.js';
import { StoreError, type Changes, type Json, type Snapshot, type Store, type WatchListener } from './store.js';
import { Watchers } from './watchers.js';

/** Records of one answer, and long values of one. */
const PAGE = 1000;
const PAGE_OF_PIECES = 8;
export class EtcdStore implements Store {
  readonly name: string;
  readonly keepsViews = true;
  readonly reports: EtcdReports;
  readonly #client: EtcdClient;
  readonly #trouble: EtcdTrouble;
  readonly #commits: EtcdCommits;
  readonly #watchers = new Watchers();
  #identity: string | undefined;
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
  readonly #probing = new SingleFlight(async () => this.#probe());
  readonly #closing = new AbortController();

  private constructor(
    private readonly address: EtcdAddress,
    given: EtcdCredentials,
    report: (trouble: string | undefined) => void,
  ) {
    this.name = etcdName(address);
    this.#client = new EtcdClient(address, given);
    this.#trouble = new EtcdTrouble(this.name, report);
    this.#commits = new EtcdCommits(this.#client, address.prefix, this.#trouble, this.#closing.signal);
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
      throw store.#trouble.asStoreError(error);
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
        return await this.#commits.attempt(async () => this.#load());
      } catch (error) {
        const failed = this.#trouble.asStoreError(error);
        const isCompacted = error instanceof EtcdError && error.failure === 'compacted';
        const isPassing = isCompacted || (isAgain && error instanceof EtcdError);
        if (!isPassing || this.#closing.signal.aborted) throw failed;
        if (!isCompacted) await wait(BACKOFF_MS.most);
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
    try {
      return (await this.#commits.commit(before, by, stages)) ? base + 1 : await this.#conflict();
    } catch (error) {
      throw this.#trouble.asStoreError(error);
    }
  }

  /** Another commit was faster, or was left halfway: it must come to its end, so that there is a newer revision. */
  async #conflict(): Promise<'conflict'> {
    try {
      await this.#commits.attempt(async () => this.#commits.finishWhatIsLeft());
    } catch (error) {
      throw this.#trouble.asStoreError(error);
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
      const { head } = await this.#commits.readHead();
      if (head.revision < known) throw this.#ofAnotherTime();
      this.#trouble.set(undefined);
      return head.revision;
    } catch (error) {
      throw this.#trouble.asStoreError(error);
    }
  }

  look(): void {
    if (this.#trouble.reading !== undefined) throw new StoreError(this.#trouble.reading);
  }

  probe(): void {
    this.look();
    const full = this.#trouble.writing;
    // What comes of it is known the next time.
    void this.#probing.join();
    if (full !== undefined) throw new StoreError(full);
  }

  async #probe(): Promise<void> {
    try {
      await this.#commits.transaction([put(this.#commits.key('probe'), '')]);
      this.#trouble.set(undefined);
      this.#trouble.written();
    } catch (error) {
      this.#trouble.asStoreError(error);
    }
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

  /** It is still the store that was opened. */
  async #mustBeTheSame(): Promise<void> {
    const { kvs } = await this.#client.range({ key: this.#commits.key('identity') });
    if (kvs[0]?.value.toString() === this.#identity) return;
    throw new StoreError(`${this.name}: it is another store than was opened`);
  }

  /** Made once, whoever is first. */
  async #identify(): Promise<void> {
    const key = this.#commits.key('identity');
    const { succeeded, responses } = await this.#commits.attempt(async () =>
      this.#client.txn({
        compare: [{ result: 'EQUAL', target: 'CREATE', key, create_revision: 0 }],
        success: [
          put(key, randomUUID()),
          { request_range: { key } },
          put(this.#commits.key(VIEW_VERSION_KEY), VIEW_VERSION.toString()),
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
    let found = await this.#commits.readHead();
    for (; found.head.next !== undefined; found = await this.#commits.readHead())
      await this.#commits.finishWhatIsLeft();
    const { head, text, at, modified, clusterId } = found;
    if (head.revision < this.#head.revision) throw this.#ofAnotherTime();
    this.#commits.staysWith(clusterId);
    checkSchema(this.name, head.schema);
    const views = await this.#client.range({ key: this.#commits.key(VIEW_VERSION_KEY), revision: at });
    this.#lacksViews = views.kvs[0]?.value.toString() !== VIEW_VERSION.toString();
    const [records, pieces] = [await this.#readAll(RECORDS, PAGE, at), await this.#readAll(PIECES, PAGE_OF_PIECES, at)];
    // Nobody knows of which version they are, and agents take revisions that begin anew for those that they have.
    if (text === undefined && records.size > 0) throw new StoreError(`${this.name}: its head was taken away`);
    this.#pieces = new Pieces();
    // In a listing there is none that goes.
    const entries = this.#pieces.changes(records, (key) => pieces.get(key)) as Map<string, Json>;
    this.#head = head;
    this.#headText = text;
    this.#pending = new Map();
    this.#watchers.forget();
    this.#seen = at;
    this.#trouble.set(undefined);
    this.#trouble.reportFromNow();
    this.#follow(epoch, new Backoff(BACKOFF_MS));
    await this.#commits.sweepParts(head, modified);
    const isNew = head.revision === 0;
    const { revision, schema } = head;
    return { schema: isNew ? undefined : schema, revision, entries, lacksViews: this.#lacksViews };
  }

  /** All keys that begin so, less the prefix, as of one revision of etcd. */
  async #readAll(name: string, limit: number, revision: number): Promise<Map<string, string>> {
    const all = new Map<string, string>();
    for await (const { kvs } of this.#client.pages(this.#commits.key(name), { limit, revision })) {
      for (const kv of kvs) all.set(kv.key.toString().slice(this.address.prefix.length), kv.value.toString());
    }
    return all;
  }

  /** Watches from where it was, for as long as nothing is loaded anew. */
  #follow(epoch: number, backoff: Backoff): void {
    if (epoch !== this.#epoch) return;
    // What is for agents is none of its business.
    const [from, to] = [this.#commits.key('head'), endOf(this.#commits.key(RECORDS))];
    this.#stopWatch = this.#client.watch(from, to, this.#seen, {
      onEvents: (events, header, isProgress) => {
        if (epoch !== this.#epoch) return;
        backoff.reset();
        this.#trouble.set(undefined);
        if (header.cluster_id !== this.#commits.clusterId) this.#lost(`it is another cluster (${header.cluster_id})`);
        else if (Number(header.revision) < this.#seen) this.#checkTime(epoch);
        else this.#take(events, isProgress ? Number(header.revision) : 0);
      },
      onEnd: (error) => {
        if (epoch !== this.#epoch) return;
        if (error.failure === 'compacted') {
          this.#lost(error.message);
          return;
        }
        this.#trouble.set(`${this.name}: ${error.message}`);
        // Not all at once when a member comes back.
        void wait(spread(backoff.take(), 0.5), undefined, { signal: this.#closing.signal }).then(
          () => {
            this.#follow(epoch, backoff);
          },
          () => undefined,
        );
      },
    });
  }

  /** A member that is behind the others says an older revision than was known, and so does a cluster that was put back. */
  #checkTime(epoch: number): void {
    const known = this.#seen;
    this.#commits
      .attempt(async () => this.#commits.readHead())
      .then(
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
    this.#trouble.set(`${this.name}: ${reason}`);
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

  #ofAnotherTime(): StoreError {
    return new StoreError(`${this.name}: it is of another time: its revision is older than one that was known`);
  }
}
