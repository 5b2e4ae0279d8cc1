/** Makes the kernel equal to a ruleset, in one transaction of the difference. */
import {
  planTransaction,
  printTransaction,
  type Table,
  type TableState,
  type Transaction,
} from '../../compiler/index.js';
import { KernelError } from './errors.js';
import { applyText, readLoadedTables } from './nft.js';

/** What it takes from what is loaded now to the wanted tables. Changes nothing. */
export async function planLoad(tables: readonly Table[]): Promise<Transaction> {
  return planTransaction(tables, await readLoadedTables());
}

/**
 * Loads the wanted tables; does nothing at all when they are loaded already. When the kernel refuses because somebody
 * else changed our tables meanwhile, reads again and tries once more.
 * @returns what was applied.
 * @throws KernelError; then nothing was applied and the former rules stand.
 */
export async function loadTables(tables: readonly Table[]): Promise<Transaction> {
  const transaction = await planLoad(tables);
  try {
    await apply(transaction);
    return transaction;
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
    const second = await planLoad(tables);
    if (printTransaction(second) === printTransaction(transaction)) throw error;
    await apply(second);
    return second;
  }
}

async function apply(transaction: Transaction): Promise<void> {
  if (transaction.length > 0) await applyText(printTransaction(transaction));
}

/**
 * Loads tables that close every device only where nothing of ours is loaded yet.
 * @returns false when something was loaded: it is left as it is.
 */
export async function loadBaseline(tables: readonly Table[]): Promise<boolean> {
  const loaded: readonly TableState[] = await readLoadedTables();
  if (loaded.length > 0) return false;
  await apply(planTransaction(tables, loaded));
  return true;
}
