/**
 * How vitest runs our tests: without a limit on the whole of a test, which says how busy the machine is and no more, and with one
 * on the time without progress. A test that fails carries what the witnesses say.
 */
import { TestRunner, type RunnerTestCase } from 'vitest';
import { patience } from './patience.js';
import { lastStep, testBegins, testimony } from './progress.js';
import { stillRunning } from './still-running.js';

declare module 'vitest' {
  interface TaskMeta {
    /** Of a test that failed: what the witnesses said, for the report at the end. */
    testimony?: string;
  }
}

/** Without a step for as long, a test is given up; in milliseconds on a quiet machine. */
const NO_PROGRESS = 60_000;
const LOOK_EVERY = 500;

export default class ProgressRunner extends TestRunner {
  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    testBegins(test.fullName);
    await super.onBeforeRunTask(test);
  }

  async runTask(test: RunnerTestCase): Promise<void> {
    const run = TestRunner.getTestFn(test);
    let timer: NodeJS.Timeout | undefined;
    const stuck = new Promise<never>((_resolve, reject) => {
      timer = setInterval(() => {
        const { what, age } = lastStep();
        if (age < patience(NO_PROGRESS)) return;
        clearInterval(timer);
        const running = stillRunning();
        const since = `no progress for ${Math.round(age / 1000).toString()} s; its last step: ${what}`;
        reject(new Error(running === '' ? since : `${since}; what still runs:\n${running}`));
      }, LOOK_EVERY);
    });
    try {
      await Promise.race([run(), stuck]);
    } catch (error) {
      // Told now: what they tell of is gone when the hooks have cleaned up.
      test.meta.testimony = await testimony();
      throw error;
    } finally {
      clearInterval(timer);
    }
  }
}
