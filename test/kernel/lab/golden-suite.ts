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
} from '../../../compiler/index.js';
import { readListing } from '../../../compiler/listing.js';
import { goldenText, namedRuleset } from '../../support/golden.js';
import { Lab } from './lab.js';

interface Listed {
  readonly family?: string;
  /** Absent for a table itself. */
  readonly table?: string;
  readonly name?: string;
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
  const read = async (): Promise<readonly ReturnType<typeof readListing>[]> => {
    const { stdout } = await lab.exec('nft', ['--json', '--numeric', '--stateless', 'list', 'ruleset']);
    // nft prints this shape (libnftables-json(5)).
    const { nftables } = JSON.parse(stdout) as { readonly nftables: readonly Readonly<Record<string, Listed>>[] };
    const isOf = (family: string, { family: of, table, name }: Listed): boolean =>
      of === family && (table ?? name) === 'portcullis';
    return families.map((family) =>
      readListing(family, 'portcullis', {
        nftables: nftables.filter((entry) => Object.values(entry).some((listed) => isOf(family, listed))),
      }),
    );
  };

  it.each(names)(
    `%s (${datapath}) reads back as it was loaded, so that loading again changes nothing`,
    async (name) => {
      const { tables } = namedRuleset(name, datapath);
      await lab.load(goldenText(name, datapath));
      const loaded = await read();
      expect(loaded).toEqual(tables.map(stateOf));
      expect(printTransaction(planTransaction(tables, loaded))).toBe('');
    },
  );

  it(`goes from one named topology to another by a transaction of the difference (${datapath})`, async () => {
    await lab.load(goldenText('empty', datapath));
    // Emulation is slow: how one table becomes another is proved in full where the kernel runs for real.
    const way =
      datapath === 'bridge' ? names.filter((_name, index) => index % 2 === 1) : [...names, ...names.toReversed()];
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
