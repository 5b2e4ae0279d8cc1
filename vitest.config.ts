import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Files at once. Where files wait more than they compute, a second worker pays on two processors, where one is the default; a third in the kernel tier, and no fourth (731 s of 740). */
const TWO = Math.max(2, availableParallelism() - 1);

/** Tiers, and how many files of each run at once. That of the virtual machine has a configuration of its own: scripts/test/vm.config.mjs. */
const WORKERS: Readonly<Record<string, number>> = { unit: TWO, kernel: TWO + 1, client: TWO, container: 1 };

/** A tier is a mode: `vitest run --mode kernel`; without one it is the unit tier. */
export default defineConfig(({ mode }) => {
  const tier = mode in WORKERS ? mode : 'unit';
  return {
    test: {
      include: [`test/${tier}/**/*.test.ts`],
      globalSetup: ['test/support/built.ts'],
      setupFiles: ['test/support/seed.ts'],
      // Limits are on what does not move (test/support/runner.ts), never on the whole of a test.
      runner: './test/support/runner.ts',
      testTimeout: 0,
      hookTimeout: 0,
      // What a file imports stays for the next one: a tenth of the time of all. No module of ours keeps what a test could leave behind.
      isolate: false,
      maxWorkers: WORKERS[tier] ?? 1,
    },
  };
});
