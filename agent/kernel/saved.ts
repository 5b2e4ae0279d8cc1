/** Everything of ours that is loaded, so that it can come back. */
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { planIptables, printBeforeReplacing, type IptablesPlan } from '../../compiler/index.js';
import { KERNEL } from './driver.js';
import { bringInForce } from './in-force.js';
import { leftListings, readListing, type Flavour, type IptablesListing } from './iptables.js';
import { applyText, deletionOfLoadedTables, readLoadedTables, saveLoadedTables } from './nft.js';

const LISTING = z.object({ sets: z.string(), rules: z.object({ IPv4: z.string(), IPv6: z.string() }) });

export const SAVED = z.object({
  /** Our tables as nft text; '' for none. */
  tables: z.string(),
  /** As the programs listed it, by flavour. */
  iptables: z.array(z.tuple([z.enum(['default', 'nft', 'legacy']), LISTING])),
});

export interface Saved {
  readonly tables: string;
  readonly iptables: readonly (readonly [Flavour, IptablesListing])[];
}

export async function saveLoaded(): Promise<Saved> {
  const left = await leftListings();
  return { tables: await saveLoadedTables(), iptables: left.map(([flavour, { listing }]) => [flavour, listing]) };
}

/** Tries to restore. */
const ATTEMPTS = 5;
/** Between two of them; in milliseconds. */
const PAUSE = 500;

/**
 * Brings back what was saved, by several tries.
 * @param onTry called before each.
 * @returns whether it is back.
 */
export async function restoreAtLast(saved: Saved, onTry: () => void = () => undefined): Promise<boolean> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    onTry();
    try {
      await restoreSaved(saved);
      return true;
    } catch {
      await setTimeout(PAUSE);
    }
  }
  return false;
}

async function restoreSaved({ tables, iptables }: Saved): Promise<void> {
  const plans = new Map<Flavour, IptablesPlan>();
  for (const [flavour, listing] of iptables) {
    plans.set(flavour, planIptables(await KERNEL.iptables.read(flavour), readListing(listing)));
  }
  const replaceTables = async (): Promise<void> => {
    const text = `${await deletionOfLoadedTables()}${tables}`;
    if (tables !== '') await closeBeforeReplacing();
    if (text !== '') await applyText(text);
  };
  const { left } = await bringInForce(KERNEL, { iptables: plans, tables: replaceTables, mayBeLeft: true });
  if (left !== undefined) throw left;
}

/** What cannot be read or closed so is replaced all the same: that the former rules come back is what counts. */
async function closeBeforeReplacing(): Promise<void> {
  try {
    const text = (await readLoadedTables()).map(printBeforeReplacing).join('');
    if (text !== '') await applyText(text);
  } catch {
    return;
  }
}
