/** What is wrong with a store in etcd: remembered until it is well again, and said once. */
import { EtcdError } from '../../etcd/client.js';
import { StoreError, UnknownOutcome } from './store.js';

export class EtcdTrouble {
  #reading: string | undefined;
  #writing: string | undefined;
  #isReported = false;

  /** @param report is told why nothing can be read or written, and, with undefined, when it can again. */
  constructor(
    readonly name: string,
    private readonly report: (trouble: string | undefined) => void,
  ) {}

  /** Why nothing can be read or written at the moment, as far as is known. */
  get reading(): string | undefined {
    return this.#reading;
  }

  /** Why nothing can be written, though it can be read. */
  get writing(): string | undefined {
    return this.#writing;
  }

  /** From now on: whoever opens a store is told by what is thrown. */
  reportFromNow(): void {
    this.#isReported = true;
  }

  set(trouble: string | undefined): void {
    const isNews = (trouble === undefined) !== (this.#reading === undefined);
    this.#reading = trouble;
    if (isNews && this.#isReported) this.report(trouble);
  }

  written(): void {
    this.#writing = undefined;
  }

  /** What is wrong with the store is remembered; what is wrong with what it was asked is not. */
  asStoreError(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    const message = `${this.name}: ${error instanceof Error ? error.message : String(error)}`;
    if (!(error instanceof EtcdError)) return new StoreError(message);
    if (error.failure === 'full') this.#writing = message;
    else if (error.failure !== 'refused' && error.failure !== 'compacted') this.set(message);
    return error.failure === 'unreachable' ? new UnknownOutcome(message) : new StoreError(message);
  }

  asUnknown(error: unknown): UnknownOutcome {
    return new UnknownOutcome(this.asStoreError(error).message);
  }
}
