// That a script goes on, for whoever waits for it: as test/support/progress.ts does for tests.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

/** Between two notes; in milliseconds. */
const NOTE_EVERY = 100;

let notedAt = -Infinity;

/** Says what is being done, where scripts/test.mjs looks; cheap, and nothing outside of a run. */
export function note(what) {
  const folder = process.env.PORTCULLIS_PROGRESS;
  const now = performance.now();
  if (folder === undefined || now - notedAt < NOTE_EVERY) return;
  notedAt = now;
  const path = join(folder, `step-${process.pid}`);
  writeFileSync(`${path}.next`, what);
  renameSync(`${path}.next`, path);
}
