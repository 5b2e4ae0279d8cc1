import { execaNode } from 'execa';
import { expect, it } from 'vitest';
import { programPath } from '../../../agent/programs.js';

/** Keeps an object of eight, each of which lies between others that go, and says what of V8's memory is in use when it was collected. */
const PROGRAM = `
  import { setTimeout } from 'node:timers/promises';
  import { Garbage } from ${JSON.stringify(new URL('../agent/garbage.js', `file://${programPath('portcullis')}`).href)};
  let all = Array.from({ length: 400_000 }, (_, at) => ({ name: 'object ' + at, at, list: [at] }));
  const kept = all.filter((_, at) => at % 8 === 0);
  all = [];
  const garbage = new Garbage();
  garbage.collectSoon();
  const before = process.memoryUsage().heapTotal;
  // It collects after 2 s, and V8 gives back a little later. Of timers the one that is due first comes first, however slow the machine.
  await setTimeout(3000);
  const { heapTotal, heapUsed } = process.memoryUsage();
  process.stdout.write(JSON.stringify({ kept: kept.length, before, heapTotal, heapUsed }));
`;

it('what is kept is moved together when all was read, so that memory goes back', async () => {
  const { stdout } = await execaNode({
    nodeOptions: ['--max-semi-space-size=2', '--input-type=module'],
    input: PROGRAM,
  })`-`;
  const { kept, before, heapTotal, heapUsed } = JSON.parse(stdout) as Record<string, number>;
  expect(kept).toBe(50_000);
  expect(before).toBeGreaterThan(40 * 2 ** 20);
  // Left where it is it holds six times its size.
  expect(heapTotal).toBeLessThan(2 * (heapUsed ?? 0));
});
