/** Several values under one key. A key without values is not kept. */
export class MultiMap<Value> {
  readonly #values = new Map<string, Set<Value>>();

  get(key: string): ReadonlySet<Value> {
    return this.#values.get(key) ?? NONE;
  }

  /** Returns how many there are now under the key. */
  add(key: string, value: Value): number {
    const values = this.#values.get(key) ?? new Set();
    this.#values.set(key, values.add(value));
    return values.size;
  }

  /** Returns how many are left under the key. */
  delete(key: string, value: Value): number {
    const values = this.#values.get(key);
    if (values === undefined) return 0;
    values.delete(value);
    if (values.size === 0) this.#values.delete(key);
    return values.size;
  }
}

const NONE: ReadonlySet<never> = new Set();
