/** `ShortNames`: readable, stable, never equal for two different ids, and who is renamed is told. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ShortNames, shortNames } from '../../../compiler/names.js';

/** Ids that agree in their first eight characters, or in what these are read as, more often than any real ones. */
const ID = fc.constantFrom(
  ...['', 'a', 'a-', 'a_', 'c0b92b20', 'c0b92b20-1', 'c0b92b20-2', 'c0b92b2_', 'c0b92b2-', 'c0b92b2é', 'web', 'web-'],
);
const CHANGES = fc.array(fc.record({ id: ID, isThere: fc.boolean() }), { maxLength: 40 });

function namesOf(names: ShortNames): ReadonlyMap<string, string> {
  return new Map([...names.ids()].map((id) => [id, names.get(id)]));
}

it('gives the first eight characters of an id, and more only where two agree in them', () => {
  const names = new ShortNames();
  expect(names.add('c0b92b20-1111-4000-8000-000000000001')).toEqual([]);
  expect(names.get('c0b92b20-1111-4000-8000-000000000001')).toBe('c0b92b20');
  expect(names.add('c0b92b20-2222-4000-8000-000000000002')).toEqual(['c0b92b20-1111-4000-8000-000000000001']);
  expect(names.get('c0b92b20-1111-4000-8000-000000000001')).toMatch(/^c0b92b20_[0-9a-f]{12}$/);
  expect(names.add('c0b92b20-3333-4000-8000-000000000003')).toEqual([]);
  expect(names.delete('c0b92b20-2222-4000-8000-000000000002')).toEqual([]);
  expect(names.delete('c0b92b20-3333-4000-8000-000000000003')).toEqual(['c0b92b20-1111-4000-8000-000000000001']);
  expect(names.get('c0b92b20-1111-4000-8000-000000000001')).toBe('c0b92b20');
});

it('never gives two ids one name, nor what nft would not take in one', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.oneof(ID, fc.string(), fc.uuid())), (ids) => {
      const names = [...shortNames(ids).values()];
      expect(new Set(names).size).toBe(ids.length);
      for (const name of names) expect(name).toMatch(/^\w*$/);
    }),
  );
});

it('names by who is there, not by who was or came first, and tells of each other one whose name changes', () => {
  fc.assert(
    fc.property(CHANGES, (changes) => {
      const names = new ShortNames();
      const there = new Set<string>();
      for (const { id, isThere } of changes) {
        const before = namesOf(names);
        const told = isThere ? names.add(id) : names.delete(id);
        if (isThere) there.add(id);
        else there.delete(id);
        const after = namesOf(names);
        expect(after).toEqual(shortNames(there));
        const renamed = [...before.keys()].filter(
          (other) => other !== id && after.has(other) && after.get(other) !== before.get(other),
        );
        expect([...told].sort()).toEqual(renamed.sort());
      }
    }),
  );
});
