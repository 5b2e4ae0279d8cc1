/** `Tracker`: what is taken is the difference from what was taken last, whatever happened between. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Tracker } from '../../../compiler/incremental/tracker.js';

const STEP = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('set' as const), key: key(), value: fc.integer({ max: 3, min: 0 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), key: key() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
);

function key(): fc.Arbitrary<string> {
  return fc.constantFrom('a', 'b', 'c');
}

function expectDifferences(isSame: (a: number, b: number) => boolean, make: () => Tracker<number>): void {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
      const tracker = make();
      const wanted = new Map<string, number>();
      let taken = new Map(wanted);
      for (const step of steps) {
        if (step.do === 'set') {
          tracker.set(step.key, step.value);
          wanted.set(step.key, step.value);
        } else if (step.do === 'delete') {
          tracker.delete(step.key);
          wanted.delete(step.key);
        } else {
          const expected = [...new Set([...taken.keys(), ...wanted.keys()])]
            .map((name) => ({ key: name, before: taken.get(name), after: wanted.get(name) }))
            .filter(({ before, after }) => before === undefined || after === undefined || !isSame(before, after));
          const byKey = (a: { key: string }, b: { key: string }): number => (a.key < b.key ? -1 : 1);
          expect([...tracker.take()].sort(byKey)).toEqual(expected.sort(byKey));
          taken = new Map(wanted);
        }
        expect(new Map([...tracker.keys()].map((name) => [name, tracker.get(name)]))).toEqual(wanted);
        expect(tracker.size).toBe(wanted.size);
      }
    }),
  );
}

it('takes each key that differs from the last time, once, with both values', () => {
  expectDifferences(Object.is, () => new Tracker());
});

it('passes over what may stand for what was taken', () => {
  const isSameParity = (a: number, b: number): boolean => a % 2 === b % 2;
  expectDifferences(isSameParity, () => new Tracker(isSameParity));
});

it('has nothing to tell of what is undone before it is taken', () => {
  const tracker = new Tracker<string>();
  tracker.set('was', 'there');
  tracker.take();
  tracker.delete('was');
  tracker.set('was', 'there');
  tracker.set('came', 'and');
  tracker.delete('came');
  expect(tracker.take()).toEqual([]);
});
