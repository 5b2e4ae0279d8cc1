import { expect, it } from 'vitest';
import { SingleFlight } from '../../../agent/single-flight.js';

/** Work whose runs end when they are told to. */
class Work {
  runs = 0;
  end: () => void = () => undefined;
  fail: () => void = () => undefined;

  readonly run = async (): Promise<void> =>
    new Promise((resolve, reject) => {
      this.runs++;
      this.end = resolve;
      this.fail = () => {
        reject(new Error('in vain'));
      };
    });
}

it('one run at a time: what comes while one ends is done by the next one, and nothing is begun without work', async () => {
  const one = new Work();
  let waiting = 0;
  const flight = new SingleFlight(
    async () => {
      waiting = 0;
      await one.run();
      // After its last look for work.
      if (one.runs === 1) waiting = 1;
    },
    () => waiting > 0,
  );
  flight.start();
  expect([one.runs, flight.isRunning]).toEqual([0, false]);
  waiting = 2;
  flight.start();
  flight.start();
  expect([one.runs, flight.isRunning]).toEqual([1, true]);
  const idle = flight.idle();
  one.end();
  await expect.poll(() => one.runs).toBe(2);
  expect(flight.isRunning).toBe(true);
  one.end();
  await idle;
  expect([one.runs, flight.isRunning]).toEqual([2, false]);
});

it('who joins a run waits for that one, hears of its failure, and begins another one afterwards', async () => {
  const one = new Work();
  const flight = new SingleFlight(one.run);
  const all = Promise.allSettled([flight.join(), flight.join()]);
  one.fail();
  expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  const again = flight.join();
  one.end();
  await again;
  expect([one.runs, flight.isRunning]).toEqual([2, false]);
});
