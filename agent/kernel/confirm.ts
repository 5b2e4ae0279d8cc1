/**
 * Commit-confirm: what was loaded before comes back unless somebody says in time that the new rules are good.
 *
 * A process of its own, in its own session, keeps the former rules and the clock, so that it survives the terminal, the
 * connection and the parent. It restores when time is up, and at once when the parent is gone without a word.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KernelError } from './errors.js';
import { saveLoaded, type Saved } from './saved.js';

export interface PendingConfirmation {
  /** Says that the new rules are good: nothing will be restored. */
  keep(): void;
  /** Asks for the former rules now. */
  restore(): void;
  /** How it ended; `failed` when the former rules could not be restored. */
  readonly outcome: Promise<ConfirmOutcome>;
}

export type ConfirmOutcome = 'kept' | 'restored' | 'failed';

/** What the parent tells the process that waits, as its first line. */
export interface ConfirmOrder {
  readonly milliseconds: number;
  /** What was loaded. */
  readonly before: Saved;
}

export const KEEP = 'keep';
export const EXIT_KEPT = 0;
export const EXIT_RESTORED = 10;

/**
 * Saves what is loaded now and starts the clock; done when the process that restores has what it needs. To be called
 * before the new rules are loaded.
 */
export async function startConfirmation(milliseconds: number): Promise<PendingConfirmation> {
  const order: ConfirmOrder = { milliseconds, before: await saveLoaded() };
  const program = fileURLToPath(new URL('./confirm-process.js', import.meta.url));
  const child = spawn(process.execPath, [program], { detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
  const outcome = new Promise<ConfirmOutcome>((resolve) => {
    child.once('error', () => {
      resolve('failed');
    });
    child.once('exit', (code) => {
      resolve(code === EXIT_KEPT ? 'kept' : code === EXIT_RESTORED ? 'restored' : 'failed');
    });
  });
  // The process may be gone already when we speak; its exit says how it ended.
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => {
      resolve();
    });
    void outcome.then(() => {
      reject(new KernelError('refused', 'the process that restores the former rules does not start'));
    });
  });
  return {
    keep: () => {
      child.stdin.end(`${KEEP}\n`);
    },
    restore: () => {
      child.stdin.end();
    },
    outcome,
  };
}
