/** What is worth remembering and no harm to forget: so much of it, at most; what was set longest ago goes first. */
export class BoundedMap<K, V> {
  readonly #map = new Map<K, V>();

  constructor(private readonly most: number) {}

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size <= this.most) return;
    const [oldest] = this.#map.keys();
    if (oldest !== undefined) this.#map.delete(oldest);
  }

  delete(key: K): void {
    this.#map.delete(key);
  }
}
