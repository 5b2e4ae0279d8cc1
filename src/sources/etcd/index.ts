/**
 * The etcd source: reads and watches what concerns one host, and nothing else (layout.ts).
 *
 * Each scope has a watch of its own, and etcd promises nothing about the order between watches. So what they tell is kept until a
 * question to etcd, which compares the marks of all scopes with those that were heard of, says that nothing is missing up to some
 * revision: then everything up to it is told as one change.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { Backoff } from '../../../agent/backoff.js';
import { spread } from '../../../agent/clock.js';
import { etcdName, type EtcdAddress } from '../../etcd/address.js';
import { EtcdClient, EtcdError, endOf, type EtcdCredentials, type WatchStream } from '../../etcd/client.js';
import type { KeyValue, WatchResponse } from '../../etcd/messages.js';
import { EMPTY_TOPOLOGY, type Topology } from '../../../compiler/model/index.js';
import { TopologyFeed } from '../feed/feed.js';
import { HostView } from '../feed/host-view.js';
import type { Scope } from '../feed/scopes.js';
import { Follow } from '../follow.js';
import type { HostReport } from '../../../compiler/model/index.js';
import { stale, type Source, type SourceEvent } from '../../../compiler/model/index.js';
import { writeReport } from './reports.js';
import { AnotherStore, completeBefore, completeNow, headOf, isHalf, type Asked, type Complete } from './complete.js';
import { apply, isMark, type Followed, type Heard } from './followed.js';
import { ASKED, VIEW } from './layout.js';

/** Keys of one answer. */
const PAGE = 1000;
/** Between two looks when nothing is told: for the revision that is reported. */
const LOOK_EVERY_MS = 10_000;
/** When somebody asks how far this host is. */
const ANSWER_WITHIN_MS = 300;
/** Between two questions while something is missing. */
const MISSING_MS = { first: 5, most: 500 };
/** While changes come faster than questions are answered, it is asked about the past. */
const HASTE_MS = 50;
/** What is missing for as long, though nothing is being written, does not come: everything is read again. */
const PATIENCE_MS = 10_000;

export class EtcdSource implements Source {
  readonly name: string;
  readonly #client: EtcdClient;
  readonly #asked: Asked;
  readonly #feed: TopologyFeed;
  #listener: ((event: SourceEvent) => void) | undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  /** Undefined before everything was read, and when it is to be read again. */
  #view: HostView | undefined;
  #scopes = new Map<Scope, Followed>();
  /** Of etcd: all that is in the view. */
  #at = 0;
  #identity = '';
  #clusterId = '';
  /** Of the last line. */
  #told = -1;
  #stream: WatchStream | undefined;
  #byWatch = new Map<number, Scope>();
  #wake: () => void = () => undefined;
  #isAwake = false;
  #missingSince: number | undefined;
  readonly #follow = new Follow(
    async (signal) => {
      try {
        await this.#session(signal);
      } catch (error) {
        if (isCompacted(error) || error instanceof AnotherStore) this.#view = undefined;
        // A no is an answer.
        if (error instanceof EtcdError && error.failure !== 'unreachable') this.#follow.heard();
        throw error;
      }
    },
    (reason) => {
      this.#listener?.(stale(this.name, reason));
    },
  );

  constructor(
    private readonly address: EtcdAddress,
    given: EtcdCredentials,
    private readonly host: string,
  ) {
    this.name = etcdName(address);
    this.#client = new EtcdClient(address, given);
    this.#asked = { client: this.#client, key: (name) => this.#key(name) };
    this.#feed = new TopologyFeed(this.name);
  }

  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void {
    this.#listener = listener;
    this.#inForce = inForce;
    this.#follow.start();
  }

  reload(): void {
    this.#view = undefined;
    this.#follow.again();
  }

  accept(): void {
    this.#feed.accept();
  }

  async report(host: string, report: HostReport): Promise<void> {
    await writeReport(this.#client, this.address.prefix, host, report);
  }

  stop(): void {
    this.#listener = undefined;
    this.#follow.stop();
    this.#client.close();
  }

  #key(name: string): Buffer {
    return Buffer.from(this.address.prefix + name);
  }

  /** From where it was, for as long as the watches last. */
  async #session(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => {
      this.#rouse();
    });
    if (this.#view === undefined) await this.#readEverything(signal);
    this.#byWatch = new Map();
    const stream = this.#client.watches({
      onEvents: (id, events, header) => {
        if (this.#stream !== stream) return;
        this.#follow.heard();
        if (!this.#isSameStore(header.cluster_id)) return;
        this.#heard(id, events);
      },
      onEnd: (error) => {
        if (this.#stream !== stream) return;
        if (isCompacted(error)) this.#view = undefined;
        this.#follow.end(error);
      },
    });
    this.#stream = stream;
    try {
      for (const [scope, followed] of this.#scopes) {
        followed.events = [];
        followed.heard = followed.applied;
        this.#watch(scope, followed);
      }
      const backoff = new Backoff(MISSING_MS);
      for (let pause = 0; ;) {
        // While much is missing, not every part of it is a reason to ask.
        const least = pause > MISSING_MS.first && pause <= MISSING_MS.most ? Math.min(pause, HASTE_MS) : 0;
        if (least > 0) await wait(least, undefined, { signal });
        await this.#sleep(pause - least);
        signal.throwIfAborted();
        const isSettled = await this.#settle();
        if (isSettled) backoff.reset();
        pause = isSettled ? spread(LOOK_EVERY_MS, 0.2) : backoff.take();
      }
    } finally {
      this.#stream = undefined;
      stream.end();
    }
  }

  #watch(scope: Scope, followed: Followed): void {
    const key = this.#key(VIEW + scope);
    followed.watch = this.#stream?.add(key, endOf(key), this.#at) ?? 0;
    this.#byWatch.set(followed.watch, scope);
  }

  #heard(id: number, events: WatchResponse['events']): void {
    const scope = this.#byWatch.get(id);
    const followed = scope === undefined ? undefined : this.#scopes.get(scope);
    if (scope === undefined || followed === undefined || events.length === 0) return;
    const heard = events.map(({ type, kv }): Heard => ({
      revision: Number(kv.mod_revision),
      name: this.#nameOf(scope, kv),
      text: type === 'PUT' ? kv.value.toString() : undefined,
    }));
    for (const event of heard) followed.events.push(event);
    const mark = heard.findLast(isMark);
    if (mark !== undefined) followed.heard = mark.text === undefined ? 0 : mark.revision;
    if (scope !== ASKED) this.#rouse();
    // All hosts are asked at once; they need not answer at once.
    else
      setTimeout(() => {
        this.#rouse();
      }, ANSWER_WITHIN_MS * Math.random());
  }

  #nameOf(scope: Scope, { key }: KeyValue): string {
    return key.toString().slice(this.address.prefix.length + VIEW.length + scope.length);
  }

  /** Another cluster at this address has other revisions. */
  #isSameStore(clusterId: string): boolean {
    if (this.#clusterId === clusterId) return true;
    this.#view = undefined;
    this.#follow.end(new Error(`it is another cluster (${clusterId})`));
    return false;
  }

  /**
   * Tells everything that is known to be complete.
   * @returns false while something is missing.
   */
  async #settle(): Promise<boolean> {
    const view = this.#view;
    if (view === undefined) throw new Error('asked to read again');
    const complete = await this.#complete();
    if (complete === undefined || this.#view !== view) return this.#missing();
    for (const [scope, followed] of this.#scopes) apply(view, scope, followed, complete.at);
    this.#at = complete.at;
    await this.#follows(view);
    if (this.#isHalf(complete)) return this.#missing();
    this.#missingSince = undefined;
    this.#tell(view, complete.head.revision, false);
    this.#follow.well();
    return [...this.#scopes.values()].every(({ events }) => events.length === 0);
  }

  #missing(): false {
    this.#missingSince ??= performance.now();
    if (performance.now() - this.#missingSince < PATIENCE_MS) return false;
    this.#missingSince = undefined;
    this.#view = undefined;
    throw new Error('something that was changed is not told: everything is read again');
  }

  /** Up to where nothing is missing; undefined where something is. */
  async #complete(): Promise<Complete | undefined> {
    const now = await completeNow(this.#asked, this.#identity, this.#scopes, () => {
      this.#follow.heard();
    });
    const complete = now ?? (await this.#completeBefore());
    // Of a member that is behind, what is known is of the future.
    if (complete === undefined || complete.at < this.#at || this.#isHalf(complete)) return undefined;
    return complete;
  }

  async #completeBefore(): Promise<Complete | undefined> {
    if (this.#missingSince === undefined || performance.now() - this.#missingSince < HASTE_MS) return undefined;
    return completeBefore(this.#asked, this.#scopes, this.#at);
  }

  #isHalf(complete: Complete): boolean {
    const isHere = isHalf(complete, this.#scopes);
    // Whoever carries it out takes the time that it takes.
    if (isHere) this.#missingSince = performance.now();
    return isHere;
  }

  /** Reads what concerns the host by now, and leaves what does not. */
  async #follows(view: HostView): Promise<void> {
    for (let needed = view.needed(); ; needed = view.needed()) {
      const missing = [...needed].filter((scope) => !view.has(scope));
      if (missing.length === 0) break;
      for (const scope of missing) await this.#load(view, scope);
    }
    const needed = view.needed();
    for (const scope of [...view.known].filter((one) => !needed.has(one))) {
      const { watch = 0 } = this.#scopes.get(scope) ?? {};
      this.#stream?.cancel(watch);
      this.#byWatch.delete(watch);
      this.#scopes.delete(scope);
      view.drop(scope);
    }
  }

  /** A scope as it was at the revision that the view is of. */
  async #load(view: HostView, scope: Scope): Promise<void> {
    const entries = new Map<string, string>();
    const followed: Followed = { heard: 0, applied: 0, by: '', events: [], watch: 0 };
    const options = { limit: PAGE, revision: this.#at, serializable: true };
    for await (const { kvs } of this.#client.pages(this.#key(VIEW + scope), options)) {
      this.#follow.heard();
      for (const kv of kvs) {
        const name = this.#nameOf(scope, kv);
        if (name !== '') entries.set(name, kv.value.toString());
        else {
          followed.heard = followed.applied = Number(kv.mod_revision);
          followed.by = kv.value.toString();
        }
      }
    }
    view.load(scope, entries);
    this.#scopes.set(scope, followed);
    if (this.#stream !== undefined) this.#watch(scope, followed);
  }

  async #readEverything(signal: AbortSignal): Promise<void> {
    for (const backoff = new Backoff(MISSING_MS); ;) {
      const { header, kvs } = await this.#client.range({ key: this.#key('head') });
      const identity = await this.#client.range({ key: this.#key('identity') });
      const [name] = identity.kvs;
      if (name === undefined) throw new Error('there is no store: the API makes it');
      const view = new HostView(this.host, [ASKED]);
      this.#identity = name.value.toString();
      this.#clusterId = header.cluster_id;
      this.#scopes = new Map();
      this.#at = Number(header.revision);
      await this.#follows(view);
      const head = headOf(kvs);
      if (!this.#isHalf({ at: this.#at, head })) {
        this.#missingSince = undefined;
        signal.throwIfAborted();
        this.#view = view;
        this.#tell(view, head.revision, true);
        this.#follow.well();
        return;
      }
      await wait(backoff.take(), undefined, { signal });
    }
  }

  #tell(view: HostView, revision: number, isWhole: boolean): void {
    const isNews = isWhole || view.isChanged || revision !== this.#told;
    // Who was told that nothing can be known is told that it can, though nothing changed meanwhile.
    if (!isNews && this.#follow.trouble === undefined) return;
    try {
      const line = view.line(revision, isWhole, `${this.#identity}@${this.#clusterId}`);
      this.#listener?.(this.#feed.take(line, this.#inForce(), () => view.allPorts()));
    } catch (error) {
      // Whatever it was is lost to us, or to who listens: everything must be told anew.
      this.#view = undefined;
      throw error;
    }
    this.#told = revision;
  }

  #rouse(): void {
    this.#isAwake = true;
    this.#wake();
  }

  /** @param most in milliseconds; until something is heard. */
  async #sleep(most: number): Promise<void> {
    if (!this.#isAwake) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, most);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = () => undefined;
    this.#isAwake = false;
  }
}

/** What there was since is not to be had any more. */
function isCompacted(error: unknown): boolean {
  return error instanceof EtcdError && error.failure === 'compacted';
}
