/**
 * The embedded store: LMDB in a folder. One process at a time serves it; others may read it meanwhile.
 *
 * A commit is synchronous and durable (fdatasync) when it returns: the reasons are in docs/decisions/store.md.
 */
import { statSync } from 'node:fs';
import type { Server } from 'node:net';
import { open, type Database, type RootDatabase } from 'lmdb';
import { takeLock } from '../../system/lock.js';
import {
  StoreError,
  type Changes,
  type Commit,
  type Json,
  type Snapshot,
  type Store,
  type WatchListener,
} from './store.js';
import { hasRoom } from './room.js';
import { checkSchema, SCHEMA } from './schema.js';

/** Of those that a watcher may ask for again. */
const REMEMBERED_COMMITS = 1000;

const REVISION = 'revision';
const SCHEMA_KEY = 'schema';

export class LmdbStore implements Store {
  readonly name: string;
  readonly #root: RootDatabase;
  readonly #entries: Database<Json, string>;
  readonly #meta: Database<number, string>;
  readonly #lock: Server | undefined;
  /** The newest that this process read or wrote. */
  #known = 0;
  #recent: Commit[] = [];
  readonly #watchers = new Set<WatchListener>();

  private constructor(
    private readonly path: string,
    root: RootDatabase,
    lock: Server | undefined,
  ) {
    this.name = `lmdb:${path}`;
    this.#root = root;
    this.#lock = lock;
    this.#entries = root.openDB<Json, string>({ name: 'entries', encoding: 'json' });
    this.#meta = root.openDB<number, string>({ name: 'meta', encoding: 'json' });
  }

  /**
   * Opens the store in a folder, which is made if it is not there.
   * @param use `serve` takes the lock of the folder; `read` does not, and must not commit.
   * @throws StoreError when it is served by another process, is of a newer version, or cannot be opened.
   */
  static async open(path: string, use: 'serve' | 'read' = 'serve'): Promise<LmdbStore> {
    const root = opened(path, use);
    const lock = use === 'serve' ? await lockOf(path) : undefined;
    if (use === 'serve' && lock === undefined) {
      await root.close();
      throw new StoreError(`${path}: another process serves this store`);
    }
    const store = new LmdbStore(path, root, lock);
    checkSchema(store.name, store.#meta.get(SCHEMA_KEY));
    return store;
  }

  load(): Promise<Snapshot> {
    // One read transaction: a commit of another process cannot come in between.
    const transaction = this.#root.useReadTransaction();
    this.#recent = [];
    try {
      const revision = this.#meta.get(REVISION, { transaction }) ?? 0;
      const entries = new Map<string, Json>();
      for (const { key, value } of this.#entries.getRange({ transaction })) entries.set(key, value);
      this.#known = revision;
      return Promise.resolve({ schema: this.#meta.get(SCHEMA_KEY, { transaction }), revision, entries });
    } finally {
      transaction.done();
    }
  }

  commit(base: number, changes: Changes): Promise<number | 'conflict'> {
    const revision = base + 1;
    try {
      if (!hasRoom(this.path, sizeOf(changes))) throw new Error('no room is left on the disk');
      const isApplied = this.#root.transactionSync(() => {
        if ((this.#meta.get(REVISION) ?? 0) !== base) return false;
        for (const [key, value] of changes) {
          if (value === undefined) this.#entries.removeSync(key);
          else this.#entries.putSync(key, value);
        }
        this.#meta.putSync(REVISION, revision);
        this.#meta.putSync(SCHEMA_KEY, SCHEMA);
        return true;
      });
      if (!isApplied) {
        this.#heardOfStranger();
        return Promise.resolve('conflict');
      }
    } catch (error) {
      return Promise.reject(new StoreError(`${this.name}: ${error instanceof Error ? error.message : String(error)}`));
    }
    this.#remember({ revision, changes });
    return Promise.resolve(revision);
  }

  watch(revision: number, listener: WatchListener): () => void {
    const current = this.#meta.get(REVISION) ?? 0;
    const missed = this.#recent.filter((commit) => commit.revision > revision);
    if (revision > current || missed.length !== current - revision) {
      listener.onGap();
      return () => undefined;
    }
    for (const commit of missed) listener.onCommit(commit);
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    await this.#root.close();
    this.#lock?.close();
  }

  /** A process that our lock does not keep out (of another network namespace) wrote: what was told is not all there is. */
  #heardOfStranger(): void {
    if ((this.#meta.get(REVISION) ?? 0) === this.#known) return;
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const { onGap } of watchers) onGap();
  }

  #remember(commit: Commit): void {
    this.#known = commit.revision;
    this.#recent.push(commit);
    // In batches: to drop the first of a list costs its length.
    if (this.#recent.length > 2 * REMEMBERED_COMMITS) this.#recent = this.#recent.slice(-REMEMBERED_COMMITS);
    for (const { onCommit } of [...this.#watchers]) onCommit(commit);
  }
}

/** In bytes, about: texts are longer than they look where they are not ASCII. */
function sizeOf(changes: Changes): number {
  return [...changes].reduce((sum, [key, value]) => sum + key.length + JSON.stringify(value ?? null).length, 0);
}

function opened(path: string, use: 'serve' | 'read'): RootDatabase {
  try {
    return open({ path, noSubdir: false, readOnly: use === 'read', maxDbs: 2 });
  } catch (error) {
    throw new StoreError(
      `${path}: cannot be opened as a store: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** By what the folder is, not by its name, which may be one of several. */
async function lockOf(path: string): Promise<Server | undefined> {
  const { dev, ino } = statSync(path);
  return takeLock(`portcullis-store-${dev.toString()}-${ino.toString()}`);
}
