import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isolate } from '../../../agent/isolate.js';

it('finds exactly those at fault, in few tries', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 200 }),
      fc.uniqueArray(fc.nat(199), { maxLength: 4 }),
      async (count, bad) => {
        const items = [...Array(count).keys()];
        const atFault = bad.filter((item) => item < count).sort((a, b) => a - b);
        let tries = 0;
        const found = await isolate(items, (some) => {
          tries++;
          return Promise.resolve(!some.some((item) => atFault.includes(item)));
        });
        expect(found).toEqual(atFault);
        expect(tries).toBeLessThanOrEqual(2 + 2 * (1 + atFault.length) * (1 + Math.ceil(Math.log2(count + 1))));
      },
    ),
  );
});

it('says when it is none of them', async () => {
  expect(await isolate([1, 2], () => Promise.resolve(false))).toBe('not the ports');
});
