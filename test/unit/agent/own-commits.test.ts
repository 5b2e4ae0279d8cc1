/** Which transactions are ours: by socket, within the generations that they can have made, each once. */
import { expect, it } from 'vitest';
import { OwnCommits, type OwnCommit } from '../../../agent/own-commits.js';

function commits(...all: readonly OwnCommit[]): OwnCommits {
  const own = new OwnCommits();
  for (const commit of all) own.add(commit);
  return own;
}

it('is claimed once, by the socket and a generation between its begin and its end', () => {
  const own = commits({ before: 10, after: 11, portId: 5, awaited: 1 });
  expect([own.claims(6, 11), own.claims(5, 10), own.claims(5, 12)]).toEqual([false, false, false]);
  expect([own.claims(5, 11), own.claims(5, 11)]).toEqual([true, false]);
});

it('under way covers what its socket does from now on, and is awaited still', () => {
  const own = commits({ before: 0x1ffff, after: undefined, portId: 5, awaited: 1 });
  expect([own.covers(5, 0x0000), own.covers(5, 0xffff), own.covers(6, 0x0000)]).toEqual([true, false, false]);
  expect(own.claims(5, 0x20000)).toBe(true);
  expect(own.covers(5, 0x0001)).toBe(false);
});

it('generations begin anew', () => {
  expect(commits({ before: 0xffff_ffff, after: 0, portId: 5, awaited: 1 }).claims(5, 0)).toBe(true);
  expect(commits({ before: 0xffff_ffff, after: 0, portId: 5, awaited: 1 }).covers(5, 0)).toBe(true);
});

it('over without a generation of its own covers nothing', () => {
  expect(commits({ before: 7, after: 7, portId: 5, awaited: 1 }).covers(5, 8)).toBe(false);
});

it('those that nobody ever told of are given up, the oldest first', () => {
  const own = new OwnCommits();
  for (let before = 0; before < 5000; before++) own.add({ before, after: before + 1, portId: 5, awaited: 1 });
  expect([own.claims(5, 1), own.claims(5, 5000)]).toEqual([false, true]);
});

it('whoever made what was made meanwhile, it may be ours', () => {
  const own = commits({ before: 7, after: 8, portId: 5, awaited: 1 });
  expect([own.mayHaveMade(7), own.mayHaveMade(8), own.mayHaveMade(9)]).toEqual([false, true, false]);
  expect(commits({ before: 7, after: undefined, portId: 5, awaited: 1 }).mayHaveMade(9)).toBe(true);
});
