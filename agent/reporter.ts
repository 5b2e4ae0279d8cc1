/** Tells whoever the source follows what this host says of itself: when it differs, once a second at most, and now and then. */
import type { HostReport } from '../compiler/model/index.js';

/** Between two looks, and between two reports that say the same; in milliseconds. */
const LOOK_EVERY = 1000;
const SAY_EVERY = 10_000;
const AFTER_FAILURE = 5000;

export class Reporter {
  #timer: NodeJS.Timeout | undefined;
  #said: string | undefined;
  #saidAt = -Infinity;
  #isSaying = false;
  /** After a try in vain: an older API knows no reports. */
  #quietUntil = -Infinity;

  /** @param say rejects when it was not heard: it is said again. */
  constructor(
    private readonly report: () => HostReport,
    private readonly say: (report: HostReport) => Promise<void>,
  ) {}

  start(): void {
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isSaying || performance.now() < this.#quietUntil) return;
    const report = this.report();
    const text = JSON.stringify(report);
    if (text === this.#said && performance.now() - this.#saidAt < SAY_EVERY) return;
    this.#isSaying = true;
    try {
      await this.say(report);
      this.#said = text;
      this.#saidAt = performance.now();
    } catch {
      // Whoever cannot be told cannot be followed either: the source says so.
      this.#said = undefined;
      this.#quietUntil = performance.now() + AFTER_FAILURE;
    } finally {
      this.#isSaying = false;
    }
  }
}
