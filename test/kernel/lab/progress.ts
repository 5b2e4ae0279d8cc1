/** Waiting without a verdict by the clock: only what does not move at all fails. */
import { spawnSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';

/** Starting Node takes this long on a quiet machine that is not fast; in milliseconds. */
const NODE_STARTS_IN = 60;
/** Without any progress, on such a machine; in milliseconds. */
const STANDSTILL = 30_000;
const LOOK_EVERY = 5;

/** How much slower this machine is now than a quiet one; 1 at least. */
function slowness(): number {
  const startedAt = performance.now();
  spawnSync(process.execPath, ['-e', '0']);
  return Math.max(1, (performance.now() - startedAt) / NODE_STARTS_IN);
}

/** For how long nothing may move; in milliseconds. */
export const PATIENCE = STANDSTILL * slowness();

/**
 * Waits until something holds, as long as something moves.
 * @param what is waited for, as the error says it
 * @param progress anything that differs when there was progress; it is said in the error, too
 */
export async function progressing(
  what: () => string,
  holds: () => Promise<boolean> | boolean,
  progress: () => unknown,
): Promise<void> {
  let before = JSON.stringify(progress());
  let movedAt = performance.now();
  while (!(await holds())) {
    const now = JSON.stringify(progress());
    if (now !== before) movedAt = performance.now();
    else if (performance.now() - movedAt > PATIENCE) {
      throw new Error(`waited for ${what()}: nothing moved for ${(PATIENCE / 1000).toFixed()} s at ${now}`);
    }
    before = now;
    await setTimeout(LOOK_EVERY);
  }
}
