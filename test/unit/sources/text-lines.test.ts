/** A feed's lines, as pieces of them come. */
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { TextLines } from '../../../src/sources/api/text-lines.js';

afterEach(() => {
  vi.restoreAllMocks();
});

it('any text in any pieces has the same lines, and one that is not ended is none', () => {
  const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n') }));
  fc.assert(
    fc.property(pieces, (texts) => {
      const lines = new TextLines();
      expect(texts.flatMap((text) => lines.take(text))).toEqual(texts.join('').split('\n').slice(0, -1));
    }),
  );
});

it('a line that comes in many pieces is looked at once, and not again with each of them', () => {
  const lines = new TextLines();
  let looked = 0;
  const split = Reflect.get(String.prototype, 'split') as (at: unknown) => string[];
  vi.spyOn(String.prototype, 'split').mockImplementation(function (this: string, at: unknown) {
    looked += this.length;
    return Reflect.apply(split, this, [at]);
  });
  const piece = 'x'.repeat(1000);
  for (let count = 0; count < 200; count++) expect(lines.take(piece).length).toBe(0);
  const [line] = lines.take('\n');
  vi.restoreAllMocks();
  expect(line).toBe(piece.repeat(200));
  expect(looked).toBeLessThan(2 * 200_000);
});
