/**
 * Which transactions of nf_tables are ours. The kernel tells of each one by its generation and by the port id of the socket that made
 * it; numbers of processes and of sockets are used again, so each of ours is ours once: within the generations that it can have made.
 */

export interface OwnCommit {
  /** The generation when it began. */
  readonly before: number;
  /** The one when it was over; undefined while it is under way. */
  after: number | undefined;
  /** Of the socket that makes it; undefined while that is not known. */
  portId: number | undefined;
  /** How many transactions it may make that were not told of yet. */
  awaited: number;
}

/** Those that nobody told of for long are given up from here on. */
const MOST = 1000;

export class OwnCommits {
  readonly #expected = new Set<OwnCommit>();

  add(commit: OwnCommit): void {
    this.#expected.add(commit);
    for (const oldest of this.#expected) {
      if (this.#expected.size <= MOST) break;
      this.#expected.delete(oldest);
    }
  }

  /** @returns false when its notice was heard already, or is awaited no more. */
  delete(commit: OwnCommit): boolean {
    return this.#expected.delete(commit);
  }

  /** False when its notice was heard, or is awaited no more. */
  has(commit: OwnCommit): boolean {
    return this.#expected.has(commit);
  }

  /** The one that begins so; undefined when it is none of those that are awaited. */
  find(portId: number, before: number): OwnCommit | undefined {
    return [...this.#expected].find((commit) => commit.portId === portId && commit.before === before);
  }

  /** True when the transaction is one of ours; its notice is awaited no more. */
  claims(portId: number, generation: number): boolean {
    for (const commit of this.#expected) {
      if (commit.portId !== portId || !isWithin(commit, generation, 32)) continue;
      if (--commit.awaited === 0) this.#expected.delete(commit);
      return true;
    }
    return false;
  }

  /** True when what the socket did is of a transaction of ours, by the lower bits of its generation. It is still awaited. */
  covers(portId: number, generation16: number): boolean {
    return [...this.#expected].some((commit) => commit.portId === portId && isWithin(commit, generation16, 16));
  }

  /**
   * True when a transaction of ours may have made the generation, whichever socket did: a wrapper of nft may run it in a process of its
   * own.
   */
  mayHaveMade(generation16: number): boolean {
    return [...this.#expected].some((commit) => isWithin(commit, generation16, 16));
  }

  forget(): void {
    this.#expected.clear();
  }
}

/** Generations are 32 bits and begin anew; of half of them it can be said which came first. */
function isWithin({ before, after }: OwnCommit, generation: number, bits: 16 | 32): boolean {
  const distance = (to: number): number => (bits === 32 ? (to - before) >>> 0 : (to - before) & 0xffff);
  const most = after === undefined ? 2 ** (bits - 1) - 1 : distance(after);
  return distance(generation) >= 1 && distance(generation) <= most;
}
