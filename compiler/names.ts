/**
 * Names of kernel objects: readable, stable, never equal for two different things.
 *
 * A name is made of the first eight characters of the object's id. Where two ids of one host agree in these, the names of
 * all that agree get a digest of the whole id; ids are random UUIDs, so this is rare (1 % of hosts with 10 000 groups).
 */
import { createHash } from 'node:crypto';

const READABLE_LENGTH = 8;

/** First `length` hexadecimal digits of the SHA-256 of a text. */
export function digest(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

/** A short name for each id: letters, digits and `_` only (nft identifiers). */
export function shortNames(ids: Iterable<string>): ReadonlyMap<string, string> {
  const byShort = new Map<string, string[]>();
  for (const id of ids) {
    const short = readable(id);
    const others = byShort.get(short);
    if (others === undefined) byShort.set(short, [id]);
    else others.push(id);
  }
  const names = new Map<string, string>();
  for (const [short, same] of byShort) {
    for (const id of same) names.set(id, same.length === 1 ? short : `${short}_${digest(id, 12)}`);
  }
  return names;
}

function readable(id: string): string {
  return id.slice(0, READABLE_LENGTH).replaceAll(/[^A-Za-z0-9]/g, '_');
}
