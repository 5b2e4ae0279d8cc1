/** `aggregatePrefixes`: the smallest list of disjoint prefixes of exactly the same addresses. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  comparePrefixes,
  covers,
  FAMILIES,
  familyBits,
  makePrefix,
  parsePrefix,
  type Family,
  type Prefix,
} from '../../../compiler/model/index.js';
import { aggregatePrefixes } from '../../../compiler/prefixes.js';

const aggregated = (...texts: readonly string[]): readonly string[] =>
  aggregatePrefixes(texts.map(prefixOf)).map(({ text }) => text);

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(text);
  return prefix;
}

const BASE: Readonly<Record<Family, bigint>> = { IPv4: 0x0a000000n, IPv6: 0xfd00n << 112n };
const prefixAt = (family: Family, number: number, short: number): Prefix =>
  makePrefix(family, BASE[family] + BigInt(number), familyBits(family) - short);

/** Of both families, of few bits that differ: they nest and are neighbours as often as not. */
const PREFIX = fc
  .record({ family: fc.constantFrom(...FAMILIES), number: fc.nat(15), short: fc.nat(4) })
  .map(({ family, number, short }) => prefixAt(family, number, short));

/** Every address that any of these prefixes can have, and those beside them. */
const ADDRESSES = FAMILIES.flatMap((family) =>
  Array.from({ length: 18 }, (_, index) => prefixAt(family, index - 1, 0)),
);

it('joins halves, over and over, and drops what lies inside another', () => {
  expect(aggregated('10.0.0.0/25', '10.0.0.128/25', '10.0.1.0/24', '10.0.0.7')).toEqual(['10.0.0.0/23']);
  expect(aggregated('10.0.1.0/24', '10.0.2.0/24')).toEqual(['10.0.1.0/24', '10.0.2.0/24']);
  expect(aggregated('0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1')).toEqual(['0.0.0.0/0', '::/0']);
  expect(aggregated('0.0.0.0/0', '10.0.0.0/8', '::/0', 'fd00::1')).toEqual(['0.0.0.0/0', '::/0']);
  expect(aggregated()).toEqual([]);
});

it('covers the same addresses by sorted, disjoint prefixes of which no two are one', () => {
  fc.assert(
    fc.property(fc.array(PREFIX, { maxLength: 20 }), (prefixes) => {
      const result = aggregatePrefixes(prefixes);
      for (const address of ADDRESSES) {
        expect(result.filter((prefix) => covers(prefix, address))).toHaveLength(
          prefixes.some((prefix) => covers(prefix, address)) ? 1 : 0,
        );
      }
      expect([...result].sort(comparePrefixes)).toEqual(result);
      for (const [index, prefix] of result.entries()) {
        const next = result[index + 1];
        if (next?.family !== prefix.family || next.length !== prefix.length) continue;
        expect(covers(makePrefix(prefix.family, prefix.network, prefix.length - 1), next)).toBe(false);
      }
      expect(aggregatePrefixes(result)).toEqual(result);
      expect(aggregatePrefixes([...prefixes].reverse())).toEqual(result);
    }),
  );
});
