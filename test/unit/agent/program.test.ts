/** How long a program that hangs is waited for. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runProgram, type ProgramResult } from '../../../agent/kernel/program.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** So many at once, and one that is quick. */
async function hanging(count: number): Promise<readonly ProgramResult[]> {
  const results = Promise.all(Array.from({ length: count }, async () => runProgram('sleep', ['1000'])));
  await vi.advanceTimersByTimeAsync(60_000);
  return results;
}

const late = (seconds: number): ProgramResult => ({ kind: 'late', seconds });

it('one that hangs again is waited for twice as long, up to four times; several side by side are one; what ends ends that', async () => {
  expect(await hanging(3)).toEqual([late(10), late(10), late(10)]);
  expect(await hanging(2)).toEqual([late(20), late(20)]);
  expect(await hanging(1)).toEqual([late(40)]);
  expect(await hanging(1)).toEqual([late(40)]);
  expect(await runProgram('sleep', ['0'])).toMatchObject({ kind: 'ended', code: 0 });
  expect(await hanging(1)).toEqual([late(10)]);
});
