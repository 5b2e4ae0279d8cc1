/** The process that waits for a confirmation, or restores: see confirm.ts. Speaks over standard input and output. */
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { CLOCK } from '../clock.js';
import { EXIT_KEPT, EXIT_RESTORED, KEEP, READY, RESTORING, type ConfirmOrder } from './confirm.js';
import { KERNEL } from './driver.js';
import { restoreAtLast, SAVED } from './saved.js';

const orderSchema = z.object({ milliseconds: z.number().positive(), before: SAVED });

let settled = false;
let order: ConfirmOrder | undefined;

// The terminal's end must not end us.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
// Nor must a parent that hears nothing any more.
process.stdout.on('error', () => undefined);

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  if (order === undefined) {
    order = orderSchema.parse(JSON.parse(line));
    setTimeout(() => void restore(), order.milliseconds);
    say(READY);
  } else if (line === KEEP && !settled) {
    settled = true;
    process.exit(EXIT_KEPT);
  }
});
input.on('close', () => void restore());

async function restore(): Promise<void> {
  if (settled || order === undefined) return;
  settled = true;
  const isRestored = await restoreAtLast(KERNEL, CLOCK, order.before, () => {
    say(RESTORING);
  });
  process.exit(isRestored ? EXIT_RESTORED : 1);
}

function say(word: string): void {
  process.stdout.write(`${word}\n`);
}
