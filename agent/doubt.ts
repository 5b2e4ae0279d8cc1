/** Why everything must be compared. */

/** The reason of the first comparison. */
export const AT_START = 'start';

/** The reason of a comparison after a look at what the kernel tells nobody of. */
export const LOOK = 'a look at iptables and ipset';

/** The reason of a comparison that nothing asked for. */
export const VERIFICATION = 'verification';

/** True where nobody has told of anything: what is loaded should be what we left there. */
export function isMereLook(reason: string): boolean {
  return reason === VERIFICATION || reason === LOOK;
}
