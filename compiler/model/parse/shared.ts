/**
 * Values that many ports have alike: kept once, and not once for each port that was read. Nobody can tell the difference but by the memory that is
 * used, so who reads one change after another keeps one of these for all of them.
 */

/** With more different ones it begins anew: networks and hosts come and go for as long as an agent lives. */
const MOST = 10_000;

const NONE: readonly never[] = [];

export class SharedValues {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, readonly string[]>();

  /** The same text. */
  text(value: string): string {
    return shared(this.#texts, value, value);
  }

  /** The same ids. */
  ids(values: readonly string[]): readonly string[] {
    return shared(this.#lists, values.join(' '), values);
  }

  /** The same list, where it is empty. */
  list<T>(values: readonly T[]): readonly T[] {
    return values.length === 0 ? NONE : values;
  }
}

function shared<T>(known: Map<string, T>, key: string, value: T): T {
  const found = known.get(key);
  if (found !== undefined) return found;
  if (known.size >= MOST) known.clear();
  known.set(key, value);
  return value;
}
