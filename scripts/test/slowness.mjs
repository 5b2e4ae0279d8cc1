// How slow this machine is just now: limits are for no progress, and a busy machine progresses slowly.
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';

/** What starting Node takes on a quiet machine; in milliseconds. */
const QUIET_START = 50;
const STARTS = 7;

/** @returns {number} 1 on a quiet machine, 3 on one that takes three times as long; never less than 1 */
export function measureSlowness() {
  const took = Array.from({ length: STARTS }, () => {
    const start = performance.now();
    spawnSync(process.execPath, ['-e', '0'], { stdio: 'ignore' });
    return performance.now() - start;
  }).sort((a, b) => a - b);
  return Math.max(1, took[Math.floor(STARTS / 2)] / QUIET_START);
}
