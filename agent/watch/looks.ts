/** Looks again and again at what the kernel tells nobody of, as often as it is cheap. */
import { again, type Clock } from '../clock.js';

/** Between two looks, at least. */
const EVERY_MS = 2000;
/** After a look as many times its own duration passes: it takes a fiftieth of one CPU at most... */
const SHARE = 50;
/** ... but not more than this, however slow the host is. */
const LONGEST_MS = 10_000;
/** After a look that was worth nothing, since something of ours happened meanwhile. */
const AGAIN_MS = 250;

/**
 * @param look comes back with false when it was worth nothing; never rejects.
 * @returns what ends it.
 */
export function lookOften(clock: Clock, look: () => Promise<boolean>): () => void {
  return again(clock, EVERY_MS, async () => {
    const startedAt = clock.now();
    const isWorth = await look();
    return Math.max(isWorth ? EVERY_MS : AGAIN_MS, Math.min(SHARE * (clock.now() - startedAt), LONGEST_MS));
  });
}
