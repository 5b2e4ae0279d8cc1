/** What the agent does again and again, by a clock that goes as fast as it is told to. */
import { expect, it } from 'vitest';
import { again } from '../../../agent/clock.js';
import type { BridgeCall } from '../../../agent/kernel/bridge-calls.js';
import { Reporter } from '../../../agent/reporter.js';
import { lookOften, verifyOften } from '../../../agent/watch/looks.js';
import { SwitchWatch } from '../../../agent/watch/switches.js';
import { settle, VirtualClock } from '../../support/simulator/clock.js';

const pass = async (clock: VirtualClock, milliseconds: number): Promise<void> => clock.advance(milliseconds, settle);

it('the pause begins when the work is done, and nothing follows an end that comes while it is done', async () => {
  const clock = new VirtualClock();
  const begun: number[] = [];
  const end = again(clock, 5, async () => {
    begun.push(clock.now());
    await clock.sleep(100);
    return 10;
  });
  await pass(clock, 250);
  expect(begun).toEqual([5, 115, 225]);
  end();
  await pass(clock, 1000);
  expect([begun.length, clock.waiting]).toEqual([3, 0]);
});

it('a report is made when it differs, a second apart at most, every ten when it does not, and five after one in vain', async () => {
  const clock = new VirtualClock();
  const heard: [number, number | null][] = [];
  let [revision, isHeard, takes] = [1, true, 0];
  const report = {
    ...{ version: '0', enforced: true, trouble: null, ports: 0 },
    ...{ refused: [], isolated: 0, drift: 0 },
  };
  const reporter = new Reporter(
    () => ({ ...report, revision }),
    async (said) => {
      heard.push([clock.now(), said.revision]);
      await clock.sleep(takes);
      if (!isHeard) throw new Error('in vain');
    },
    clock,
  );
  reporter.start();
  await pass(clock, 21_500);
  expect(heard.splice(0)).toEqual([
    [1000, 1],
    [11_000, 1],
    [21_000, 1],
  ]);
  revision = 2;
  await pass(clock, 1000);
  revision = 3;
  isHeard = false;
  await pass(clock, 1000);
  // The one in vain may have been heard all the same.
  revision = 2;
  await pass(clock, 5000);
  expect(heard.splice(0)).toEqual([
    [22_000, 2],
    [23_000, 3],
    [28_000, 2],
  ]);
  isHeard = true;
  takes = 4000;
  await pass(clock, 5000);
  revision = 4;
  // The one that is under way is waited for.
  await pass(clock, 5000);
  expect(heard).toEqual([
    [33_000, 2],
    [38_000, 4],
  ]);
  reporter.stop();
  await pass(clock, 60_000);
  expect(heard).toHaveLength(2);
});

it.each([
  ['every two seconds where it is cheap', 10, true, 2000],
  ['fifty times as long as it takes', 100, true, 5000],
  ['ten seconds at most', 1000, true, 10_000],
  ['as long as it takes, where that is longer', 13_000, true, 13_000],
  ['soon where it was worth nothing', 1, false, 250],
  ['no sooner than it is cheap, though it was worth nothing', 100, false, 5000],
])('a look follows another: %s', async (_, takes, isWorth, pause) => {
  const clock = new VirtualClock();
  const begun: number[] = [];
  const end = lookOften(clock, async () => {
    begun.push(clock.now());
    await clock.sleep(takes);
    return isWorth;
  });
  await pass(clock, 2000 + takes + pause);
  expect(begun).toEqual([2000, 2000 + takes + pause]);
  end();
});

it.each([
  ['so long after it', 100, 1000],
  ['as long as it took, on a host that is slow', 2700, 2700],
])('a comparison follows another %s', async (_, takes, pause) => {
  const clock = new VirtualClock();
  const begun: number[] = [];
  const end = verifyOften(clock, 1000, async () => {
    begun.push(clock.now());
    await clock.sleep(takes);
  });
  await pass(clock, 20_000);
  end();
  // In whole milliseconds: a sum of fractions may be less than it is by the last digit.
  const pauses = begun.slice(1).map((at, index) => Math.round(at - (begun[index] ?? 0) - takes));
  expect(begun.length).toBeGreaterThan(2);
  for (const one of pauses) expect([one >= pause, one <= 1.1 * pause]).toEqual([true, true]);
});

it('a setting that is off is said once, and once that it is on again, a second later at most', async () => {
  const clock = new VirtualClock();
  const said: [number, boolean][] = [];
  let state: BridgeCall['state'] = 'on';
  const watch = new SwitchWatch(
    (fault) => said.push([clock.now(), fault !== undefined]),
    clock,
    async () => Promise.resolve([{ name: 'net.bridge.bridge-nf-call-iptables', state }]),
  );
  watch.start();
  await pass(clock, 2500);
  state = 'off';
  await pass(clock, 3000);
  expect(watch.fault).toMatch(/^net\.bridge\.bridge-nf-call-iptables is off: /);
  state = 'on';
  await pass(clock, 3000);
  expect(said).toEqual([
    [3000, true],
    [6000, false],
  ]);
  watch.stop();
});
