/** Time that goes as fast as it can be computed: to the next timer, and no further. */
import type { Clock } from '../../../agent/clock.js';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  /** By the time at which they are due, then in the order in which they were set. */
  readonly #timers: Timer[] = [];

  readonly now = (): number => this.#now;

  readonly after = (milliseconds: number, callback: () => void): (() => void) => {
    const timer: Timer = { at: this.#now + milliseconds, callback };
    const index = this.#timers.findIndex(({ at }) => at > timer.at);
    this.#timers.splice(index < 0 ? this.#timers.length : index, 0, timer);
    return () => {
      const place = this.#timers.indexOf(timer);
      if (place >= 0) this.#timers.splice(place, 1);
    };
  };

  readonly sleep = async (milliseconds: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const end = (): void => {
        forget();
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const forget = this.after(milliseconds, end);
      signal?.addEventListener('abort', end);
    });

  /** @param onStep is awaited after each timer, and once at the end. */
  async advance(milliseconds: number, onStep: () => Promise<void>): Promise<void> {
    const until = this.#now + milliseconds;
    for (;;) {
      const [next] = this.#timers;
      if (next === undefined || next.at > until) break;
      this.#timers.shift();
      // What was due while the process stood still is called late.
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await onStep();
    }
    this.#now = Math.max(this.#now, until);
    await onStep();
  }

  /** True while something is due that was not called yet, since the process stood still. */
  get isCatchingUp(): boolean {
    return (this.#timers[0]?.at ?? Infinity) < this.#now;
  }

  /** How much is still due. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** The process stands still, and time goes on. */
  jump(milliseconds: number): void {
    this.#now += milliseconds;
  }
}

/** Whoever waits for nothing but what is there already goes on. */
export async function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
