/**
 * Which transactions of nf_tables are ours. The kernel tells of each one by its generation and by the port id of the socket that made
 * it; numbers of processes are used again, so one of ours is ours once: within the generations that it can have made, until its
 * notice is heard.
 */
import { KernelError } from './kernel/errors.js';
import { applyText } from './kernel/nft.js';
import { readGeneration } from './netlink/generation.js';
import type { TableChanged } from './watch/events.js';

/** The kernel tells of a transaction at once; a watching process that is late by as much is to be doubted. In milliseconds. */
const NOTICE_WITHIN = 1000;

interface Commit {
  readonly before: number;
  /** Undefined while the program runs. */
  after: number | undefined;
  /** Of the program, which is nft(8)'s port id, too. */
  pid: number | undefined;
}

export class Commits {
  readonly #expected = new Set<Commit>();

  /** @param onSilence called when a transaction of ours was told of by nobody in time. */
  constructor(private readonly onSilence: () => void) {}

  /**
   * Applies nft text as one transaction.
   * @throws KernelError `ineffective` when nft says that it did and the kernel has made none.
   */
  async apply(text: string): Promise<void> {
    const commit: Commit = { before: await readGeneration(), after: undefined, pid: undefined };
    this.#expected.add(commit);
    try {
      await applyText(text, (pid) => {
        commit.pid = pid;
      });
      commit.after = await readGeneration();
    } catch (error) {
      // Whatever was made of it all the same counts as somebody else's: it is compared.
      this.#expected.delete(commit);
      throw error;
    }
    if (commit.after === commit.before) {
      this.#expected.delete(commit);
      throw new KernelError('ineffective', 'nft said that it had applied a transaction, and the kernel has made none');
    }
    const timer = setTimeout(() => {
      if (this.#expected.delete(commit)) this.onSilence();
    }, NOTICE_WITHIN);
    timer.unref();
  }

  /** True when the transaction is one of ours; its notice is awaited no more. */
  claims({ generation, portId }: TableChanged): boolean {
    for (const commit of this.#expected) {
      if (commit.pid === portId && couldHaveMade(commit, generation)) return this.#expected.delete(commit);
    }
    return false;
  }

  /** Nobody listened for a while: no notice is awaited. */
  forget(): void {
    this.#expected.clear();
  }
}

/** Generations are 32 bits and begin anew. */
function couldHaveMade({ before, after }: Commit, generation: number): boolean {
  const distance = (generation - before) >>> 0;
  const most = after === undefined ? 0x7fff_ffff : (after - before) >>> 0;
  return distance >= 1 && distance <= most;
}
