/**
 * The embedded store: LMDB in a folder. One process at a time serves it; others may read it meanwhile.
 *
 * A commit is synchronous and durable (fdatasync) when it returns: the reasons are in docs/decisions/store.md.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { lockFile, LockError, type FileLock } from '../../system/file-lock.js';
import {
  StoreError,
  type Changes,
  type Commit,
  type Json,
  type Snapshot,
  type Store,
  type WatchListener,
} from './store.js';
import { Watchers } from './watchers.js';
import { hasRoom } from './room.js';
import { damaged, inspect } from './inspect.js';
import { checkSchema, SCHEMA, UNSEALED } from './schema.js';
import { digestIn, EMPTY_SUM, isSealed, seal, toggled, unseal } from './sealed.js';

const REVISION = 'revision';
const SCHEMA_KEY = 'schema';
/** Which store this is. */
const IDENTITY = 'identity';
/** Of the digests of all records: that none is missing. */
const SUM = 'sum';
/** Written by nobody but {@link LmdbStore.probe}. */
const PROBE = 'probe';
/** What a change writes, usually, and more: a group with its rules has a quarter of it. Room for less is none. */
const USUAL_BYTES = 4096;
/** Records that one look reads. */
const LOOK_AT = 100;

export class LmdbStore implements Store {
  readonly name: string;
  readonly keepsViews = false;
  readonly #root: RootDatabase;
  /** Sealed records. */
  readonly #entries: Database<string, string>;
  readonly #meta: Database<number | string, string>;
  readonly #lock: FileLock | undefined;
  /** The newest that this process read or wrote. */
  #known = 0;
  readonly #watchers = new Watchers();
  /** The file that we have open: what its folder shows may be another one by now. */
  #file: FileIdentity;
  /** The last record that {@link look} read; undefined to begin again. */
  #lookedAt: string | undefined;

  private constructor(
    private readonly path: string,
    root: RootDatabase,
    lock: FileLock | undefined,
  ) {
    this.name = `lmdb:${path}`;
    this.#root = root;
    this.#lock = lock;
    this.#file = identityOf(path);
    this.#entries = root.openDB<string, string>({ name: 'entries', encoding: 'string' });
    this.#meta = root.openDB<number | string, string>({ name: 'meta', encoding: 'json' });
  }

  /**
   * Opens the store in a folder, which is made if it is not there.
   * @param use `serve` takes the lock of the folder; `read` does not, and must not commit.
   * @throws StoreError when it is served by another process, is of a newer version, or cannot be opened.
   */
  static async open(path: string, use: 'serve' | 'read' = 'serve'): Promise<LmdbStore> {
    await inspect(path);
    const root = opened(path, use);
    let lock: FileLock | undefined;
    try {
      lock = use === 'serve' ? await lockOf(path) : undefined;
      if (use === 'serve' && lock === undefined) throw new StoreError(`${path}: another process serves this store`);
    } catch (error) {
      await root.close();
      throw error;
    }
    if (use === 'serve') makePrivate(path);
    const store = new LmdbStore(path, root, lock);
    try {
      checkSchema(store.name, store.#number(SCHEMA_KEY));
      if (use === 'serve') store.#identify();
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  get identity(): string | undefined {
    const value = this.#meta.get(IDENTITY);
    return typeof value === 'string' ? value : undefined;
  }

  /** A store of an older version has no identity yet; one without room for it goes on without. */
  #identify(): void {
    if (this.identity !== undefined || !hasRoom(this.path, 0)) return;
    this.#root.transactionSync(() => {
      this.#meta.putSync(IDENTITY, randomUUID());
    });
  }

  load(): Promise<Snapshot> {
    // One read transaction: a commit of another process cannot come in between.
    const transaction = this.#root.useReadTransaction();
    this.#watchers.forget();
    try {
      const revision = this.#number(REVISION, transaction) ?? 0;
      const schema = this.#number(SCHEMA_KEY, transaction);
      const entries = new Map<string, Json>();
      let sum = EMPTY_SUM;
      for (const { key, value } of this.#entries.getRange({ transaction })) {
        const opened = unseal(key, value);
        if (opened === undefined) throw damaged(this.path, `${key} is not as it was written`);
        entries.set(key, opened.value);
        sum = toggled(sum, opened.digest);
      }
      if (schema !== undefined && schema > UNSEALED && this.#meta.get(SUM, { transaction }) !== sum) {
        throw damaged(this.path, 'records are missing, or of another time');
      }
      this.#known = revision;
      return Promise.resolve({ schema, revision, entries });
    } catch (error) {
      return Promise.reject(
        error instanceof StoreError
          ? error
          : damaged(this.path, error instanceof Error ? error.message : String(error)),
      );
    } finally {
      transaction.done();
    }
  }

  commit(base: number, changes: Changes): Promise<number | 'conflict'> {
    const revision = base + 1;
    let bytes = 0;
    try {
      this.#mustBeThere();
      if (!hasRoom(this.path, sizeOf(changes))) throw new Error('no room is left on the disk');
      const isApplied = this.#root.transactionSync(() => {
        if ((this.#number(REVISION) ?? 0) !== base) return false;
        let sum = this.#sum();
        for (const [key, value] of changes) {
          const before = this.#entries.get(key);
          if (before !== undefined && isSealed(before)) sum = toggled(sum, digestIn(before));
          if (value === undefined) this.#entries.removeSync(key);
          else {
            const sealed = seal(key, value);
            bytes += sealed.length;
            sum = toggled(sum, digestIn(sealed));
            this.#entries.putSync(key, sealed);
          }
        }
        this.#meta.putSync(SUM, sum);
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
    this.#remember({ revision, changes, bytes });
    return Promise.resolve(revision);
  }

  newest(): Promise<number> {
    return Promise.resolve(this.#known);
  }

  /** @throws StoreError */
  look(): void {
    try {
      this.#mustBeThere();
      if ((this.#number(REVISION) ?? 0) < this.#known) throw new Error('it is of another time');
      const start = this.#lookedAt === undefined ? {} : { start: this.#lookedAt };
      let last: string | undefined;
      let count = 0;
      for (const { key, value } of this.#entries.getRange({ ...start, limit: LOOK_AT })) {
        if (unseal(key, value) === undefined) throw new Error(`${key} is not as it was written`);
        last = key;
        count++;
      }
      this.#lookedAt = count < LOOK_AT ? undefined : last;
    } catch (error) {
      throw new StoreError(`${this.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /**
   * LMDB goes on with a file that was taken away, and what it writes there is gone with the process; one that was cut short ends the
   * process by a signal when it is read.
   */
  #mustBeThere(): void {
    const { dev, ino, size } = identityOf(this.path);
    if (dev !== this.#file.dev || ino !== this.#file.ino) throw new Error('data.mdb is another file than was opened');
    if (size < this.#file.size) throw new Error('data.mdb was cut short');
    if (size > this.#file.size) this.#file = { dev, ino, size };
  }

  /** @throws StoreError */
  probe(): void {
    try {
      this.#mustBeThere();
      if (!hasRoom(this.path, USUAL_BYTES)) throw new Error('no room is left on the disk');
      this.#root.transactionSync(() => {
        this.#meta.putSync(PROBE, (this.#number(PROBE) ?? 0) + 1);
      });
    } catch (error) {
      throw new StoreError(`${this.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #sum(): string {
    const sum = this.#meta.get(SUM);
    return typeof sum === 'string' ? sum : EMPTY_SUM;
  }

  #number(name: string, transaction?: ReturnType<RootDatabase['useReadTransaction']>): number | undefined {
    const value = transaction === undefined ? this.#meta.get(name) : this.#meta.get(name, { transaction });
    return typeof value === 'number' ? value : undefined;
  }

  watch(revision: number, listener: WatchListener): () => void {
    return this.#watchers.watch(revision, this.#number(REVISION) ?? 0, listener);
  }

  async close(): Promise<void> {
    this.#watchers.close();
    await this.#root.close();
    this.#lock?.release();
  }

  /** A process that our lock does not keep out (of another network namespace) wrote: what was told is not all there is. */
  #heardOfStranger(): void {
    if ((this.#number(REVISION) ?? 0) === this.#known) return;
    this.#watchers.gap();
  }

  #remember(commit: Commit): void {
    this.#known = commit.revision;
    this.#watchers.tell(commit);
  }
}

interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
}

/** LMDB's file never shrinks. */
function identityOf(path: string): FileIdentity {
  const { dev, ino, size } = statSync(join(path, 'data.mdb'));
  return { dev, ino, size };
}

/** In bytes, about: texts are longer than they look where they are not ASCII. */
function sizeOf(changes: Changes): number {
  return [...changes].reduce((sum, [key, value]) => sum + key.length + JSON.stringify(value ?? null).length, 0);
}

function opened(path: string, use: 'serve' | 'read'): RootDatabase {
  // LMDB makes the folder also for whoever only reads.
  if (use === 'read' && !existsSync(join(path, 'data.mdb'))) throw new StoreError(`${path}: holds no store`);
  try {
    if (use === 'serve') mkdirSync(path, { recursive: true, mode: 0o700 });
    return open({ path, noSubdir: false, readOnly: use === 'read', maxDbs: 2 });
  } catch (error) {
    throw new StoreError(
      `${path}: cannot be opened as a store: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Its owner's alone, as a backup is: it holds all projects' rules. The folder may be somebody else's, and stays as it is. */
function makePrivate(path: string): void {
  for (const name of ['data.mdb', 'lock.mdb']) chmodSync(join(path, name), 0o600);
}

/** Beside the data, so that it is the folder's whatever names it has and wherever it is mounted. */
async function lockOf(path: string): Promise<FileLock | undefined> {
  try {
    return await lockFile(join(path, 'served.lock'));
  } catch (error) {
    if (error instanceof LockError) throw new StoreError(`${path}: its lock cannot be taken: ${error.message}`);
    throw error;
  }
}
