/** What of our tables closes nothing, asked over netlink: for the time when nft cannot be asked. */
import { isBridged, TABLE_FAMILIES, TABLE_NAME, type Datapath, type TableFamily } from '../../compiler/index.js';
import type { BackendName } from './backend-name.js';
import { SETS_OF_DEVICES, type Opened } from '../closing.js';
import { NFT_TABLE_F_DORMANT } from '../netlink/nf-tables-header.js';
import { chainsWithRules, devicesInSet, listTables } from '../netlink/tables.js';

/**
 * A table closes where all the chains of one of these have rules: base chains without a rule close nothing. Where the host routes, the guard of
 * rules in iptables closes what these do not let pass, and all of it where they are gone (compiler/ruleset/guard.ts).
 */
const CLOSING_CHAINS: Readonly<Record<TableFamily, readonly (readonly string[])[]>> = {
  inet: [
    ['egress', 'ingress'],
    ['owe_in', 'owed_in', 'owe_out', 'owed_out'],
  ],
  arp: [['egress']],
  bridge: [['egress', 'ingress']],
};

export interface Open {
  readonly tables: readonly Opened[];
  /** Devices that the other tables know: as ports', or as closed. */
  readonly known: ReadonlySet<string>;
}

/** Rejects with NetlinkError. */
export async function whatIsOpen(): Promise<Open> {
  const flags = await listTables();
  const tables: Opened[] = [];
  const known = new Set<string>();
  for (const family of TABLE_FAMILIES) {
    const how = await openedHow(family, flags.get(`${family} ${TABLE_NAME}`));
    if (how !== undefined) tables.push({ family, how });
    else for (const device of await devicesOf(family)) known.add(device);
  }
  return { tables, known };
}

/**
 * Which tables must be closed where nothing can be loaded.
 * @param circumstances of iptables nothing is known here but the tables beside it: while these stand, so do its rules.
 */
export function tablesToClose(
  open: Open,
  devices: readonly string[],
  circumstances: { readonly backend: BackendName; readonly datapath: Datapath; readonly wasInForce: boolean },
): readonly Opened[] {
  const all = TABLE_FAMILIES.map(
    (family): Opened => open.tables.find((table) => table.family === family) ?? { family, how: 'gone' },
  );
  if (circumstances.backend === 'nftables') {
    // What is there stays as it is; rules behind it close what it does not know.
    return devices.every((device) => open.known.has(device)) ? open.tables : all;
  }
  const beside = open.tables.filter(({ family }) => family !== 'inet' || isBridged(circumstances.datapath));
  return beside.length === 0 || circumstances.wasInForce ? beside : all;
}

/** Devices that tables of ours know. Rejects with NetlinkError. */
export async function devicesOf(family: TableFamily): Promise<readonly string[]> {
  const sets = await Promise.all(SETS_OF_DEVICES.map(async (set) => devicesInSet(family, TABLE_NAME, set)));
  return sets.flat();
}

async function openedHow(family: TableFamily, flags: number | undefined): Promise<Opened['how'] | undefined> {
  if (flags === undefined) return 'gone';
  if ((flags & NFT_TABLE_F_DORMANT) !== 0) return 'dormant';
  const chains = await chainsWithRules(family, TABLE_NAME);
  return CLOSING_CHAINS[family].some((names) => names.every((name) => chains.has(name))) ? undefined : 'gone';
}
