/** The process that waits for a confirmation, or restores: see confirm.ts. Speaks over standard input and output. */
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { EXIT_KEPT, EXIT_RESTORED, KEEP, type ConfirmOrder } from './confirm.js';
import { restoreSaved, SAVED } from './saved.js';

const orderSchema = z.object({ milliseconds: z.number().positive(), before: SAVED });

const ATTEMPTS = 5;
const PAUSE_BETWEEN_ATTEMPTS_MS = 500;

let settled = false;
let order: ConfirmOrder | undefined;

// The terminal's end must not end us.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  if (order === undefined) {
    order = orderSchema.parse(JSON.parse(line));
    setTimeout(() => void restore(), order.milliseconds);
    process.stdout.write('ready\n');
  } else if (line === KEEP && !settled) {
    settled = true;
    process.exit(EXIT_KEPT);
  }
});
input.on('close', () => void restore());

async function restore(): Promise<void> {
  if (settled || order === undefined) return;
  settled = true;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await restoreSaved(order.before);
      process.exit(EXIT_RESTORED);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_BETWEEN_ATTEMPTS_MS));
    }
  }
  process.exit(1);
}
