/** Looks again and again at what the kernel tells nobody of, as often as it is cheap; and compares everything, as often as it is asked to. */
import { again, type Clock } from '../clock.js';

/** Between two looks, at least. */
const EVERY_MS = 2000;
/** After a look as many times its own duration passes: it takes a fiftieth of one CPU at most... */
const SHARE = 50;
/** ... but not more than this, where a look takes no longer itself: the host is to do something else, too. */
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
    const took = clock.now() - startedAt;
    return Math.max(isWorth ? EVERY_MS : AGAIN_MS, Math.min(SHARE * took, LONGEST_MS), took);
  });
}

/**
 * @param every between the end of one comparison and the next one, in milliseconds, and up to a tenth more; as long as one takes, at least:
 *   a host that is slow is to do something else, too.
 * @param verify never rejects.
 * @returns what ends it.
 */
export function verifyOften(clock: Clock, every: number, verify: () => Promise<void>): () => void {
  const pause = (): number => every * (1 + Math.random() / 10);
  return again(clock, pause(), async () => {
    const startedAt = clock.now();
    await verify();
    return Math.max(pause(), clock.now() - startedAt);
  });
}
