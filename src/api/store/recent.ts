/** The newest changes, in order, for those who were away: so many, and so large together, at most. */
interface Numbered {
  readonly revision: number;
  /** About; what it costs to remember. */
  readonly bytes: number;
}

const MOST = 1000;
const MOST_BYTES = 32 * 1024 * 1024;

export class Recent<T extends Numbered> {
  #items: T[] = [];
  #bytes = 0;

  add(item: T): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
    // In batches: to drop the first of a list costs its length.
    if (this.#items.length <= 2 * MOST && this.#bytes <= MOST_BYTES) return;
    let [first, bytes] = [Math.max(0, this.#items.length - MOST), 0];
    for (let index = this.#items.length - 1; index >= first; index--) {
      bytes += this.#items[index]?.bytes ?? 0;
      if (bytes > MOST_BYTES / 2) first = index + 1;
    }
    this.#items = this.#items.slice(first);
    this.#bytes = this.#items.reduce((sum, one) => sum + one.bytes, 0);
  }

  /** Those after a revision up to the current one; undefined when they are not all known. */
  after(revision: number, current: number): readonly T[] | undefined {
    const missed = this.#items.filter((one) => one.revision > revision);
    return revision <= current && missed.length === current - revision ? missed : undefined;
  }

  clear(): void {
    this.#items = [];
    this.#bytes = 0;
  }
}
