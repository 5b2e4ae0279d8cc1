/** What must hold in a real kernel of every named topology, in either datapath. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  baselineTables,
  DEFAULT_OPTIONS,
  isBridged,
  planTransaction,
  printTables,
  printTransaction,
  stateOf,
  type Datapath,
  type Table,
} from '../../../compiler/index.js';
import { conditionsOf, readListing, readRules, type Condition } from '../../../compiler/listing.js';
import { membersIn, Names } from '../../../src/cli/plan/names.js';
import { permitsOf, textOf } from '../../../src/cli/plan/permits.js';
import { EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';
import { goldenText, namedRuleset } from '../../support/golden.js';
import { Lab } from './lab.js';

interface Listed {
  readonly family?: string;
  /** Absent for a table itself. */
  readonly table?: string;
  readonly name?: string;
}

/** What rules permit, in words. */
function told(rules: readonly (readonly Condition[] | undefined)[] | undefined, table: Table): readonly string[] {
  const sets = {
    keys: (set: string): readonly (readonly string[])[] =>
      [...(stateOf(table).sets.get(set)?.elements.keys() ?? [])].map((key) => key.split(' . ')),
    members: (set: string): string | undefined => membersIn(set, new Names(EMPTY_TOPOLOGY)),
  };
  return (rules ?? []).flatMap(
    (conditions) => permitsOf(conditions ?? [], sets, '')?.map((permit) => textOf(permit, 'ingress')) ?? ['?'],
  );
}

export function goldenSuite(datapath: Datapath, names: readonly string[]): void {
  const families = isBridged(datapath) ? (['bridge', 'inet', 'arp'] as const) : (['inet', 'arp', 'bridge'] as const);
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create([]);
  });
  afterAll(async () => {
    await lab.destroy();
  });

  /** One listing for all tables: programs are what takes long under emulation. */
  const listed = async (): Promise<readonly { readonly nftables: readonly Readonly<Record<string, Listed>>[] }[]> => {
    const stdout = await lab.must('nft', ['--json', '--numeric', '--stateless', 'list', 'ruleset']);
    // nft prints this shape (libnftables-json(5)).
    const { nftables } = JSON.parse(stdout) as { readonly nftables: readonly Readonly<Record<string, Listed>>[] };
    const isOf = (family: string, { family: of, table, name }: Listed): boolean =>
      of === family && (table ?? name) === 'portcullis';
    return families.map((family) => ({
      nftables: nftables.filter((entry) => Object.values(entry).some((one) => isOf(family, one))),
    }));
  };
  const readAll = (listings: readonly unknown[]): readonly ReturnType<typeof readListing>[] =>
    families.map((family, index) => readListing(family, 'portcullis', listings[index]));
  const read = async (): Promise<readonly ReturnType<typeof readListing>[]> => readAll(await listed());

  it.each(names)(
    `%s (${datapath}) reads back as it was loaded, so that loading again changes nothing`,
    async (name) => {
      const { tables } = namedRuleset(name, datapath);
      await lab.load(goldenText(name, datapath));
      const listings = await listed();
      const loaded = readAll(listings);
      expect(loaded).toEqual(tables.map(stateOf));
      expect(printTransaction(planTransaction(tables, loaded))).toBe('');
      // A plan says what rules permit: those that are read back permit what they were to.
      const [judging] = tables;
      if (judging === undefined) throw new Error('no table');
      for (const [chain, rules] of readRules(listings[0])) {
        if (!chain.startsWith('sg_')) continue;
        const [are, should] = [
          rules.map(({ conditions }) => conditions),
          judging.chains.get(chain)?.rules.map(conditionsOf),
        ];
        expect(told(are, judging), chain).toEqual(told(should, judging));
      }
    },
  );

  it(`goes from one named topology to another by a transaction of the difference (${datapath})`, async () => {
    await lab.load(goldenText('empty', datapath));
    // How one table becomes another is proved in full once: emulation is slow, and the steps are the same on each datapath.
    const way =
      datapath === 'routed' ? [...names, ...names.toReversed()] : names.filter((_name, index) => index % 2 === 1);
    for (const name of way) {
      const { tables } = namedRuleset(name, datapath);
      await lab.load(printTransaction(planTransaction(tables, await read())) || '\n');
      expect(await read(), name).toEqual(tables.map(stateOf));
    }
  });

  it(`the baseline loads (${datapath})`, async () => {
    await lab.load(printTables(baselineTables({ ...DEFAULT_OPTIONS, datapath })));
  });
}
