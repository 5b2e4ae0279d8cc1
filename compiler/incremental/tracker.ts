/**
 * Wanted values by key, and what changed since they were last taken. Under sets, maps and chains alike: a change costs
 * what it touches, and one that is undone before it is taken costs nothing.
 */
export class Tracker<Value> {
  readonly #wanted = new Map<string, Value>();
  /** Values of the touched keys when they were last taken. */
  readonly #before = new Map<string, Value | undefined>();

  /** @param isSame when a value may stand for another. */
  constructor(private readonly isSame: (a: Value, b: Value) => boolean = Object.is) {}

  get(key: string): Value | undefined {
    return this.#wanted.get(key);
  }

  get size(): number {
    return this.#wanted.size;
  }

  keys(): IterableIterator<string> {
    return this.#wanted.keys();
  }

  set(key: string, value: Value): void {
    this.#touch(key);
    this.#wanted.set(key, value);
  }

  delete(key: string): void {
    this.#touch(key);
    this.#wanted.delete(key);
  }

  /** What differs from the last time, each key once. From now on it counts as taken. */
  take(): readonly Difference<Value>[] {
    const differences: Difference<Value>[] = [];
    for (const [key, before] of this.#before) {
      const after = this.#wanted.get(key);
      if (before === undefined && after === undefined) continue;
      if (before !== undefined && after !== undefined && this.isSame(before, after)) continue;
      differences.push({ key, before, after });
    }
    this.#before.clear();
    return differences;
  }

  #touch(key: string): void {
    if (!this.#before.has(key)) this.#before.set(key, this.#wanted.get(key));
  }
}

export interface Difference<Value> {
  readonly key: string;
  /** Undefined: was not there. */
  readonly before: Value | undefined;
  /** Undefined: is gone. */
  readonly after: Value | undefined;
}
