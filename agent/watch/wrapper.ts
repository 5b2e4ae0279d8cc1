/** A transaction of nf_tables, as the kernel tells of it. */
interface Heard {
  readonly generation: number;
  readonly portId: number;
}

/** One that the agent says it has made: somewhere behind `before`, up to `after`. */
interface Made {
  readonly portId: number;
  readonly before: number;
  readonly after: number;
}

/** Transactions that are remembered: of one of ours that others surrounded with as many nothing can be said. */
const MOST = 64;

/** One may be an nft that lies, and somebody who changed our tables just then. */
const ENOUGH = 2;

/**
 * Finds out whether nft is run by something that does not become it, a script say: then the sockets of our transactions are none that
 * the agent could tell of. Where the kernel made one transaction alone while one of ours was under way, that was ours.
 */
export class WrapperWatch {
  /** Transactions in a row that another socket made. */
  #foreign = 0;
  #heard: Heard[] = [];
  #made: Made[] = [];

  /** @param closer the port id of the watching process's own socket: what that did was none of the agent's. */
  constructor(private readonly closer: number) {}

  /** As far as is known. */
  get isWrapped(): boolean {
    return this.#foreign >= ENOUGH;
  }

  /** Takes news of every transaction, in their order. */
  heard(heard: Heard): void {
    this.#heard = [...this.#heard.slice(1 - MOST), heard];
    this.#judge();
  }

  made(made: Made): void {
    const count = span(made.before, made.after);
    if (count === 0 || count > MOST) return;
    this.#made.push(made);
    this.#judge();
  }

  #judge(): void {
    const last = this.#heard.at(-1)?.generation;
    if (last === undefined) return;
    this.#made = this.#made.filter(({ portId, before, after }) => {
      const count = span(before, after);
      // Half of all generations are younger than another.
      const isHeard = span(after, last) < 2 ** 31;
      if (!isHeard) return true;
      const others = this.#heard.filter(({ generation, portId: by }) => {
        const place = span(before, generation);
        return place >= 1 && place <= count && by !== this.closer;
      });
      const [only] = others;
      if (only !== undefined && others.length === 1) this.#foreign = only.portId === portId ? 0 : this.#foreign + 1;
      return false;
    });
  }
}

/** How many generations one is behind another; they are 32 bits and begin anew. */
function span(from: number, to: number): number {
  return (to - from) >>> 0;
}
