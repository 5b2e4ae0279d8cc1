/** Work of which one run is under way at a time: what comes meanwhile is done by the same run, or by the next. */
export class SingleFlight {
  #running: Promise<void> | undefined;

  /**
   * @param run must not reject where it is begun by `start`.
   * @param hasWork is asked before a run that `start` begins, and after each run: for what came between its last look and its end.
   */
  constructor(
    private readonly run: () => Promise<void>,
    private readonly hasWork = (): boolean => false,
  ) {}

  /** Begins where there is work, unless it is under way. */
  start(): void {
    if (this.hasWork()) void this.join();
  }

  /** Begins, unless it is under way. Done when that run is, and rejects as it does. */
  async join(): Promise<void> {
    this.#running ??= this.run().finally(() => {
      this.#running = undefined;
      this.start();
    });
    return this.#running;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Done when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }
}
