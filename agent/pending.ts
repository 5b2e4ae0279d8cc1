/** What waits to be brought into the kernel: changes of what is wanted, and doubt about what is there. */
import type { Clock } from './clock.js';
import { AT_START, isMereLook, VERIFICATION } from './doubt.js';
import { Lateness } from './lateness.js';

export class Pending {
  readonly lateness: Lateness;
  #doubt: string | undefined = AT_START;
  #hasChanges = false;
  /** When the oldest of the changes became known. */
  #changedAt: number | undefined;

  constructor(private readonly clock: Clock) {
    this.lateness = new Lateness(clock);
  }

  get isAny(): boolean {
    return this.#doubt !== undefined || this.#hasChanges;
  }

  get hasChanges(): boolean {
    return this.#hasChanges;
  }

  /** Why everything must be compared; undefined when the short way will do. */
  get doubt(): string | undefined {
    return this.#doubt;
  }

  /** What is wanted is another. */
  changes(): void {
    this.#hasChanges = true;
    this.#changedAt ??= this.clock.now();
    this.lateness.changes();
  }

  /** Everything must be compared. What somebody has told says more than a mere look. */
  doubts(reason: string): void {
    if (!isMereLook(reason)) this.#doubt = reason;
    else this.#doubt ??= reason;
    // A comparison that nothing asked for is no sign that anything is wrong.
    if (reason !== VERIFICATION) this.lateness.changes();
  }

  /** Everything must still be compared, for this reason unless another one came. */
  stillDoubts(reason: string): void {
    this.#doubt ??= reason;
  }

  /** A comparison begins: doubt that comes from now on counts. */
  clearDoubt(): void {
    this.#doubt = undefined;
  }

  /**
   * What is known now goes into the transaction that begins, in the same turn of the event loop.
   * @returns when the oldest of the changes became known; undefined where there are none
   */
  begin(): number | undefined {
    const changedAt = this.#changedAt;
    this.#hasChanges = false;
    this.#changedAt = undefined;
    this.lateness.begins();
    return changedAt;
  }
}
