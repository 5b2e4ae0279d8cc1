/** Waiting for what only looking tells. */
import { setTimeout } from 'node:timers/promises';
import { patience } from './patience.js';
import { step } from './progress.js';

/** What does not come for as long does not come; in milliseconds on a quiet machine. */
const SILENCE = 30_000;
/** Between two looks; in milliseconds. */
const LOOK_EVERY = 5;

/** Waits until something holds; fails when it does not for long. */
export async function eventually(holds: () => Promise<boolean> | boolean): Promise<void> {
  step(`waited for: ${holds.toString()}`);
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > patience(SILENCE)) throw new Error(`it does not come: ${holds.toString()}`);
    await setTimeout(LOOK_EVERY);
  }
}
