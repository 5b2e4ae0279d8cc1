/** One seed for all random tests of a run, printed by `npm test`. */
import fc from 'fast-check';
import { step } from './progress.js';

export const seed = Number(process.env['PORTCULLIS_SEED'] ?? 1);

let runs = 0;

if (!Number.isSafeInteger(seed)) throw new Error('PORTCULLIS_SEED is no whole number');
fc.configureGlobal({ seed });
// A property is one test of hundreds of runs: each of them is progress.
fc.installGlobalPlugin(
  fc.beforeEach(() => {
    step(`run ${(++runs).toString()} of random ones`);
  }),
);

const BATCH = 50;

/** Random values from the run's seed, the same ones in each run of it, as many as it takes. */
export function* samples<T>(arbitrary: fc.Arbitrary<T>): Generator<T, never> {
  for (let batch = 0; ; batch++) yield* fc.sample(arbitrary, { seed: seed + batch, numRuns: BATCH });
}

/** The next ones of {@link samples}. */
export function take<T>(from: Generator<T, never>, count: number): readonly T[] {
  return Array.from({ length: count }, () => from.next().value);
}
