/** Sets of numbers as sorted, disjoint, non-adjacent ranges. */
import type { NumberRange } from './number-range.js';

/** Joins overlapping and adjacent ranges. */
export function mergeRanges(ranges: readonly NumberRange[]): readonly NumberRange[] {
  const merged: NumberRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const top = merged.at(-1);
    if (top !== undefined && range.first <= top.last + 1) {
      merged[merged.length - 1] = { first: top.first, last: Math.max(top.last, range.last) };
    } else {
      merged.push(range);
    }
  }
  return merged;
}

export function rangeCovers(outer: NumberRange, inner: NumberRange): boolean {
  return outer.first <= inner.first && inner.last <= outer.last;
}

export function rangesOverlap(a: NumberRange, b: NumberRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}
