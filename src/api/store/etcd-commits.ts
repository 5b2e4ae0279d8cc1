/** How a commit is made in etcd: decided by the head, in one transaction; a large one is carried out afterwards, by whoever comes (etcd-format.ts). */
import { setTimeout as wait } from 'node:timers/promises';
import { Backoff } from '../../../agent/backoff.js';
import { EtcdError, endOf, type EtcdClient } from '../../etcd/client.js';
import type { Operation, TxnResponse } from '../../etcd/messages.js';
import { printHead, printPart, readHead, readPart, type Head, type Stage, type Write } from './etcd-format.js';
import type { EtcdTrouble } from './etcd-trouble.js';
import { checkSchema, SCHEMA } from './schema.js';
import { StoreError } from './store.js';
import { together } from './together.js';

/** How long a commit is tried while nobody answers. */
const PATIENCE_MS = 10_000;
/** Between tries. There are few processes of the API, and many who wait for them. */
export const BACKOFF_MS = { first: 50, most: 500 };
/** How far back it is looked whose commit a revision was. */
const MOST_HEADS = 1000;

/** Transactions of a large commit that are under way at once: the members write their logs for several together. */
const AT_ONCE = 4;

/** Parts that are looked at after each load. */
const MOST_PARTS = 1000;

/** `text` as it lies there, to be compared; undefined where there is none yet. */
export interface KnownHead {
  readonly head: Head;
  readonly text: string | undefined;
}

/** Of a store that nobody committed to. */
export const NO_HEAD: Head = { revision: 0, schema: SCHEMA, by: '' };

export class EtcdCommits {
  #clusterId: string | undefined;

  /** @param closing nothing is tried again once it is aborted. */
  constructor(
    private readonly client: EtcdClient,
    private readonly prefix: string,
    private readonly trouble: EtcdTrouble,
    private readonly closing: AbortSignal,
  ) {}

  /** The cluster that the store was read from; undefined before. */
  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** From now on another cluster is an error. */
  staysWith(clusterId: string): void {
    this.#clusterId = clusterId;
  }

  key(name: string): Buffer {
    return Buffer.from(this.prefix + name);
  }

  /**
   * Commits on top of a head.
   * @param by the commit's name, which nothing else has.
   * @returns false when it is another head by now, and not by this.
   * @throws StoreError, EtcdError
   */
  async commit(before: KnownHead, by: string, stages: readonly Stage[]): Promise<boolean> {
    const batches = stages.flat();
    const [only, ...more] = batches;
    if (more.length === 0) {
      const head: Head = { revision: before.head.revision + 1, schema: SCHEMA, by };
      return this.#decide(before, by, head, only ?? []);
    }
    await this.#writeParts(by, batches);
    const next = { by, schema: SCHEMA, parts: batches.length };
    const head: Head = { ...before.head, next };
    if (!(await this.#decide(before, by, head, []))) {
      await this.attempt(async () => this.transaction([deletion(this.key(`parts/${by}/`), true)]));
      return false;
    }
    try {
      await this.#carryOut(head, printHead(head), stages);
    } catch (error) {
      // It is decided: who comes next carries it out.
      throw this.trouble.asUnknown(error);
    }
    return true;
  }

  /**
   * Takes away parts of commits that can never be decided: a commit is on top of the head that it found before it wrote its parts, so it is
   * dead as soon as the head is another one than it was then. No clock says so: an API's may be hours ahead of another's.
   * @param modified the revision of etcd that wrote the head.
   */
  async sweepParts({ next }: Head, modified: number): Promise<void> {
    const key = this.key('parts/');
    const { kvs } = await this.client.range({ key, range_end: endOf(key), limit: MOST_PARTS, keys_only: true });
    for (const { key: part, mod_revision: written } of kvs) {
      const [by = ''] = part.toString().slice(key.length).split('/');
      if (by !== next?.by && Number(written) < modified) await this.transaction([deletion(part, false)]);
    }
  }

  /** `at`: the revision of etcd that it was read at. */
  async readHead(revision = 0): Promise<{
    readonly head: Head;
    readonly text: string | undefined;
    readonly at: number;
    readonly modified: number;
    readonly clusterId: string;
  }> {
    const { kvs, header } = await this.client.range({ key: this.key('head'), revision });
    const [kv] = kvs;
    const text = kv?.value.toString();
    if (this.#clusterId !== undefined && header.cluster_id !== this.#clusterId) {
      throw new StoreError(
        `${this.trouble.name}: it is another cluster (${header.cluster_id}, before ${this.#clusterId})`,
      );
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
    const key = this.key('head');
    const { text } = before;
    const answers = { unknown: 0 };
    const isWritten = this.attempt(
      async () =>
        this.client.txn({
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
      if (succeeded) this.trouble.written();
      return succeeded || (answers.unknown > 0 && (await this.#wasDecided(by, before.head)));
    } catch (error) {
      const isFull = error instanceof EtcdError && error.failure === 'full';
      if (answers.unknown === 0 && !isFull) throw error;
      // That it is full stays true, whatever became of this.
      const said = this.trouble.asStoreError(error);
      // A later try was refused: an earlier one may be under way still, or done. And a member that finds itself full only as it applies a
      // transaction does it all the same, and says that it is full (quotaApplierV3, server/etcdserver/apply/quota.go of etcd).
      if (await this.#wasDecided(by, before.head)) return true;
      throw answers.unknown === 0 ? said : this.trouble.asUnknown(said);
    }
  }

  /** Whether a commit on top of a head was ours, though nobody said so. @throws UnknownOutcome when nobody can say it any more, either. */
  async #wasDecided(by: string, before: Head): Promise<boolean> {
    try {
      return await this.#isInHistory(by, before);
    } catch (error) {
      // History may end behind it, and whoever tells it may refuse: that says nothing of what was done.
      throw this.trouble.asUnknown(error);
    }
  }

  async #isInHistory(by: string, before: Head): Promise<boolean> {
    let revision = 0;
    for (let count = 0; count < MOST_HEADS; count++) {
      const { head, modified } = await this.attempt(async () => this.readHead(revision));
      if (head.by === by || head.next?.by === by) return true;
      if (head.revision <= before.revision && head.next === undefined) return false;
      if (modified <= 1) return false;
      revision = modified - 1;
    }
    throw new StoreError(`${this.trouble.name}: too much was committed meanwhile to say whether this was`);
  }

  async #writeParts(by: string, batches: readonly (readonly Write[])[]): Promise<void> {
    await together([...batches.entries()], AT_ONCE, async ([index, batch]) => {
      await this.attempt(async () => this.transaction([put(this.#partKey(by, index), printPart(batch))]));
    });
  }

  #partKey(by: string, index: number): Buffer {
    return this.key(`parts/${by}/${index.toString().padStart(6, '0')}`);
  }

  /** Carries out what the head names, stage by stage; whoever else does the same does no harm. */
  async #carryOut(head: Head, text: string, stages: readonly Stage[]): Promise<void> {
    const { next, revision } = head;
    if (next === undefined) return;
    const key = this.key('head');
    const isStillNext = [{ result: 'EQUAL', target: 'VALUE', key, value: Buffer.from(text) }] as const;
    for (const stage of stages) {
      const answers = await together(stage, AT_ONCE, async (batch) => {
        const success = batch.map((write) => this.#operation(write));
        return this.attempt(async () => this.client.txn({ compare: isStillNext, success, failure: [] }));
      });
      // Somebody else was faster.
      if (answers.some(({ succeeded }) => !succeeded)) return;
    }
    const done: Head = { revision: revision + 1, schema: next.schema, by: next.by };
    await this.attempt(async () =>
      this.client.txn({
        compare: isStillNext,
        success: [put(key, printHead(done)), deletion(this.key(`parts/${next.by}/`), true)],
        failure: [],
      }),
    );
  }

  /** @throws StoreError, EtcdError */
  async finishWhatIsLeft(): Promise<void> {
    const { head, text, at } = await this.readHead();
    const { next } = head;
    if (next === undefined || text === undefined) return;
    // What is carried out here is said to be of this version, for agents, too (`view`).
    checkSchema(this.trouble.name, next.schema);
    const batches: (readonly Write[])[] = [];
    for (let index = 0; index < next.parts; index++) {
      const { kvs } = await this.client.range({ key: this.#partKey(next.by, index), revision: at });
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
  async attempt<T>(work: () => Promise<T>, onUnknown: () => void = () => undefined): Promise<T> {
    const start = performance.now();
    for (const backoff = new Backoff(BACKOFF_MS); ;) {
      try {
        const result = await work();
        this.trouble.set(undefined);
        return result;
      } catch (error) {
        if (!(error instanceof EtcdError) || error.failure !== 'unreachable') throw error;
        onUnknown();
        if (performance.now() - start > PATIENCE_MS || this.closing.aborted) throw error;
        await wait(backoff.take());
      }
    }
  }

  async transaction(success: readonly Operation[]): Promise<TxnResponse> {
    return this.client.txn({ compare: [], success, failure: [] });
  }

  #operation([key, value]: Write): Operation {
    return value === undefined ? deletion(this.key(key), false) : put(this.key(key), value);
  }
}

export function put(key: Buffer, value: string): Operation {
  return { request_put: { key, value: Buffer.from(value) } };
}

export function deletion(key: Buffer, isPrefix: boolean): Operation {
  return { request_delete_range: isPrefix ? { key, range_end: endOf(key) } : { key } };
}
