/** Looks again and again at what the kernel tells nobody of, as often as it is cheap. */
import { again, type Clock } from '../clock.js';

/** Between two looks, at least; in milliseconds. */
const EVERY = 2000;
/** After a look as many times its own duration passes: it takes a fiftieth of one CPU at most... */
const SHARE = 50;
/** ... but not more than this, however slow the host is; in milliseconds. */
const LONGEST = 10_000;
/** After a look that was worth nothing, since something of ours happened meanwhile; in milliseconds. */
const AGAIN = 250;

/**
 * @param look comes back with false when it was worth nothing; never rejects.
 * @returns what ends it.
 */
export function lookOften(clock: Clock, look: () => Promise<boolean>): () => void {
  return again(clock, EVERY, async () => {
    const startedAt = clock.now();
    const isWorth = await look();
    return Math.max(isWorth ? EVERY : AGAIN, Math.min(SHARE * (clock.now() - startedAt), LONGEST));
  });
}
