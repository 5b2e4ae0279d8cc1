/** Keeps a watching process running, and hears it. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { WatchEvent } from './events.js';

/** Between the end of one process and the start of the next, in milliseconds: doubled each time, up to the second. */
const BACKOFF = { first: 20, most: 5000 };
/** A process that lived this long was well; in milliseconds. */
const WELL_AFTER = 10_000;

export interface WatcherListener {
  readonly onEvent: (event: WatchEvent) => void;
  /** News may have been lost: whatever they would have told must be read anew. The process starts again by itself. */
  readonly onLoss: (reason: string) => void;
}

export class Watcher {
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delay = BACKOFF.first;
  #isStopped = false;

  constructor(private readonly listener: WatcherListener) {}

  start(): void {
    const startedAt = performance.now();
    const program = fileURLToPath(new URL('./process.js', import.meta.url));
    const child = fork(program, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' });
    this.#child = child;
    let lastWords = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      lastWords = chunk.toString().trim().split('\n').at(-1) ?? '';
    });
    // The messages are our own process's, of the same version.
    child.on('message', (event) => {
      this.listener.onEvent(event as WatchEvent);
    });
    child.once('error', () => undefined);
    child.once('exit', (code, signal) => {
      if (this.#isStopped) return;
      if (performance.now() - startedAt > WELL_AFTER) this.#delay = BACKOFF.first;
      this.listener.onLoss(`the watching process ended (${String(signal ?? code)}) ${lastWords}`.trim());
      this.#timer = setTimeout(() => {
        this.start();
      }, this.#delay);
      this.#delay = Math.min(2 * this.#delay, BACKOFF.most);
    });
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#child?.kill('SIGKILL');
  }
}
