/** Tells whoever the source follows what this host says of itself: when it differs, once a second at most, and now and then. */
import type { HostReport } from '../compiler/model/index.js';
import { again, type Clock } from './clock.js';

/** Between two looks, and between two reports that say the same. */
const LOOK_EVERY_MS = 1000;
const SAY_EVERY_MS = 10_000;
/** After a try in vain: an older API knows no reports. */
const AFTER_FAILURE_MS = 5000;

export class Reporter {
  #said: string | undefined;
  #saidAt = -Infinity;
  #end: () => void = () => undefined;

  /** @param say rejects when it was not heard: it is said again. */
  constructor(
    private readonly report: () => HostReport,
    private readonly say: (report: HostReport) => Promise<void>,
    private readonly clock: Clock,
  ) {}

  start(): void {
    this.#end = again(this.clock, LOOK_EVERY_MS, async () => this.#look());
  }

  stop(): void {
    this.#end();
  }

  /** @returns the time until the next look. */
  async #look(): Promise<number> {
    const report = this.report();
    const text = JSON.stringify(report);
    if (text === this.#said && this.clock.now() - this.#saidAt < SAY_EVERY_MS) return LOOK_EVERY_MS;
    try {
      await this.say(report);
      this.#said = text;
      this.#saidAt = this.clock.now();
      return LOOK_EVERY_MS;
    } catch {
      // Whoever cannot be told cannot be followed either: the source says so.
      this.#said = undefined;
      return AFTER_FAILURE_MS;
    }
  }
}
