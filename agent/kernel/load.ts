/** Makes the kernel equal to what is wanted, once: the difference, by whichever packet filter. */
import {
  EMPTY_PROGRAM,
  planIptables,
  planTransaction,
  printStages,
  printTransaction,
  type IptablesChange,
  type IptablesProgram,
  type Table,
  type TableState,
  type Transaction,
} from '../../compiler/index.js';
import { addTable } from '../netlink/nf-tables-batch.js';
import { NetlinkError } from '../netlink/socket.js';
import { KernelError } from './errors.js';
import { carryOut, leftIptables, readLoadedIptables, removeIptables, removeOtherFlavour } from './iptables.js';
import { applyText, judgeBodies, loadedFamilies, readLoadedTables, wouldApply } from './nft.js';
import { applyMessages } from './netlink-load.js';

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

export function isNoDifference({ transaction, iptables }: Difference): boolean {
  return transaction.length === 0 && iptables.length === 0;
}

/** Changes nothing. */
export async function planLoad(wanted: Wanted): Promise<Difference> {
  const transaction = planTransaction(wanted.tables, await loadedBeside(wanted.tables));
  if (wanted.iptables !== undefined) {
    return { transaction, iptables: planIptables(await readLoadedIptables(), wanted.iptables).changes };
  }
  const left = await leftIptables();
  return {
    transaction,
    iptables: [...left.values()].flatMap((program) => planIptables(program, EMPTY_PROGRAM).changes),
  };
}

/**
 * Loads what is wanted; does nothing at all when it is loaded already. What another packet filter holds of ours goes when the
 * new rules are in force.
 * @returns what was applied.
 * @throws KernelError; then the former rules stand.
 */
export async function load(wanted: Wanted): Promise<Difference> {
  const difference = await planLoad(wanted);
  if (wanted.iptables === undefined) {
    await loadTables(wanted.tables);
    if (difference.iptables.length > 0) await removeIptables();
  } else {
    await carryOut(planIptables(await readLoadedIptables(), wanted.iptables));
    await loadTables(wanted.tables);
    await removeOtherFlavour();
  }
  return difference;
}

/** When the kernel refuses because somebody else changed our tables meanwhile, reads again and tries once more. */
async function loadTables(tables: readonly Table[]): Promise<void> {
  const plan = async (): Promise<Transaction> => planTransaction(tables, await loadedBeside(tables));
  const first = await plan();
  try {
    await apply(first);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
    const second = await plan();
    if (printTransaction(second) === printTransaction(first)) throw error;
    await apply(second);
  }
}

async function loadedBeside(wanted: readonly Table[]): Promise<readonly TableState[]> {
  const { tables, areBodiesKnown } = await judgeBodies(await readLoadedTables(), wanted);
  if (areBodiesKnown) return tables;
  throw new KernelError('unreadable', 'nft says what rules do (--debug=netlink) in a form that is not known');
}

async function apply(transaction: Transaction): Promise<void> {
  const stages = printStages(transaction);
  // What the kernel would refuse leaves nothing of a first stage behind.
  const isRefused = stages.length > 1 && !(await wouldApply(printTransaction(transaction)));
  for (const text of isRefused ? [printTransaction(transaction)] : stages) await applyText(text);
}

/**
 * Loads tables that close every device only where nothing of ours is loaded yet. Needs no nft.
 * @returns false when something was loaded: it is left as it is.
 */
export async function loadBaseline(tables: readonly Table[]): Promise<boolean> {
  if ((await loadedFamilies()).length > 0 || (await leftIptables()).size > 0) return false;
  try {
    await applyMessages(tables.flatMap(addTable));
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    await apply(planTransaction(tables, []));
  }
  return true;
}
