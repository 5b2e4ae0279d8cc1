/**
 * How long a test waits for something that does not come. It is never how long a healthy test may take: each limit counts from
 * the last sign of progress, and is longer on a slow machine.
 */

/** How many times slower this machine is than a quiet one; `npm test` measures it as it begins. At least 1. */
const SLOWNESS = Math.max(1, Number(process.env['PORTCULLIS_SLOWNESS'] ?? 1));

/** @param milliseconds what would be ample on a quiet machine; whole ones come back */
export function patience(milliseconds: number): number {
  return Math.ceil(milliseconds * SLOWNESS);
}
