/**
 * The state, and how it changes: each change is a function of the state; what it changed becomes visible when the store has it.
 *
 * Changes that wait while the store writes go to it together, as one transaction: each is whole or absent all the same, since a
 * function that throws leaves nothing. A change that was computed from a state that is not the store's newest is computed again.
 */
import { randomUUID } from 'node:crypto';
import { SingleFlight } from '../../agent/single-flight.js';
import type { Caller } from './caller.js';
import { changeOf, differences, pairsOf, wholeViews } from './entries.js';
import type { RecordChange } from './records.js';
import { keyOf, State, type View } from './state.js';
import { Recent } from './store/recent.js';
import { upgrade } from './store/schema.js';
import {
  StoreError,
  UnknownOutcome,
  type Changes,
  type Commit,
  type Json,
  type Reports,
  type Store,
} from './store/store.js';
import { NO_VIEW_CHANGES, viewChanges, type ViewChanges } from './topology/host-view.js';
import { RecordingWriter, takeBack, type AuditedChange, type Writer } from './writer.js';

export interface AppliedChange {
  readonly revision: number;
  /** About; what it costs to remember. */
  readonly bytes: number;
  readonly changes: readonly RecordChange[];
}

/** Is told of each change that the store has. */
export type Audit = (caller: Caller, changes: readonly AuditedChange[]) => void;

/** For the newest change to be told of. */
const SOON_MS = 5000;

interface Waiting {
  readonly run: (writer: RecordingWriter) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Database {
  #state = new State();
  #revision = 0;
  #waiting: Waiting[] = [];
  readonly #flushing = new SingleFlight(
    async () => this.#flush(),
    () => this.#waiting.length > 0,
  );
  #stopWatch: () => void = () => undefined;
  /** Changes that a reader who was away may still ask for. */
  readonly #recent = new Recent<AppliedChange>();
  readonly #listeners = new Set<(change: AppliedChange) => void>();
  /** Of this process: a store that was put in place of another may count the same revisions, with other changes. */
  readonly session = randomUUID();
  /** Why the store could not be read again: what is known is of the past, and nothing can be changed. */
  #broken: Error | undefined;
  /** Called when a newer revision is applied, or none can be any more. */
  #waitingForNewer: (() => void)[] = [];
  /** The question to the store that is under way, and the one after it. */
  #asking: Promise<void> = Promise.resolve();
  #asksNext: Promise<void> | undefined;

  private constructor(
    private readonly store: Store,
    private readonly audit: Audit,
  ) {}

  /** @throws StoreError */
  static async open(store: Store, audit: Audit): Promise<Database> {
    const database = new Database(store, audit);
    try {
      await database.#load();
      return database;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  get view(): View {
    return this.#state;
  }

  /** Of the newest change in the view. */
  get revision(): number {
    return this.#revision;
  }

  /**
   * Runs a function that changes the state, and returns when the store has what it changed.
   * @param caller for the audit.
   * @param work must not wait; may be run more than once. What it throws is thrown, and nothing is changed.
   * @throws StoreError when the store cannot take it; nothing is changed.
   */
  async change<T>(caller: Caller, work: (writer: Writer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: { readonly value: T; readonly changes: readonly AuditedChange[] } | undefined;
      this.#waiting.push({
        run: (writer) => {
          const value = work(writer);
          result = { value, changes: writer.changes() };
        },
        resolve: () => {
          if (result === undefined) throw new Error('a change was not run');
          if (result.changes.length > 0) this.audit(caller, result.changes);
          resolve(result.value);
        },
        reject,
      });
      this.#flushing.start();
    });
  }

  /**
   * Returns when the view has everything that anybody was told of, by whichever process of the API, before this was called.
   * @throws StoreError when the store does not say.
   */
  async refresh(): Promise<void> {
    // Whoever comes while the store is asked needs a later answer; all who come meanwhile the same one.
    this.#asksNext ??= this.#asking.then(() => {
      this.#asksNext = undefined;
      const answer = this.#askNewest();
      this.#asking = answer.catch(() => undefined);
      return answer;
    });
    return this.#asksNext;
  }

  async #askNewest(): Promise<void> {
    let revision: number;
    try {
      revision = await this.store.newest();
    } catch (error) {
      // Nothing was asked to be changed yet.
      throw error instanceof UnknownOutcome ? new StoreError(error.message) : error;
    }
    await this.#reached(revision, SOON_MS);
  }

  /** See {@link Store.reports}. */
  get reports(): Reports | undefined {
    return this.store.reports;
  }

  /** Which store this is; see {@link Store.identity}. */
  get storeIdentity(): string | undefined {
    return this.store.identity;
  }

  /** Tells of every change from now on, in order. @param listener keeps what it throws to itself. @returns ends it. */
  listen(listener: (change: AppliedChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The changes after a revision, in order; undefined when that is too long ago.
   * @param session of the reader: {@link session} as it was when that revision was told.
   */
  since(session: string, revision: number): readonly AppliedChange[] | undefined {
    return session === this.session ? this.#recent.after(revision, this.#revision) : undefined;
  }

  /** @throws StoreError when the store cannot be read, or what is known is not what it holds. */
  look(): void {
    if (this.#broken !== undefined) throw new StoreError(this.#broken.message);
    this.store.look();
  }

  /** @throws StoreError when the store cannot be written now. */
  probe(): void {
    this.store.probe();
  }

  async close(): Promise<void> {
    this.#stopWatch();
    await this.store.close();
  }

  async #flush(): Promise<void> {
    // Whatever else arrives in this turn of the event loop goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#commit(batch);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    let rest = batch;
    for (;;) {
      const base = this.#revision;
      const { changes, views, done, failed } = this.#compute(rest);
      for (const { waiting, error } of failed) waiting.reject(error);
      rest = done;
      if (changes.size === 0) break;
      const committed = await this.store.commit(base, changes, views);
      if (committed !== 'conflict') {
        await this.#reached(committed);
        break;
      }
      await this.#reached(base + 1);
    }
    for (const { resolve } of rest) resolve();
  }

  /** Runs the functions on the state, notes what they change, and takes it back. */
  #compute(batch: readonly Waiting[]): {
    readonly changes: Changes;
    readonly views: ViewChanges;
    readonly done: readonly Waiting[];
    readonly failed: readonly { readonly waiting: Waiting; readonly error: unknown }[];
  } {
    const changes = new Map<string, Json | undefined>();
    const undo: RecordChange[] = [];
    const done: Waiting[] = [];
    const failed: { waiting: Waiting; error: unknown }[] = [];
    for (const waiting of batch) {
      const writer = new RecordingWriter(this.#state);
      try {
        waiting.run(writer);
        done.push(waiting);
        // One by one: a whole cloud is more than a call takes arguments.
        for (const change of writer.undo) undo.push(change);
        // They were read from JSON, and are of types that it has: only a port's profile says no more of itself.
        for (const { kind, id, record } of writer.made) changes.set(keyOf(kind, id), record as Json | undefined);
      } catch (error) {
        failed.push({ waiting, error });
        takeBack(this.#state, writer.undo);
      }
    }
    try {
      const views = this.store.keepsViews ? viewChanges(pairsOf(undo, this.#state)) : NO_VIEW_CHANGES;
      return { changes, views, done, failed };
    } finally {
      // Whatever comes of it: what is not stored must not be seen.
      takeBack(this.#state, undo);
    }
  }

  async #load(): Promise<void> {
    let snapshot = await this.store.load();
    for (;;) {
      const upgraded = upgrade(this.store.name, snapshot);
      if (upgraded === undefined && snapshot.lacksViews !== true) break;
      const changes = upgraded ?? new Map<string, Json>();
      const views = this.store.keepsViews ? wholeViews(this.store.name, snapshot, changes) : NO_VIEW_CHANGES;
      // A conflict: somebody else upgrades it.
      await this.store.commit(snapshot.revision, changes, views);
      snapshot = await this.store.load();
    }
    const { revision, entries } = snapshot;
    this.#state = new State();
    this.#recent.clear();
    for (const [key, value] of entries) this.#applyEntry(key, value);
    this.#revision = revision;
    this.#stopWatch = this.store.watch(revision, {
      onCommit: (commit) => {
        this.#apply(commit);
      },
      onGap: () => {
        this.#reload().catch((error: unknown) => {
          this.#broken = error instanceof Error ? error : new StoreError(String(error));
          this.#wake();
        });
      },
    });
    this.#wake();
  }

  /** The store was served by somebody else meanwhile: what is known is of the past. Listeners are told what differs. */
  async #reload(): Promise<void> {
    const before = this.#state;
    await this.#load();
    const changes = differences(before, this.#state);
    this.#tell({ revision: this.#revision, bytes: 0, changes });
  }

  #apply({ revision, changes, bytes }: Commit): void {
    const applied = [...changes].flatMap(([key, value]) => this.#applyEntry(key, value));
    this.#revision = revision;
    this.#recent.add({ revision, bytes, changes: applied });
    this.#tell({ revision, bytes, changes: applied });
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waitingForNewer;
    this.#waitingForNewer = [];
    for (const wake of waiting) wake();
  }

  /** A listener that throws all the same is a defect: it keeps nothing from the others, nor from whoever made the change. */
  #tell(change: AppliedChange): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(change);
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    }
  }

  #applyEntry(key: string, value: Json | undefined): readonly RecordChange[] {
    const change = changeOf(this.store.name, key, value);
    this.#state.apply(change);
    return [change];
  }

  /** @param within in milliseconds. */
  async #reached(revision: number, within = Infinity): Promise<void> {
    const end = performance.now() + within;
    while (this.#revision < revision) {
      if (this.#broken !== undefined) throw this.#broken;
      if (performance.now() > end) throw new StoreError(`${this.store.name}: it does not tell of its newest change`);
      await new Promise<void>((resolve) => {
        this.#waitingForNewer.push(resolve);
        if (within !== Infinity) setTimeout(resolve, within).unref();
      });
    }
  }
}
