/** Keeps a watching process running, and hears it. One that cannot start, hangs or dies is one case: news may have been lost. */
import { fork, type ChildProcess } from 'node:child_process';
import { Backoff } from '../backoff.js';
import { momentOf, type Clock, type Moment } from '../clock.js';
import { programPath } from '../programs.js';
import { BEAT_MS, type WatchEvent, type WatchOrder } from './events.js';

/** Between the end of one process and the start of the next. */
const BACKOFF_MS = { first: 20, most: 5000 };
/** A process that was heard for as long was well. */
const WELL_AFTER_MS = 10_000;
/**
 * One that says nothing for as long is ended, each later than the one before, until one was well: where Node alone takes longer to start,
 * one after the other would be ended before it can say anything, and nobody would ever listen. In milliseconds.
 */
const SILENCE_MS = { first: 5 * BEAT_MS, most: 80 * BEAT_MS };

export interface WatcherListener {
  readonly onEvent: (event: Exclude<WatchEvent, { kind: 'alive' }>) => void;
  /** News may have been lost: whatever they would have told must be read anew. The process starts again by itself. */
  readonly onLoss: (reason: string) => void;
}

export interface WatcherState {
  /** When it was last known to listen; undefined while it does. */
  readonly away: Moment | undefined;
  /** How often it went away. */
  readonly losses: number;
  readonly lastReason: string | undefined;
}

export class Watcher {
  #child: ChildProcess | undefined;
  #onSilence: () => void = () => undefined;
  #callOffSilence: () => void = () => undefined;
  readonly #backoff = new Backoff(BACKOFF_MS);
  readonly #patience = new Backoff(SILENCE_MS);
  readonly #stopping = new AbortController();
  /** Told to each process as it starts. */
  #standing: WatchOrder | undefined;
  #away: Moment | undefined;
  #losses = 0;
  #lastReason: string | undefined;

  /** @param program what is run, in Node; said by tests alone. */
  constructor(
    private readonly listener: WatcherListener,
    private readonly clock: Clock,
    private readonly program = programPath('watching-process'),
  ) {
    this.#away = momentOf(clock);
  }

  start(): void {
    let firstHeardAt: number | undefined;
    const wasWell = (): boolean => firstHeardAt !== undefined && this.clock.now() - firstHeardAt > WELL_AFTER_MS;
    let isOver = false;
    const over = (reason: string): void => {
      if (isOver || this.#stopping.signal.aborted) return;
      isOver = true;
      if (wasWell()) this.#backoff.reset();
      this.#lost(reason);
    };
    let child: ChildProcess;
    try {
      child = fork(this.program, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' });
    } catch (error) {
      over(`the watching process cannot be started: ${String(error)}`);
      return;
    }
    this.#child = child;
    if (this.#standing !== undefined) this.#send(this.#standing);
    let lastWords = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      lastWords = chunk.toString().trim().split('\n').at(-1) ?? '';
    });
    // The messages are our own process's, of the same version.
    child.on('message', (event) => {
      if (isOver) return;
      firstHeardAt ??= this.clock.now();
      if (wasWell()) this.#patience.reset();
      this.#heard();
      const told = event as WatchEvent;
      if (told.kind !== 'alive') this.listener.onEvent(told);
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) over(`the watching process cannot be started: ${error.code ?? error.message}`);
      // One that cannot be heard is of no use; its exit tells.
      else child.kill('SIGKILL');
    });
    child.once('exit', (code, signal) => {
      over(`the watching process ended (${String(signal ?? code)}) ${lastWords}`.trim());
    });
    this.#onSilence = () => {
      this.#patience.take();
      // Its exit tells the rest; a process that the kernel cannot end counts as gone all the same.
      over('the watching process said nothing for too long and was ended');
      child.kill('SIGKILL');
    };
    this.#expect();
  }

  /** Tells the process; what it should close with is told to the next one, too. */
  order(order: WatchOrder): void {
    if (order.kind === 'closing') this.#standing = order;
    this.#send(order);
  }

  stop(): void {
    this.#stopping.abort();
    this.#callOffSilence();
    this.#child?.kill('SIGKILL');
  }

  get state(): WatcherState {
    return { away: this.#away, losses: this.#losses, lastReason: this.#lastReason };
  }

  #send(order: WatchOrder): void {
    // One that is gone is told what matters when it starts again.
    if (this.#child?.connected === true) this.#child.send(order, () => undefined);
  }

  #heard(): void {
    this.#away = undefined;
    this.#expect();
  }

  #expect(): void {
    this.#callOffSilence();
    this.#callOffSilence = this.clock.after(this.#patience.milliseconds, this.#onSilence);
  }

  #lost(reason: string): void {
    this.#callOffSilence();
    this.#away ??= momentOf(this.clock);
    this.#losses++;
    this.#lastReason = reason;
    this.listener.onLoss(reason);
    void this.#startAgain();
  }

  /** Meanwhile there may be nothing else to keep this process alive. */
  async #startAgain(): Promise<void> {
    const { signal } = this.#stopping;
    await this.clock.sleep(this.#backoff.take(), signal);
    if (!signal.aborted) this.start();
  }
}
