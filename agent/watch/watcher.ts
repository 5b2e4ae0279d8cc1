/** Keeps a watching process running, and hears it. One that cannot start, hangs or dies is one case: news may have been lost. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BEAT, type WatchEvent, type WatchOrder } from './events.js';

/** Between the end of one process and the start of the next, in milliseconds: doubled each time, up to the second. */
const BACKOFF = { first: 20, most: 5000 };
/** A process that lived this long was well; in milliseconds. */
const WELL_AFTER = 10_000;
/** One that says nothing for as long is ended: at its start Node alone takes a loaded machine seconds. In milliseconds. */
const SILENCE = 5 * BEAT;

export interface WatcherListener {
  readonly onEvent: (event: Exclude<WatchEvent, { kind: 'alive' }>) => void;
  /** News may have been lost: whatever they would have told must be read anew. The process starts again by itself. */
  readonly onLoss: (reason: string) => void;
}

export interface WatcherState {
  /** When it was last known to listen; undefined while it does. */
  readonly awaySince: Date | undefined;
  /** How often it went away. */
  readonly losses: number;
  readonly lastReason: string | undefined;
}

export class Watcher {
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #delay = BACKOFF.first;
  #isStopped = false;
  /** Told to each process as it starts. */
  #standing: WatchOrder | undefined;
  #awaySince: Date | undefined = new Date();
  #losses = 0;
  #lastReason: string | undefined;

  constructor(private readonly listener: WatcherListener) {}

  start(): void {
    const startedAt = performance.now();
    const program = fileURLToPath(new URL('./process.js', import.meta.url));
    let isOver = false;
    const over = (reason: string): void => {
      if (isOver || this.#isStopped) return;
      isOver = true;
      if (performance.now() - startedAt > WELL_AFTER) this.#delay = BACKOFF.first;
      this.#lost(reason);
    };
    let child: ChildProcess;
    try {
      child = fork(program, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' });
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
    this.#expect(() => {
      // Its exit tells the rest; a process that the kernel cannot end counts as gone all the same.
      over('the watching process said nothing for too long and was ended');
      child.kill('SIGKILL');
    });
  }

  /** Tells the process; what it should close with is told to the next one, too. */
  order(order: WatchOrder): void {
    if (order.kind === 'closing') this.#standing = order;
    this.#send(order);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#child?.kill('SIGKILL');
  }

  get state(): WatcherState {
    return { awaySince: this.#awaySince, losses: this.#losses, lastReason: this.#lastReason };
  }

  #send(order: WatchOrder): void {
    // One that is gone is told what matters when it starts again.
    if (this.#child?.connected === true) this.#child.send(order, () => undefined);
  }

  #heard(): void {
    this.#awaySince = undefined;
    this.#silence?.refresh();
  }

  #expect(onSilence: () => void): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(onSilence, SILENCE);
  }

  #lost(reason: string): void {
    clearTimeout(this.#silence);
    this.#awaySince ??= new Date();
    this.#losses++;
    this.#lastReason = reason;
    this.listener.onLoss(reason);
    this.#timer = setTimeout(() => {
      this.start();
    }, this.#delay);
    this.#delay = Math.min(2 * this.#delay, BACKOFF.most);
  }
}
