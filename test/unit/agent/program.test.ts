/** How long a program that hangs is waited for. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runProgram, type ProgramResult } from '../../../agent/kernel/program.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const late = (seconds: number): ProgramResult => ({ kind: 'late', seconds });

/** So many at once, and as much time later; in milliseconds. */
async function hanging(count: number, time = 60_000): Promise<readonly ProgramResult[]> {
  const results = Promise.all(Array.from({ length: count }, async () => runProgram('sleep', ['1000'])));
  await vi.advanceTimersByTimeAsync(time);
  return results;
}

it('one that hangs again is waited for twice as long, up to four times; several side by side are one; what ends ends that', async () => {
  expect(await hanging(3)).toEqual([late(10), late(10), late(10)]);
  expect(await hanging(2)).toEqual([late(20), late(20)]);
  expect(await hanging(1)).toEqual([late(40)]);
  expect(await hanging(1)).toEqual([late(40)]);
  expect(await runProgram('sleep', ['0'])).toMatchObject({ kind: 'ended', code: 0 });
  expect(await hanging(1)).toEqual([late(10)]);
});

it('one that began before others were late, and is late last, shortens no wait', async () => {
  expect(await runProgram('sleep', ['0'])).toMatchObject({ code: 0 });
  const first = runProgram('sleep', ['1000'], { input: 'x'.repeat(2_500_000) });
  expect(await hanging(1, 10_000)).toEqual([late(10)]);
  expect(await hanging(1, 20_000)).toEqual([late(20)]);
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await first).toEqual(late(60));
  expect(await hanging(1)).toEqual([late(40)]);
});
