/**
 * Cuts what is asked about where a verdict can change: values of which every condition says the same are one class, and a verdict on one
 * of them is the verdict on all.
 */

/** Whole numbers `first`-`last`, both included: addresses, ports, types. */
export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** Values of one fate. Sorted, disjoint and not adjacent. */
export type Ranges = readonly Range[];

/**
 * @param asked sorted and disjoint.
 * @param conditions each a set of values.
 * @returns the classes of what is asked, in order of their first values; together they are all of it, and no two have a value in common.
 */
export function classesOf(asked: Ranges, conditions: readonly Ranges[]): readonly Ranges[] {
  const within = new Set<number>();
  const classes = new Map<string, Range[]>();
  const changes = [asked, ...conditions].flatMap((ranges, condition) => changesOf(ranges, condition));
  changes.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  for (const [index, { at, condition, begins }] of changes.entries()) {
    if (begins) within.add(condition);
    else within.delete(condition);
    const next = changes[index + 1]?.at;
    // 0 is what is asked.
    if (next === undefined || next === at || !within.has(0)) continue;
    const key = [...within].sort((a, b) => a - b).join();
    const ranges = classes.get(key);
    if (ranges === undefined) classes.set(key, [{ first: at, last: next - 1n }]);
    else append(ranges, { first: at, last: next - 1n });
  }
  return [...classes.values()];
}

interface Change {
  readonly at: bigint;
  readonly condition: number;
  readonly begins: boolean;
}

function changesOf(ranges: Ranges, condition: number): readonly Change[] {
  // Where two of one condition overlap, the end of the first would be that of both.
  return union(ranges).flatMap(({ first, last }) => [
    { at: first, condition, begins: true },
    { at: last + 1n, condition, begins: false },
  ]);
}

/** Joins what overlaps or is adjacent. */
export function union(ranges: Ranges): Ranges {
  const joined: Range[] = [];
  for (const range of [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    append(joined, range);
  }
  return joined;
}

/** @param range begins where the last one does, or behind. */
function append(ranges: Range[], range: Range): void {
  const top = ranges.at(-1);
  if (top === undefined || range.first > top.last + 1n) ranges.push(range);
  else ranges[ranges.length - 1] = { first: top.first, last: range.last > top.last ? range.last : top.last };
}

/** True when a value is in one of the ranges, which are sorted and disjoint. */
export function holds(ranges: Ranges, value: bigint): boolean {
  let [low, high] = [0, ranges.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range === undefined) return false;
    if (value < range.first) high = middle - 1;
    else if (value > range.last) low = middle + 1;
    else return true;
  }
  return false;
}

/** The values of `ranges` that `others` have, too. Both are sorted and disjoint. */
export function common(ranges: Ranges, others: Ranges): Ranges {
  return ranges.flatMap((range) =>
    others
      .filter((other) => other.first <= range.last && range.first <= other.last)
      .map((other) => ({
        first: other.first > range.first ? other.first : range.first,
        last: other.last < range.last ? other.last : range.last,
      })),
  );
}
