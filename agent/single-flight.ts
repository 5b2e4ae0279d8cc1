/** Work of which one run is under way at a time: what comes meanwhile is done by the same run, or by the next. */
export class SingleFlight {
  #running: Promise<void> | undefined;

  /**
   * @param run must not reject.
   * @param hasWork is asked before a run, and after it: for what came between its last look and its end.
   */
  constructor(
    private readonly run: () => Promise<void>,
    private readonly hasWork: () => boolean,
  ) {}

  /** Begins where there is work, unless it is under way. */
  start(): void {
    if (!this.hasWork()) return;
    this.#running ??= this.run().finally(() => {
      this.#running = undefined;
      this.start();
    });
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Done when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }
}
