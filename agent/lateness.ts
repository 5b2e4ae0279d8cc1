/** Since when something is wanted that is not in force. */
import type { Clock } from './clock.js';

/** A change that is not in the kernel after as long is late: the policy is not enforced. */
const LATE_AFTER_MS = 5000;

export class Lateness {
  /** When the oldest change became known that no transaction has begun to bring in; on the monotonic clock. */
  #pendingSince: number | undefined;
  /** The same, of the transaction under way. */
  #runningSince: number | undefined;

  constructor(private readonly clock: Clock) {}

  /** Something else is wanted, or in doubt. */
  changes(): void {
    this.#pendingSince ??= this.clock.now();
  }

  /** A transaction begins to bring in what is known; also a second one, where it takes two until all of it is seen to be in force. */
  begins(): void {
    this.#runningSince ??= this.#pendingSince;
    this.#pendingSince = undefined;
  }

  /** It is in force. */
  isDone(): void {
    this.#runningSince = undefined;
  }

  /** Nothing was loaded: since when something else is wanted is as before. */
  isUndone(): void {
    this.#pendingSince = this.#runningSince ?? this.#pendingSince;
    this.#runningSince = undefined;
  }

  /** For how long the oldest change has waited, in milliseconds; undefined while none has waited for long. */
  get lateFor(): number | undefined {
    const since = this.#runningSince ?? this.#pendingSince;
    if (since === undefined) return undefined;
    const age = this.clock.now() - since;
    return age > LATE_AFTER_MS ? age : undefined;
  }
}
