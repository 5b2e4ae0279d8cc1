/** Equal or not, asked often: where nothing differs, toEqual takes several times as long as node does. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';

/** As toEqual. @param what it is about, where a failure is to say it. */
export function expectSame(is: unknown, should: unknown, what?: string): void {
  if (!isDeepStrictEqual(is, should)) expect(is, what).toEqual(should);
}
