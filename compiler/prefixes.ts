/** Sets of prefixes: the smallest list of disjoint prefixes that covers the same addresses. */
import { comparePrefixes, covers, makePrefix, type Prefix } from './model/index.js';

/**
 * Aggregates prefixes: drops those inside others and joins neighbours, over and over. The result is sorted, disjoint and
 * covers exactly the same addresses. Families are kept apart.
 */
export function aggregatePrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  const stack: Prefix[] = [];
  for (const prefix of [...prefixes].sort(comparePrefixes)) {
    const top = stack.at(-1);
    if (top !== undefined && covers(top, prefix)) continue;
    stack.push(prefix);
    joinNeighbours(stack);
  }
  return stack;
}

/** While the last two prefixes are the two halves of one, replaces them by it. */
function joinNeighbours(stack: Prefix[]): void {
  for (;;) {
    const [left, right] = stack.slice(-2);
    if (left === undefined || right === undefined) return;
    if (left.length !== right.length || left.family !== right.family || left.length === 0) return;
    const parent = makePrefix(left.family, left.network, left.length - 1);
    // The left one being its upper half, the right one, behind it, would lie outside.
    if (!covers(parent, right)) return;
    stack.splice(-2, 2, parent);
  }
}
