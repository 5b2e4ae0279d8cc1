import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts'],
    setupFiles: ['test/support/seed.ts'],
    testTimeout: 60_000,
    // Some files wait more than they compute: a second worker pays on two processors, where one is the default.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
