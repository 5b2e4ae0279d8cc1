/**
 * Names of kernel objects: readable, stable, never equal for two different things.
 *
 * A name is made of the first eight characters of the object's id. Where two ids of one host agree in these, the names of
 * all that agree get a digest of the whole id; ids are random UUIDs, so this is rare (1 % of hosts with 10 000 groups).
 * So does a name that could be taken for that of a group with what stands behind it: see {@link MAY_MISLEAD}.
 */
import { hash } from 'node:crypto';

const READABLE_LENGTH = 8;
/**
 * A direction as a word of its own. Behind a group's name stand the direction and, in its sets, the name of a remote: the sets of group `a`
 * for remote `out_sg_b` (`sg_a_in_sg_out_sg_b_4_ports`) would be those of group `a_in_sg` for remote `b`.
 */
const MAY_MISLEAD = /_(?:in|out)(?:_|$)/;

/** First `length` hexadecimal digits of the SHA-256 of a text. */
export function digest(text: string, length: number): string {
  // In one call: of short texts, and there is one to a rule, the object for several costs more than the digest.
  return hash('sha256', text, 'hex').slice(0, length);
}

/** A short name for each id: letters, digits and `_` only (nft identifiers). */
export function shortNames(ids: Iterable<string>): ReadonlyMap<string, string> {
  const names = new ShortNames();
  for (const id of ids) names.add(id);
  return new Map([...names.ids()].map((id) => [id, names.get(id)]));
}

/** Short names of ids that come and go. */
export class ShortNames {
  readonly #byShort = new Map<string, Set<string>>();

  /** Adds an id; returns the other ids whose name changes thereby. */
  add(id: string): readonly string[] {
    const short = readable(id);
    const same = this.#byShort.get(short) ?? new Set<string>();
    this.#byShort.set(short, same);
    const [other] = same;
    const renamed = other !== undefined && same.size === 1 && other !== id ? [other] : [];
    same.add(id);
    return MAY_MISLEAD.test(short) ? [] : renamed;
  }

  /** Removes an id; returns the other ids whose name changes thereby. */
  delete(id: string): readonly string[] {
    const short = readable(id);
    const same = this.#byShort.get(short);
    if (same?.delete(id) !== true) return [];
    if (same.size === 0) this.#byShort.delete(short);
    return same.size === 1 && !MAY_MISLEAD.test(short) ? [...same] : [];
  }

  /** The name of an id, whether it was added or not. */
  get(id: string): string {
    const short = readable(id);
    const same = this.#byShort.get(short)?.size ?? 0;
    return same <= 1 && !MAY_MISLEAD.test(short) ? short : `${short}_${digest(id, 12)}`;
  }

  *ids(): Iterable<string> {
    for (const same of this.#byShort.values()) yield* same;
  }
}

function readable(id: string): string {
  return id.slice(0, READABLE_LENGTH).replaceAll(/[^A-Za-z0-9]/g, '_');
}
