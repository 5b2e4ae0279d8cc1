/** The loop that every remote source is followed by: pauses, silence, what is said of trouble. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { BACKOFF, Follow, Postponed } from '../../../src/sources/follow.js';

/** Until the signal says so. */
const untilEnded = async (signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });

let follow: Follow;
let said: string[];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  said = [];
});
afterEach(() => {
  follow.stop();
  vi.useRealTimers();
});

function started(session: (signal: AbortSignal) => Promise<void>, silence?: number | null): Follow {
  follow = new Follow(session, (reason) => said.push(reason), silence);
  follow.start();
  return follow;
}

it.each([
  ['who says nothing is asked again soon', false, BACKOFF.mostUnheard],
  ['who answers, and cannot be followed, is left alone for longer', true, BACKOFF.most],
])(
  'pauses grow up to a limit, differ from host to host, and are short again when all is well: %s',
  async (_, isHeard, most) => {
    const starts: number[] = [];
    started(async () => {
      starts.push(Date.now());
      if (isHeard) follow.heard();
      return Promise.reject(new Error('away'));
    });
    await vi.advanceTimersByTimeAsync(60_000);
    const pauses = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
    expect(pauses.length).toBeGreaterThan(8);
    for (const [index, pause] of pauses.entries()) {
      const middle = Math.min(BACKOFF.first * 2 ** index, most);
      expect(pause).toBeGreaterThanOrEqual(middle / 2);
      expect(pause).toBeLessThanOrEqual(1.5 * middle + 1);
    }
    expect(new Set(pauses.slice(-5)).size).toBeGreaterThan(1);
    expect(said).toEqual(['away']);
    follow.well();
    const before = starts.length;
    await vi.advanceTimersByTimeAsync(1.5 * most + 1);
    expect(starts.length).toBeGreaterThan(before);
    expect(said).toEqual(['away', 'away']);
  },
);

it('a session in which nothing is heard is ended; one in which something is goes on', async () => {
  let sessions = 0;
  started(async (signal) => {
    sessions++;
    return untilEnded(signal);
  }, 1000);
  for (let times = 0; times < 10; times++) {
    await vi.advanceTimersByTimeAsync(900);
    follow.heard();
  }
  expect([sessions, said]).toEqual([1, []]);
  await vi.advanceTimersByTimeAsync(1000 + 2 * BACKOFF.first);
  expect(sessions).toBe(2);
  expect(said).toEqual(['nothing was heard for 1 s']);
});

it('where silence is usual it ends nothing', async () => {
  let sessions = 0;
  started(async (signal) => {
    sessions++;
    return untilEnded(signal);
  }, null);
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect([sessions, said]).toEqual([1, []]);
});

it('asked to read again it does so at once, in a session and in a pause, and nothing is wrong', async () => {
  let sessions = 0;
  let isAway = false;
  started(async (signal) => {
    sessions++;
    return isAway ? Promise.reject(new Error('away')) : untilEnded(signal);
  });
  await vi.advanceTimersByTimeAsync(1);
  follow.again();
  await vi.advanceTimersByTimeAsync(1);
  expect([sessions, said]).toEqual([2, []]);
  isAway = true;
  follow.end(new Error('cut'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(said).toEqual(['cut', 'away']);
  const before = sessions;
  isAway = false;
  follow.again();
  await vi.advanceTimersByTimeAsync(1);
  expect(sessions).toBe(before + 1);
});

it('who asks to be left alone for a while is, for that long and no longer than that again', async () => {
  const starts: number[] = [];
  started(async () => {
    starts.push(Date.now());
    return Promise.reject(Postponed.by('busy', '20'));
  });
  await vi.advanceTimersByTimeAsync(300_000);
  const pauses = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(20_000);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(40_001);
});

it.each([
  ['0', 0],
  ['7', 7000],
  ['9999', 300_000],
  ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ['-1', undefined],
  ['', undefined],
  [null, undefined],
])('Retry-After: %s', (value, pause) => {
  const error = Postponed.by('busy', value);
  expect(error.message).toBe('busy');
  expect(error instanceof Postponed ? error.pause : undefined).toBe(pause);
});

it('stopped, it does not begin again, and leaves nothing that would run', async () => {
  let sessions = 0;
  started(async (signal) => {
    sessions++;
    return untilEnded(signal);
  });
  await vi.advanceTimersByTimeAsync(1);
  follow.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([sessions, said]).toEqual([1, []]);
  expect(vi.getTimerCount()).toBe(0);
});

it('whoever cannot take the trouble now is told it again', async () => {
  let isRefusing = true;
  follow = new Follow(
    async () => Promise.reject(new Error('away')),
    (reason) => {
      if (isRefusing) throw new Error('not now');
      said.push(reason);
    },
  );
  follow.start();
  await vi.advanceTimersByTimeAsync(5000);
  isRefusing = false;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(said).toEqual(['away']);
});
