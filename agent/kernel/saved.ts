/** Everything of ours that is loaded, so that it can come back. */
import { z } from 'zod';
import { planIptables, printBeforeReplacing, type IptablesPlan } from '../../compiler/index.js';
import type { Clock } from '../clock.js';
import type { Kernel } from './driver.js';
import { bringInForce } from './in-force.js';
import { readText, type Flavour, type IptablesText } from './iptables.js';
import { deletionOfLoaded } from './load.js';

const LISTING = z.object({ sets: z.string(), rules: z.object({ IPv4: z.string(), IPv6: z.string() }) });

export const SAVED = z.object({
  /** Our tables as nft text; '' for none. */
  tables: z.string(),
  /** As the programs listed it, by flavour. */
  iptables: z.array(z.tuple([z.enum(['default', 'nft', 'legacy']), LISTING])),
});

export interface Saved {
  readonly tables: string;
  readonly iptables: readonly (readonly [Flavour, IptablesText])[];
}

export async function saveLoaded(kernel: Kernel): Promise<Saved> {
  return { tables: await kernel.saveTables(), iptables: [...(await kernel.iptables.listLeft())] };
}

/** Tries to restore. */
const ATTEMPTS = 5;
/** Between two of them. */
const PAUSE_MS = 500;

/**
 * Brings back what was saved, by several tries.
 * @param onTry called before each.
 * @returns whether it is back.
 */
export async function restoreAtLast(
  kernel: Kernel,
  clock: Clock,
  saved: Saved,
  onTry: () => void = () => undefined,
): Promise<boolean> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    onTry();
    try {
      await restoreSaved(kernel, saved);
      return true;
    } catch {
      await clock.sleep(PAUSE_MS);
    }
  }
  return false;
}

async function restoreSaved(kernel: Kernel, { tables, iptables }: Saved): Promise<void> {
  const plans = new Map<Flavour, IptablesPlan>();
  for (const [flavour, text] of iptables) {
    plans.set(flavour, planIptables(await kernel.iptables.read(flavour), readText(text)));
  }
  const replaceTables = async (): Promise<void> => {
    const text = `${await deletionOfLoaded(kernel)}${tables}`;
    if (tables !== '') await closeBeforeReplacing(kernel);
    if (text !== '') await kernel.applyText(text);
  };
  const { left } = await bringInForce(kernel, { iptables: plans, tables: replaceTables, mayBeLeft: true });
  if (left !== undefined) throw left;
}

/** What cannot be read or closed so is replaced all the same: that the former rules come back is what counts. */
async function closeBeforeReplacing(kernel: Kernel): Promise<void> {
  try {
    const text = (await kernel.readTables()).map(printBeforeReplacing).join('');
    if (text !== '') await kernel.applyText(text);
  } catch {
    return;
  }
}
