/**
 * Commit-confirm: what was loaded before comes back unless somebody says in time that the new rules are good.
 *
 * A process of its own, in its own session, keeps the former rules and the clock, so that it survives the terminal, the
 * connection and the parent. It restores when time is up, and at once when the parent is gone without a word. The parent waits for
 * it no longer than it may take: one that hangs is ended, and what it was to do is done here.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { CLOCK } from '../clock.js';
import { programPath } from '../programs.js';
import type { Kernel } from './driver.js';
import { KernelError } from './errors.js';
import { restoreAtLast, saveLoaded, type Saved } from './saved.js';

export interface PendingConfirmation {
  /** Says that the new rules are good: nothing will be restored. */
  keep(): void;
  /** Asks for the former rules now. */
  restore(): void;
  /** How it ends; `failed` when the former rules could not be restored. To be asked when the new rules are loaded. */
  outcome(): Promise<ConfirmOutcome>;
}

export type ConfirmOutcome = 'kept' | 'restored' | 'failed';

/** What the parent tells the process that waits, as its first line. */
export interface ConfirmOrder {
  readonly milliseconds: number;
  /** What was loaded. */
  readonly before: Saved;
}

export const KEEP = 'keep';
/** What the process says when it has its order, and with each try to restore. */
export const READY = 'ready';
export const RESTORING = 'restoring';
export const EXIT_KEPT = 0;
export const EXIT_RESTORED = 10;

/** For an answer, or for the first word when time is up. */
const DEADLINE_MS = 10_000;
/** For one try to restore, of programs that have deadlines of their own. */
const DEADLINE_RESTORING_MS = 120_000;

/**
 * Saves what is loaded now and starts the clock; done when the process that restores has what it needs. To be called
 * before the new rules are loaded.
 * @param lock a descriptor that the process keeps open until it has ended.
 * @throws KernelError when there is no such process, or it does not answer.
 */
export async function startConfirmation(
  kernel: Kernel,
  milliseconds: number,
  lock: number,
): Promise<PendingConfirmation> {
  const pending = new Pending(kernel, milliseconds, lock, await saveLoaded(kernel));
  await pending.isReady;
  return pending;
}

class Pending implements PendingConfirmation {
  readonly isReady: Promise<void>;
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #output: Readable;
  readonly #ended: Promise<number | null>;
  #timer: NodeJS.Timeout | undefined;
  #end: (code: number | null) => void = () => undefined;
  #said: 'nothing' | typeof READY | typeof RESTORING = 'nothing';
  #isToKeep = false;
  #isOver = false;

  constructor(
    private readonly kernel: Kernel,
    milliseconds: number,
    lock: number,
    private readonly before: Saved,
  ) {
    [this.#child, this.#input, this.#output] = waitingProcess(lock);
    this.#ended = new Promise<number | null>((resolve) => {
      this.#end = (code) => {
        this.#isOver = true;
        clearTimeout(this.#timer);
        for (const stream of [this.#input, this.#output]) stream.destroy();
        resolve(code);
      };
    });
    this.#child.once('error', () => {
      this.#end(null);
    });
    this.#child.once('exit', (code) => {
      this.#end(code);
    });
    this.isReady = new Promise((resolve, reject) => {
      createInterface({ input: this.#output }).on('line', (word) => {
        if (word === READY) {
          this.#said = READY;
          // It restores by its own clock; by ours it does not live, or is stopped.
          this.#expect(milliseconds + DEADLINE_MS);
          resolve();
        } else if (word === RESTORING) {
          this.#said = RESTORING;
          this.#expect(DEADLINE_RESTORING_MS);
        }
      });
      void this.#ended.then(() => {
        reject(
          new KernelError('refused', 'the process that restores the former rules does not start: nothing was loaded'),
        );
      });
    });
    // The process may be gone already when we speak; its end says how it ended.
    this.#input.on('error', () => undefined);
    const order: ConfirmOrder = { milliseconds, before };
    this.#input.write(`${JSON.stringify(order)}\n`);
    this.#expect(DEADLINE_MS);
  }

  keep(): void {
    this.#isToKeep = true;
    this.#input.end(`${KEEP}\n`);
    if (this.#said !== RESTORING) this.#expect(DEADLINE_MS);
  }

  restore(): void {
    this.#input.end();
    if (this.#said !== RESTORING) this.#expect(DEADLINE_MS);
  }

  async outcome(): Promise<ConfirmOutcome> {
    // What it said is read: whoever restores while the new rules are being loaded may have been too early.
    await setImmediate();
    const isEarly = this.#isOver || this.#said === RESTORING;
    const code = await this.#ended;
    if (code === EXIT_KEPT) return 'kept';
    if (code === EXIT_RESTORED && !isEarly) return 'restored';
    if (this.#isToKeep && this.#said !== RESTORING) return 'kept';
    // It ended without having done what it was for.
    return (await restoreAtLast(this.kernel, CLOCK, this.before)) ? 'restored' : 'failed';
  }

  #expect(milliseconds: number): void {
    clearTimeout(this.#timer);
    if (this.#isOver) return;
    this.#timer = setTimeout(() => {
      this.#child.kill('SIGKILL');
      this.#end(null);
    }, milliseconds);
  }
}

/** @returns it, its input and its output. */
function waitingProcess(lock: number): readonly [ChildProcess, Writable, Readable] {
  const child = spawn(process.execPath, [programPath('confirm-process')], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore', lock],
  });
  if (child.stdin === null || child.stdout === null) throw new Error('what is piped has no pipe');
  return [child, child.stdin, child.stdout];
}
