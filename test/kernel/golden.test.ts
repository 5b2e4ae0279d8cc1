import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  baselineTables,
  DEFAULT_OPTIONS,
  planTransaction,
  printTables,
  printTransaction,
  readListing,
  stateOf,
} from '../../compiler/index.js';
import { goldenText, namedRuleset } from '../support/golden.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';
import { Lab } from './lab/lab.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.create([]);
});
afterAll(async () => {
  await lab.destroy();
});

/** This kernel may lack connection tracking in the bridge family, which bridge rulesets need. */
const ROUTED = Object.keys(NAMED_TOPOLOGIES).filter((name) => NAMED_TOPOLOGIES[name]?.options?.datapath !== 'bridge');

it.each(ROUTED)('nft --check accepts %s', async (name) => {
  const { exitCode, stderr } = await lab.exec('nft', ['--check', '-f', '-'], goldenText(name));
  expect(stderr).toBe('');
  expect(exitCode).toBe(0);
});

it.each(ROUTED)(
  '%s reads back from the kernel as it was loaded, so that loading again changes nothing',
  async (name) => {
    const ruleset = namedRuleset(name);
    await lab.load(goldenText(name));
    const loaded = await Promise.all(
      ruleset.tables.map(async ({ family, name: table }) => {
        const { stdout } = await lab.exec('nft', [
          '--json',
          '--numeric',
          '--stateless',
          'list',
          'table',
          family,
          table,
        ]);
        return readListing(family, table, JSON.parse(stdout));
      }),
    );
    expect(loaded).toEqual(ruleset.tables.map(stateOf));
    expect(printTransaction(planTransaction(ruleset.tables, loaded))).toBe('');
  },
);

it('goes from any named topology to any other by a transaction of the difference', async () => {
  const read = async (): Promise<readonly ReturnType<typeof readListing>[]> =>
    Promise.all(
      (['inet', 'arp'] as const).map(async (family) => {
        const { stdout } = await lab.exec('nft', [
          '--json',
          '--numeric',
          '--stateless',
          'list',
          'table',
          family,
          'portcullis',
        ]);
        return readListing(family, 'portcullis', JSON.parse(stdout));
      }),
    );
  await lab.load(goldenText('empty'));
  for (const name of [...ROUTED, ...[...ROUTED].reverse()]) {
    const ruleset = namedRuleset(name);
    await lab.load(printTransaction(planTransaction(ruleset.tables, await read())) || '\n');
    expect(await read(), name).toEqual(ruleset.tables.map(stateOf));
  }
});

it('the baseline of every family loads', async () => {
  await lab.load(printTables(baselineTables(DEFAULT_OPTIONS)));
});
