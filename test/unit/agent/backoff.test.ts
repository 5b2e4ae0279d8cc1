import { expect, it } from 'vitest';
import { Backoff } from '../../../agent/backoff.js';

const taken = (backoff: Backoff, mosts: readonly (number | undefined)[]): readonly number[] =>
  mosts.map((most) => backoff.take(most));
const USUAL = undefined;

it('each pause is twice as long as the one before, up to the most, and the first again when all is well', () => {
  const backoff = new Backoff({ first: 50, most: 300 });
  expect(taken(backoff, [USUAL, USUAL, USUAL, USUAL, USUAL])).toEqual([50, 100, 200, 300, 300]);
  expect(backoff.milliseconds).toBe(300);
  backoff.reset();
  expect(backoff.milliseconds).toBe(50);
  expect(taken(backoff, [USUAL, USUAL])).toEqual([50, 100]);
});

it('a lower limit holds for as long as it is asked for, and is where longer pauses go on from', () => {
  const backoff = new Backoff({ first: 50, most: 1000 });
  expect(taken(backoff, [120, 120, 120, 120, USUAL, USUAL, USUAL])).toEqual([50, 100, 120, 120, 120, 240, 480]);
  expect(taken(backoff, [120, USUAL])).toEqual([120, 120]);
});
