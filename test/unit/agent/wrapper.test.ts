/** Whose sockets make our transactions: nft's own, or those of a process that a wrapper runs it in. */
import { expect, it } from 'vitest';
import { WrapperWatch } from '../../../agent/watch/wrapper.js';

const [OURS, CLOSER, INNER, SOMEBODY] = [11, 12, 13, 14];
const NEWEST = 0xffff_ffff;

/** @param heard generations in order, and whose they are. */
function after(...steps: readonly (readonly ['heard' | 'made', number, number])[]): boolean {
  const watch = new WrapperWatch(CLOSER);
  // One is not enough.
  watch.heard({ generation: 2, portId: INNER });
  watch.made({ portId: OURS, before: 1, after: 2 });
  expect(watch.isWrapped).toBe(false);
  for (const [what, first, second] of steps) {
    if (what === 'heard') watch.heard({ generation: first, portId: second });
    else watch.made({ portId: OURS, before: first, after: second });
  }
  return watch.isWrapped;
}

it.each([
  ['nobody said anything', [], false],
  [
    'ours is ours',
    [
      ['heard', 5, OURS],
      ['made', 4, 5],
    ],
    false,
  ],
  [
    'another socket made the only one',
    [
      ['heard', 5, INNER],
      ['made', 4, 5],
    ],
    true,
  ],
  [
    'the notice comes behind',
    [
      ['made', 4, 5],
      ['heard', 5, INNER],
    ],
    true,
  ],
  [
    'what the watching process closed meanwhile is none',
    [
      ['heard', 5, INNER],
      ['heard', 6, CLOSER],
      ['made', 4, 6],
    ],
    true,
  ],
  [
    'of two nothing can be said',
    [
      ['heard', 5, INNER],
      ['heard', 6, SOMEBODY],
      ['made', 4, 6],
    ],
    false,
  ],
  [
    'one that made nothing says nothing',
    [
      ['heard', 5, SOMEBODY],
      ['made', 5, 5],
    ],
    false,
  ],
  [
    'not all of it was heard',
    [
      ['heard', 5, INNER],
      ['made', 4, 6],
    ],
    false,
  ],
  [
    'the wrapper is gone',
    [
      ['heard', 5, INNER],
      ['made', 4, 5],
      ['heard', 6, OURS],
      ['made', 5, 6],
    ],
    false,
  ],
  [
    'what was before says nothing',
    [
      ['heard', 4, SOMEBODY],
      ['heard', 5, INNER],
      ['made', 4, 5],
    ],
    true,
  ],
  [
    'generations begin anew',
    [
      ['heard', NEWEST, SOMEBODY],
      ['heard', 0, INNER],
      ['made', NEWEST, 0],
    ],
    true,
  ],
  [
    'of one among more than are remembered nothing can be said',
    [
      ['made', 4, 200],
      ['heard', 200, INNER],
    ],
    false,
  ],
] as const)('%s', (_what, steps, isWrapped) => {
  expect(after(...steps)).toBe(isWrapped);
});
