import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/client/**/*.test.ts'],
    setupFiles: ['test/support/seed.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
