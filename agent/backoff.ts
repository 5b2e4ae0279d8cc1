/** How long to wait before the next try: doubled each time, up to the most. In milliseconds. */
export class Backoff {
  #next: number;

  constructor(private readonly limits: { readonly first: number; readonly most: number }) {
    this.#next = limits.first;
  }

  /** For this try. */
  get milliseconds(): number {
    return this.#next;
  }

  lengthen(): void {
    this.#next = Math.min(2 * this.#next, this.limits.most);
  }

  reset(): void {
    this.#next = this.limits.first;
  }
}
