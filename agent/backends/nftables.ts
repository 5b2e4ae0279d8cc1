/** nftables: each change is one transaction. */
import {
  compile,
  planTransaction,
  printTables,
  printTransaction,
  type CompileOptions,
  type HostCompiler,
  type Table,
  type TableState,
  type Transaction,
} from '../../compiler/index.js';
import type { Port } from '../../src/model/index.js';
import { removeIptables } from '../kernel/iptables.js';
import { judgeBodies, readLoadedTables, wouldApply } from '../kernel/nft.js';
import type { Backend, BackendParts, Plan } from './backend.js';

export class NftablesBackend implements Backend {
  /** True once nothing of ours can be left in iptables. */
  #isMoved = false;

  constructor(
    private readonly compiler: HostCompiler,
    private readonly options: CompileOptions,
    private readonly parts: Pick<BackendParts, 'applyNft'>,
  ) {}

  async plan(anew: boolean): Promise<Plan> {
    const loaded = await readLoadedTables();
    // What came while we read is in the compilation.
    this.compiler.take();
    const { tables } = this.compiler.ruleset();
    const judged = await judgeBodies(loaded, tables);
    const plan = this.change(anew ? replacement(tables, loaded) : planTransaction(tables, judged.tables));
    return {
      changes: plan.changes,
      areBodiesKnown: judged.areBodiesKnown,
      apply: async () => {
        await plan.apply();
        // The new rules are in force: what iptables has of a former backend only takes away.
        if (!this.#isMoved) await removeIptables();
        this.#isMoved = true;
      },
    };
  }

  change(transaction: Transaction): Plan {
    return {
      changes: countChanges(transaction),
      areBodiesKnown: true,
      apply: async () => {
        if (transaction.length > 0) await this.parts.applyNft(printTransaction(transaction));
      },
    };
  }

  async wouldTake(isLocal: (port: Port) => boolean): Promise<boolean> {
    return wouldApply(printTables(compile(this.compiler.topology, isLocal, this.options).ruleset.tables));
  }
}

function replacement(tables: readonly Table[], loaded: readonly TableState[]): Transaction {
  return [...loaded.map((before) => ({ kind: 'delete', before }) as const), ...planTransaction(tables, [])];
}

export function countChanges(transaction: Transaction): number {
  return transaction.reduce((sum, change) => sum + (change.kind === 'update' ? change.changes.length : 1), 0);
}
