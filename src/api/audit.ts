/**
 * What the log says of a change: all of what came or went, of an update what differs. Never more than some lines of it, whatever is
 * stored: who adds an address to a group of 100 000 does not write them all twice.
 */
import type { Fields } from './kinds/parsers.js';
import type { AuditedChange } from './writer.js';

/** Of an attribute, in characters of JSON. */
const MOST_TEXT = 1024;
/** Entries of a list that are named. */
const MOST_NAMED = 20;

export interface Noted {
  /** Undefined where there was nothing. */
  readonly before: Fields | undefined;
  readonly after: Fields | undefined;
}

/** A part of a list. */
interface Part {
  readonly count: number;
  readonly first: readonly unknown[];
}

export function noted({ before, after }: Pick<AuditedChange, 'before' | 'after'>): Noted {
  if (before === undefined || after === undefined) {
    return { before: before && mapped(before, brief), after: after && mapped(after, brief) };
  }
  const [old, now]: readonly Fields[] = [before, after];
  const names = Object.keys({ ...old, ...now }).filter((name) => old?.[name] !== now?.[name]);
  const pairs = names.map((name) => ({ name, ...differing(old?.[name], now?.[name]) }));
  const side = (one: 'old' | 'now'): Fields =>
    Object.fromEntries(pairs.flatMap((pair) => (pair[one] === undefined ? [] : [[pair.name, pair[one]]])));
  return { before: side('old'), after: side('now') };
}

function mapped(record: object, map: (value: unknown) => unknown): Fields {
  return Object.fromEntries(Object.entries(record).map(([name, value]: [string, unknown]) => [name, map(value)]));
}

/** Of a long list what went, and what came. */
function differing(old: unknown, now: unknown): { readonly old?: unknown; readonly now?: unknown } {
  if (!isLong(old) && !isLong(now)) {
    // A list that was made anew with the same entries is no change.
    const isSame = JSON.stringify(old) === JSON.stringify(now);
    return isSame ? {} : { old: brief(old), now: brief(now) };
  }
  const [former, current] = [entriesOf(old), entriesOf(now)];
  const [gone, come] = betweenEqual(former, current);
  return {
    old: { count: former.length, removed: partOf(without(gone, come)) },
    now: { count: current.length, added: partOf(without(come, gone)) },
  };
}

/** Both without what they begin and end with alike: of a large list that is nearly all, and costs a look at each. */
function betweenEqual(a: readonly unknown[], b: readonly unknown[]): readonly [readonly unknown[], readonly unknown[]] {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  return [a.slice(start, a.length - end), b.slice(start, b.length - end)];
}

function isLong(value: unknown): boolean {
  return Array.isArray(value) && value.length > MOST_NAMED;
}

function entriesOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function without(all: readonly unknown[], others: readonly unknown[]): readonly unknown[] {
  const known = new Set(others.map(keyOf));
  return all.filter((one) => !known.has(keyOf(one)));
}

function keyOf(entry: unknown): unknown {
  return typeof entry === 'string' ? entry : JSON.stringify(entry);
}

function partOf(entries: readonly unknown[]): Part {
  const first: unknown[] = [];
  let length = 0;
  for (const entry of entries.slice(0, MOST_NAMED)) {
    length += JSON.stringify(entry).length;
    if (length > MOST_TEXT) break;
    first.push(entry);
  }
  return { count: entries.length, first };
}

function brief(value: unknown): unknown {
  if (isLong(value)) return partOf(entriesOf(value));
  // Undefined for undefined, whatever its type says.
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined || text.length <= 2 * MOST_TEXT ? value : `${text.slice(0, MOST_TEXT)}...`;
}
