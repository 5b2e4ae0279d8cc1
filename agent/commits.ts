/**
 * Which transactions of nf_tables are ours. The kernel tells of each one by its generation and by the port id of the socket that made
 * it; numbers of processes are used again, so each of ours is ours once: within the generations that it can have made, until its
 * notice is heard.
 */
import { KernelError } from './kernel/errors.js';
import { applyText } from './kernel/nft.js';
import { readGeneration } from './netlink/generation.js';
import type { Committed } from './watch/events.js';

/** The kernel tells of a transaction at once; a watching process that is late by as much is to be doubted. In milliseconds. */
const NOTICE_WITHIN = 1000;

interface Commit {
  readonly before: number;
  /** Undefined while the program runs. */
  after: number | undefined;
  /** Of the program, which is the port id of nft(8) and of iptables-nft, too. */
  pid: number | undefined;
  /** How many transactions it makes, at most; and how many of them were not told of. */
  readonly most: number;
  awaited: number;
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
    await this.run('nft', 1, async (onStart) => applyText(text, onStart));
  }

  /**
   * Runs a program that makes transactions.
   * @param most how many.
   * @param start is given what must be called with the program's process id.
   * @throws KernelError `ineffective` when the program says that it did and the kernel has made none.
   */
  async run(name: string, most: number, start: (onStart: (pid: number) => void) => Promise<void>): Promise<void> {
    const before = await readGeneration();
    const commit: Commit = { before, after: undefined, pid: undefined, most, awaited: most };
    this.#expected.add(commit);
    try {
      await start((pid) => {
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
      throw new KernelError(
        'ineffective',
        `${name} said that it had applied a transaction, and the kernel has made none`,
      );
    }
    const timer = setTimeout(() => {
      if (this.#expected.delete(commit) && commit.awaited === commit.most) this.onSilence();
    }, NOTICE_WITHIN);
    timer.unref();
  }

  /** True when the transaction is one of ours; its notice is awaited no more. */
  claims({ generation, portId }: Committed): boolean {
    for (const commit of this.#expected) {
      if (commit.pid !== portId || !couldHaveMade(commit, generation)) continue;
      if (--commit.awaited === 0) this.#expected.delete(commit);
      return true;
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
