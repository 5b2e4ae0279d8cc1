/** The loop that every remote source is followed by: pauses, silence, what is said of trouble. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BACKOFF_MS, Follow, Postponed } from '../../../src/sources/follow.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';

/** Until the signal says so. */
const untilEnded = async (signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });

let follow: Follow;
let said: string[];
let clock: VirtualClock;
/** The random numbers that follow each other, again and again. */
let chances: readonly number[];
beforeEach(() => {
  clock = new VirtualClock();
  chances = [0.5, 0, 0.9];
  said = [];
});
afterEach(() => {
  follow.stop();
});

async function pass(milliseconds: number): Promise<void> {
  await settle();
  await clock.advance(milliseconds, settle);
}

function started(
  session: (signal: AbortSignal) => Promise<void>,
  silence?: number | null,
  onTrouble = (reason: string): void => void said.push(reason),
): void {
  let drawn = 0;
  const random = (): number => chances[drawn++ % chances.length] ?? 0;
  follow = new Follow(session, onTrouble, silence, clock, random);
  follow.start();
}

const between = (starts: readonly number[]): readonly number[] =>
  starts.slice(1).map((at, index) => at - (starts[index] ?? 0));

it.each([
  ['who says nothing is asked again soon', false, [250, 500, 800, 800, 800, 800]],
  ['who answers, and cannot be followed, is left alone for longer', true, [250, 500, 1000, 2000, 4000, 5000, 5000]],
])(
  'pauses grow up to a limit, differ from host to host by half of them, and are short again when all is well: %s',
  async (_, isHeard, usual) => {
    chances = [0, 0.5, 1, 0.25];
    const starts: number[] = [];
    started(async () => {
      starts.push(clock.now());
      if (isHeard) follow.heard();
      return Promise.reject(new Error('away'));
    });
    await pass(60_000);
    const factors = [0.5, 1, 1.5, 0.75];
    const should = usual.map((pause, index) => pause * (factors[index % 4] ?? 0));
    expect(between(starts).slice(0, usual.length)).toEqual(should);
    expect(said).toEqual(['away']);
    follow.well();
    chances = [0.5];
    starts.length = 0;
    await pass(10_000);
    expect(between(starts).slice(0, 2)).toEqual([250, 500]);
    expect(said).toEqual(['away', 'away']);
  },
);

it('who falls silent after he was heard is asked again sooner than he was', async () => {
  chances = [0.5];
  let isHeard = true;
  const starts: number[] = [];
  started(async () => {
    starts.push(clock.now());
    if (isHeard) follow.heard();
    return Promise.reject(new Error('away'));
  });
  await pass(20_000);
  isHeard = false;
  starts.length = 0;
  await pass(10_000);
  expect(between(starts).slice(0, 3)).toEqual([800, 800, 800]);
});

it('a session in which nothing is heard is ended; one in which something is goes on', async () => {
  let sessions = 0;
  started(async (signal) => {
    sessions++;
    return untilEnded(signal);
  }, 1000);
  for (let times = 0; times < 10; times++) {
    await pass(900);
    follow.heard();
  }
  expect([sessions, said]).toEqual([1, []]);
  await pass(1000 + 2 * BACKOFF_MS.first);
  expect(sessions).toBe(2);
  expect(said).toEqual(['nothing was heard for 1 s']);
});

it('where silence is usual it ends nothing', async () => {
  let sessions = 0;
  started(async (signal) => {
    sessions++;
    return untilEnded(signal);
  }, null);
  await pass(3_600_000);
  expect([sessions, said]).toEqual([1, []]);
});

it('asked to read again it does so at once, in a session and in a pause, and nothing is wrong', async () => {
  let sessions = 0;
  let isAway = false;
  started(async (signal) => {
    sessions++;
    return isAway ? Promise.reject(new Error('away')) : untilEnded(signal);
  });
  await pass(1);
  follow.again();
  await pass(1);
  expect([sessions, said]).toEqual([2, []]);
  isAway = true;
  follow.end(new Error('cut'));
  await pass(60_000);
  expect(said).toEqual(['cut', 'away']);
  const before = sessions;
  isAway = false;
  follow.again();
  await pass(1);
  expect(sessions).toBe(before + 1);
});

it('who asks to be left alone for a while is, for that long and no longer than that again', async () => {
  const starts: number[] = [];
  started(async () => {
    starts.push(clock.now());
    return Promise.reject(Postponed.by('busy', '20'));
  });
  await pass(300_000);
  // With the random numbers of every other pause.
  expect(between(starts).slice(0, 3)).toEqual([30_000, 20_000, 38_000]);
});

it.each([
  ['0', 0],
  ['7', 7000],
  ['9999', 300_000],
  ['86400', 300_000],
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
  await pass(1);
  follow.stop();
  await pass(60_000);
  expect([sessions, said]).toEqual([1, []]);
  expect(clock.waiting).toBe(0);
});

it('whoever cannot take the trouble now is told it again', async () => {
  let isRefusing = true;
  started(
    async () => Promise.reject(new Error('away')),
    undefined,
    (reason) => {
      if (isRefusing) throw new Error('not now');
      said.push(reason);
    },
  );
  await pass(5000);
  isRefusing = false;
  await pass(60_000);
  expect(said).toEqual(['away']);
});
