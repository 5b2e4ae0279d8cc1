/** Secrets: how they are compared. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** Takes the same time whatever differs. */
export function isSameSecret(a: string, b: string): boolean {
  const [one, two] = [a, b].map((text) => createHash('sha256').update(text).digest());
  return one !== undefined && two !== undefined && timingSafeEqual(one, two);
}
