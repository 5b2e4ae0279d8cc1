/** How long who follows a remote source waits between two tries. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { Follow } from '../../../src/sources/follow.js';
import { BACKOFF } from '../../../src/sources/source.js';
import { progressing } from '../../support/waiting.js';

/** @returns the pauses between sessions that fail at once, in milliseconds. */
async function pauses(count: number, isHeard: boolean): Promise<readonly number[]> {
  const begun: number[] = [];
  const follow: Follow = new Follow(
    async () => {
      begun.push(performance.now());
      if (isHeard) follow.heard();
      return Promise.reject(new Error('no'));
    },
    () => undefined,
  );
  onTestFinished(() => {
    follow.stop();
  });
  follow.start();
  await progressing(
    () => `${count} pauses`,
    () => begun.length > count,
    () => begun.length,
  );
  return begun.slice(1, count + 1).map((at, index) => at - (begun[index] ?? 0));
}

describe('the pauses between tries', () => {
  it('who says nothing is asked again soon, however long he has been silent', async () => {
    const [, , , , , ...late] = await pauses(8, false);
    // Half of the longest pause is what chance never goes below; the least of several, since a busy machine only adds.
    expect(Math.min(...late)).toBeLessThan(BACKOFF.most / 2);
  });

  it('who answers, and cannot be followed, is left alone for longer each time', async () => {
    const all = await pauses(4, true);
    for (const [index, pause] of all.entries()) {
      // Timers count whole milliseconds.
      expect(pause).toBeGreaterThanOrEqual((BACKOFF.first * 2 ** index) / 2 - 1);
    }
  });
});
