/** Makes the kernel equal to what is wanted, once: the difference, by whichever packet filter. What was compared is what is applied. */
import {
  EMPTY_PROGRAM,
  planIptables,
  planTransaction,
  printStages,
  printTransaction,
  TABLE_NAME,
  type IptablesChange,
  type IptablesProgram,
  type Table,
  type Transaction,
} from '../../compiler/index.js';
import { isUndone } from '../netlink/socket.js';
import { KernelError } from './errors.js';
import type { Kernel } from './driver.js';
import { bringInForce, type Steps } from './in-force.js';

export interface Wanted {
  readonly tables: readonly Table[];
  /** Undefined where iptables is to hold nothing of ours. */
  readonly iptables: IptablesProgram | undefined;
}

/** What it takes from what is loaded now to what is wanted. */
export interface Difference {
  readonly transaction: Transaction;
  readonly iptables: readonly IptablesChange[];
}

export interface LoadPlan extends Difference {
  /** What iptables holds where it is to hold something; empty elsewhere. */
  readonly loaded: IptablesProgram;
  /**
   * Loads what is wanted; changes nothing where it is loaded already. What another packet filter holds of ours goes when the new rules are
   * in force.
   * @throws KernelError; then the former rules stand.
   */
  readonly apply: () => Promise<void>;
}

export function isNoDifference({ transaction, iptables }: Difference): boolean {
  return transaction.length === 0 && iptables.length === 0;
}

/** Compares; changes nothing. */
export async function planLoad(kernel: Kernel, wanted: Wanted): Promise<LoadPlan> {
  const first = await compare(kernel, wanted);
  const apply = async (): Promise<void> => {
    try {
      await bring(kernel, first);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
      // Somebody else may have changed our tables meanwhile: once more, if so.
      const second = await compare(kernel, wanted);
      if (printTransaction(second.transaction) === printTransaction(first.transaction)) throw error;
      await bring(kernel, second);
    }
  };
  return { ...first, apply };
}

interface Compared extends Difference {
  readonly loaded: IptablesProgram;
  readonly steps: Pick<Steps, 'iptables' | 'mayBeLeft'>;
}

async function compare(kernel: Kernel, { tables, iptables }: Wanted): Promise<Compared> {
  const { loaded: loadedTables, areBodiesKnown } = await kernel.compare(() => ({ tables }));
  if (!areBodiesKnown) {
    throw new KernelError('unreadable', 'nft says what rules do (--debug=netlink) in a form that is not known');
  }
  const transaction = planTransaction(tables, loadedTables);
  if (iptables !== undefined) {
    const loaded = await kernel.iptables.read();
    const plan = planIptables(loaded, iptables);
    const steps = { iptables: new Map([['default', plan]] as const), mayBeLeft: true };
    return { transaction, iptables: plan.changes, loaded, steps };
  }
  const left = [...(await kernel.iptables.left()).values()];
  const changes = left.flatMap((program) => planIptables(program, EMPTY_PROGRAM).changes);
  const steps = { iptables: new Map(), mayBeLeft: left.length > 0 };
  return { transaction, iptables: changes, loaded: EMPTY_PROGRAM, steps };
}

async function bring(kernel: Kernel, { transaction, steps }: Compared): Promise<void> {
  const { left } = await bringInForce(kernel, { ...steps, tables: async () => applyTransaction(kernel, transaction) });
  if (left !== undefined) throw left;
}

async function applyTransaction(kernel: Kernel, transaction: Transaction): Promise<void> {
  const stages = printStages(transaction);
  // What the kernel would refuse leaves nothing of a first stage behind.
  const isRefused = stages.length > 1 && !(await kernel.wouldApply(printTransaction(transaction)));
  for (const text of isRefused ? [printTransaction(transaction)] : stages) await kernel.applyText(text);
}

/** Text that removes our tables, whichever are loaded. */
export async function deletionOfLoaded(kernel: Pick<Kernel, 'families'>): Promise<string> {
  return (await kernel.families()).map((family) => `delete table ${family} ${TABLE_NAME}\n`).join('');
}

/**
 * Removes everything of ours, from whichever packet filter.
 * @param deletion of our tables.
 * @returns false when there was nothing in iptables.
 * @throws KernelError
 */
export async function unload(kernel: Kernel, deletion: string): Promise<boolean> {
  const tables = async (): Promise<void> => {
    if (deletion !== '') await kernel.applyText(deletion);
  };
  const { isRemoved, left } = await bringInForce(kernel, { iptables: new Map(), tables, mayBeLeft: true });
  if (left !== undefined) throw left;
  return isRemoved;
}

/**
 * True when tables of ours are loaded that see packets, or would if nobody had made them dormant. Of a load that was not completed there
 * may be a table to which no hook leads (compiler/nftables/ahead.ts): it closes nothing.
 */
export async function seesPackets(kernel: Pick<Kernel, 'families' | 'whatIsOpen'>): Promise<boolean> {
  const families = await kernel.families();
  if (families.length === 0) return false;
  const { tables } = await kernel.whatIsOpen();
  return families.some((family) => !tables.some((open) => open.family === family && open.how === 'gone'));
}

/**
 * Loads tables that close every device only where nothing of ours is loaded yet. Needs no nft.
 * @returns false when something was loaded: it is left as it is.
 */
export async function loadBaseline(kernel: Kernel, tables: readonly Table[]): Promise<boolean> {
  if ((await seesPackets(kernel)) || (await kernel.iptables.left()).size > 0) return false;
  try {
    await kernel.addTables(tables);
  } catch (error) {
    if (!isUndone(error)) throw error;
    await applyTransaction(kernel, planTransaction(tables, []));
  }
  return true;
}
