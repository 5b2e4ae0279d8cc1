/**
 * The graph that changes run through: calculators, each of which keeps one part of what a host needs.
 *
 * ```
 *  change ──> calculator ──keys──> (waits for its turn) ──> recompute ──outputs──> changes of those that it feeds
 *                 └── handled: done, at the cost of the change
 * ```
 *
 * Handled or computed anew, the tables end the same: a compilation from scratch is what both are held to. Turns run in one
 * order, and nobody feeds who had its turn, so each part is computed once however many changes touched it.
 */
export interface Calculator<Change, Key, Output> {
  /** Takes a change in. Returns what it could not handle: keys of what must be computed anew. None: it is handled. */
  change(change: Change): readonly Key[];
  /** Computes anew what is under the keys, from what is known now. Returns what those that it feeds are to be told. */
  recompute(keys: ReadonlySet<Key>): readonly Output[];
}

/** What a calculator returns that handled a change. */
export const HANDLED: readonly never[] = [];

/** A calculator at its place in the graph. */
export class GraphNode<Change, Key, Output> {
  #waiting = new Set<Key>();

  /** @param feed tells those that the calculator feeds. They are made before it, so that no circle can be. */
  constructor(
    private readonly calculator: Calculator<Change, Key, Output>,
    private readonly feed: (output: Output) => void,
  ) {}

  change(change: Change): void {
    for (const key of this.calculator.change(change)) this.#waiting.add(key);
  }

  /** The calculator's turn. */
  settle(): void {
    if (this.#waiting.size === 0) return;
    const keys = this.#waiting;
    this.#waiting = new Set();
    for (const output of this.calculator.recompute(keys)) this.feed(output);
  }
}
