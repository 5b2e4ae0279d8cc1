/** Looks again and again at what the kernel tells nobody of, as often as it is cheap. */

/** Between two looks, at least; in milliseconds. */
const EVERY = 2000;
/** After a look as many times its own duration passes: it takes a fiftieth of one CPU at most... */
const SHARE = 50;
/** ... but not more than this, however slow the host is; in milliseconds. */
const LONGEST = 10_000;
/** After a look that was worth nothing, since something of ours happened meanwhile; in milliseconds. */
const AGAIN = 250;

export class Looks {
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @param look comes back with false when it was worth nothing; never rejects. */
  constructor(private readonly look: () => Promise<boolean>) {}

  start(): void {
    this.#later(EVERY);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #later(milliseconds: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#now(), milliseconds);
  }

  async #now(): Promise<void> {
    const startedAt = performance.now();
    const isWorth = await this.look();
    const took = performance.now() - startedAt;
    this.#later(Math.max(isWorth ? EVERY : AGAIN, Math.min(SHARE * took, LONGEST)));
  }
}
