/**
 * What every remote source does: one session after another for as long as it is wanted, with the same pauses between them, the
 * same watch over silence, and one word for each distinct trouble.
 */
import { Backoff } from '../../agent/backoff.js';
import { CLOCK, spread, type Clock, type Random } from '../../agent/clock.js';

/**
 * Between tries, in milliseconds. Who says nothing at all has no work with being asked, and is found soon when he is back: `mostUnheard`.
 */
export const BACKOFF_MS = { first: 250, most: 5000, mostUnheard: 800 };

/** Where who is followed says something every 10 s, or is asked: a session in which nothing is heard for as long is ended. */
const SILENCE_MS = 30_000;

/** Nothing is wrong. */
const BY_WISH = new Error('asked to read again');

/** Who is followed asks to be left alone for a while. */
export class Postponed extends Error {
  override readonly name = 'Postponed';

  /** @param pause in milliseconds. */
  constructor(
    message: string,
    readonly pause: number,
  ) {
    super(message);
  }

  /** Of an answer with `Retry-After` in seconds (RFC 9110, 10.2.3); a date there, or nothing, is no wish. */
  static by(message: string, retryAfter: string | null): Error {
    const seconds = /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) : undefined;
    return seconds === undefined ? new Error(message) : new Postponed(message, 1000 * Math.min(seconds, 300));
  }
}

export class Follow {
  readonly #stopping = new AbortController();
  #callOffSilence: () => void = () => undefined;
  #session = new AbortController();
  #pause = new AbortController();
  readonly #backoff = new Backoff(BACKOFF_MS);
  #trouble: string | undefined;
  /** Signs of life so far. */
  #signs = 0;

  /**
   * @param session goes on from where the last one ended, until it throws, returns, or the signal ends it.
   * @param onTrouble is told why nobody can be followed now, once for each distinct reason until all is well again.
   * @param silence ends a session in which nothing is heard for as long, in milliseconds; null where silence is usual.
   */
  constructor(
    private readonly session: (signal: AbortSignal) => Promise<void>,
    private readonly onTrouble: (reason: string) => void,
    private readonly silence: number | null = SILENCE_MS,
    private readonly clock: Clock = CLOCK,
    private readonly random: Random = Math.random,
  ) {}

  /** To be called once. */
  start(): void {
    void this.#run();
  }

  /** Ends when the source is stopped. */
  get stopped(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Why it is not followed, as was told; undefined while all is well. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Somebody is there. */
  heard(): void {
    this.#signs++;
    this.#restartSilence();
  }

  #restartSilence(): void {
    this.#callOffSilence();
    const { silence } = this;
    if (silence === null) return;
    this.#callOffSilence = this.clock.after(silence, () => {
      this.end(new Error(`nothing was heard for ${(silence / 1000).toString()} s`));
    });
  }

  /** What was heard is understood and told: the next trouble is news, and the next pause a short one. */
  well(): void {
    this.#backoff.reset();
    this.#trouble = undefined;
  }

  /** Ends the session that there is, for a reason; another one follows. */
  end(reason: Error): void {
    this.#session.abort(reason);
  }

  /** The same, by wish: nothing is wrong. */
  again(): void {
    this.#session.abort(BY_WISH);
    this.#pause.abort();
  }

  stop(): void {
    this.#stopping.abort();
    this.#session.abort(new Error('stopped'));
    this.#pause.abort();
    this.#callOffSilence();
  }

  async #run(): Promise<void> {
    for (;;) {
      this.#session = new AbortController();
      const { signal } = this.#session;
      const before = this.#signs;
      this.#restartSilence();
      const error = await this.session(signal).then(
        () => new Error('the connection was closed'),
        (thrown: unknown) => thrown,
      );
      this.#callOffSilence();
      if (this.#isStopped()) return;
      const isWish = signal.reason === BY_WISH;
      if (!isWish) this.#failed(reasonOf(error));
      // Not all at once when who is followed comes back.
      const least = error instanceof Postponed ? error.pause : 0;
      const most = this.#signs > before ? BACKOFF_MS.most : BACKOFF_MS.mostUnheard;
      const usual = Math.max(least, this.#backoff.take(most));
      this.#pause = new AbortController();
      await this.clock.sleep(isWish ? 0 : spread(usual, 0.5, this.random) + least / 2, this.#pause.signal);
      if (this.#isStopped()) return;
    }
  }

  #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #failed(reason: string): void {
    if (reason === this.#trouble) return;
    try {
      this.onTrouble(reason);
      this.#trouble = reason;
    } catch {
      // Who listens cannot now; it is told again after the next try.
    }
  }
}

/** What a library says of a failure is in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
