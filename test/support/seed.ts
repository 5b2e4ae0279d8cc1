/** One seed for all random tests of a run, printed by `npm test`. */
import fc from 'fast-check';

export const seed = Number(process.env['PORTCULLIS_SEED'] ?? 1);

fc.configureGlobal({ seed });
