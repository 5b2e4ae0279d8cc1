import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Watcher } from '../../../agent/watch/watcher.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';

const SECOND = 1000;
const LATE = 'the watching process said nothing for too long and was ended';

let folder: string;
let losses: string[];
let heard: number;
let watcher: Watcher;
/** Time passes for the watcher alone, not for its processes, which say something when they are told something. */
let clock: VirtualClock;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-watcher-'));
  losses = [];
  heard = 0;
  const program = join(folder, 'process.mjs');
  writeFileSync(
    program,
    `import { appendFileSync } from 'node:fs';
appendFileSync(${JSON.stringify(join(folder, 'started'))}, '.');
process.on('disconnect', () => process.exit(0));
process.on('message', () => process.send({ kind: 'link-gone', index: 1 }));`,
  );
  writeFileSync(join(folder, 'started'), '');
  const listener = { onEvent: () => heard++, onLoss: (reason: string) => losses.push(reason) };
  clock = new VirtualClock();
  watcher = new Watcher(listener, clock, program);
  watcher.start();
});
afterEach(() => {
  watcher.stop();
  rmSync(folder, { recursive: true });
});

/** Waits for a process. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}

async function pass(milliseconds: number): Promise<void> {
  await clock.advance(milliseconds, settle);
}

/** Waits for a process; the pause before it is over. */
async function started(count: number): Promise<void> {
  await until(() => readFileSync(join(folder, 'started'), 'utf8').length === count);
}

/** Has the process say something. */
async function spoken(): Promise<void> {
  const before = heard;
  watcher.order({ kind: 'own-begins', portId: 1, before: 1 });
  await until(() => heard > before);
}

/** Nothing is said until it is ended; the next one starts after a pause. */
async function endsAfter(seconds: number, pause: number): Promise<void> {
  const before = losses.length;
  await pass(seconds * SECOND - 1);
  expect(losses).toHaveLength(before);
  await pass(1);
  expect(losses).toHaveLength(before + 1);
  expect(losses.at(-1)).toBe(LATE);
  await pass(pause);
}

it('each one that says nothing gives the next one twice as long: where Node starts slowly somebody listens in the end', async () => {
  for (const [index, seconds] of [10, 20, 40, 80, 160, 160].entries()) {
    await started(index + 1);
    await endsAfter(seconds, 20 * 2 ** index);
  }
  expect(watcher.state).toMatchObject({ losses: 6, lastReason: LATE });
  await started(7);
  await spoken();
  expect(watcher.state.away).toBeUndefined();
});

it('for how long nobody listens is told by no wall clock: one that is set back a year hides nothing', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    await started(1);
    await spoken();
    await endsAfter(10, 0);
    const at = new Date();
    vi.setSystemTime(at.getTime() - 365 * 86_400 * SECOND);
    await pass(3 * SECOND);
    expect([watcher.state.away?.at, watcher.state.away?.age()]).toEqual([at, 3 * SECOND]);
  } finally {
    vi.useRealTimers();
  }
});

it('one that was well is missed as soon as the first one; one that said a word and no more is not', async () => {
  await started(1);
  await endsAfter(10, 20);
  await started(2);
  await spoken();
  await endsAfter(20, 40);
  await started(3);
  await spoken();
  await pass(11 * SECOND);
  await spoken();
  await pass(9 * SECOND);
  await spoken();
  await endsAfter(10, 20);
  await started(4);
});
