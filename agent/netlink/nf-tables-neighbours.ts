/**
 * Comparisons that nft(8) makes as one: single values of fields that stand side by side in a header are loaded and compared together.
 */
import type { Component, Field, Key, Match } from '../../compiler/index.js';
import { endsOf, FIELDS, type Source } from './nf-tables-fields.js';
import { NFT_PAYLOAD } from './nf-tables-header.js';

/** Longer comparisons take more than one register. */
const MOST_MERGED = 16;

export interface Neighbour {
  readonly field: Field;
  readonly key: Key;
  readonly source: Extract<Source, { kind: 'payload' }>;
  readonly value: Buffer;
}

/** Single values of fields that stand side by side in the link's or the transport's header. */
export function mergedFrom(matches: readonly Match[], from: number): readonly Neighbour[] {
  const merged: Neighbour[] = [];
  let length = 0;
  for (let at = from; at < matches.length; at++) {
    const match = matches[at];
    const next = match === undefined ? undefined : neighbourOf(match);
    if (next === undefined) break;
    const last = merged.at(-1);
    const isBeside =
      last === undefined ||
      (next.source.base === last.source.base && next.source.offset === last.source.offset + last.value.length);
    if (!isBeside || length + next.value.length > MOST_MERGED) break;
    merged.push(next);
    length += next.value.length;
  }
  return merged;
}

function neighbourOf(match: Match): Neighbour | undefined {
  if (match.kind !== 'values' || match.negated) return undefined;
  const [[field], [key, ...others]] = [match.fields, match.keys];
  if (field === undefined || key === undefined || match.fields.length > 1 || others.length > 0) return undefined;
  const { source } = FIELDS[field];
  if (source.kind !== 'payload' || source.base === NFT_PAYLOAD.NFT_PAYLOAD_NETWORK_HEADER) return undefined;
  if (source.mask !== undefined || !isSingle(field, key[0])) return undefined;
  return { field, key, source, value: endsOf(field, key[0]).first };
}

/** True for a value that is no range. */
export function isSingle(field: Field, component: Component | undefined): boolean {
  const { first, last } = endsOf(field, component);
  return first.equals(last);
}
