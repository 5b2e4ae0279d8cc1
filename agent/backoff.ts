/** How long to wait before the next try: doubled each time, up to the most. In milliseconds. */
export class Backoff {
  #next: number;

  constructor(private readonly limits: { readonly first: number; readonly most: number }) {
    this.#next = limits.first;
  }

  get milliseconds(): number {
    return this.#next;
  }

  /**
   * To wait now; the time after it is longer.
   * @param most this time, where that is less than usual.
   */
  take(most = this.limits.most): number {
    const now = Math.min(this.#next, most);
    this.#next = Math.min(2 * this.#next, most);
    return now;
  }

  /** All is well. */
  reset(): void {
    this.#next = this.limits.first;
  }
}
