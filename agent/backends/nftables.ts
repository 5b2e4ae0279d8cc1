/**
 * nftables: each change is one transaction, after one with what must be there before it ({@link stagesOf}); a large one after pieces of it
 * ({@link divideLarge}).
 */
import {
  compile,
  divideLarge,
  holdsAdmission,
  planReplacement,
  planTransaction,
  printTables,
  sourcesGone,
  stagesOf,
  type CompileOptions,
  type HostCompiler,
  type TableState,
  type Transaction,
} from '../../compiler/index.js';
import type { Port } from '../../compiler/model/index.js';
import { KernelError } from '../kernel/errors.js';
import { bringInForce, type Former } from '../kernel/in-force.js';
import type { Backend, BackendParts, Comparison, Plan } from './backend.js';

export type TableParts = Pick<BackendParts, 'kernel' | 'applyAhead' | 'applyStage' | 'onWritten'>;

export class NftablesBackend implements Backend {
  /** True once nothing of ours can be left in iptables. */
  #isMoved = false;
  leftover: string | undefined;
  readonly isInIptablesNft = false;

  constructor(
    private readonly compiler: HostCompiler,
    private readonly options: CompileOptions,
    private readonly parts: TableParts,
  ) {}

  async plan(anew: boolean, take: () => void): Promise<Comparison> {
    const { kernel } = this.parts;
    const {
      wanted: ruleset,
      loaded,
      areBodiesKnown,
      byNft,
    } = await kernel.compare(() => {
      // What came while it was read is in the compilation.
      take();
      return this.compiler.ruleset();
    });
    const foreign = loaded.filter(({ isOwnedByAnother }) => isOwnedByAnother);
    const isOurs = ({ family }: { readonly family: string }): boolean =>
      !foreign.some((table) => table.family === family);
    const [own, wanted] = [loaded.filter(isOurs), ruleset.tables.filter(isOurs)];
    const transaction = anew ? planReplacement(wanted, own) : planTransaction(wanted, own);
    return {
      changes: countChanges(transaction),
      areBodiesKnown,
      byNft,
      isFirst: !holdsAdmission(loaded) && !(await kernel.isInIptables()),
      gone: transaction.flatMap((table) => (table.kind === 'update' ? sourcesGone(table.changes) : [])),
      overtaking: [],
      apply: async () => {
        const { left } = await this.#bring(transaction, !this.#isMoved);
        this.#isMoved = left === undefined;
        this.leftover = left === undefined ? undefined : `iptables: ${left.message}`;
        if (foreign.length > 0) throw ownedByAnother(foreign);
      },
      remaining: async () => {
        const now = await kernel.compare(() => ({ tables: wanted }));
        return countChanges(planTransaction(wanted, now.loaded.filter(isOurs)));
      },
    };
  }

  change(transaction: Transaction): Plan {
    return {
      changes: countChanges(transaction),
      apply: async () => {
        await this.#bring(transaction, false);
      },
    };
  }

  async wouldTake(isLocal: (port: Port) => boolean): Promise<boolean> {
    return this.parts.kernel.wouldApply(
      printTables(compile(this.compiler.topology, isLocal, this.options).ruleset.tables),
    );
  }

  async #bring(transaction: Transaction, mayBeLeft: boolean): Promise<Former> {
    const { kernel } = this.parts;
    return bringInForce(kernel, {
      iptables: new Map(),
      tables: async () => bringTables(this.parts, transaction),
      mayBeLeft,
    });
  }
}

/** In the stages in which a transaction is made; of a large one what can go ahead of it does. */
export async function bringTables(
  { kernel, applyAhead, applyStage, onWritten }: TableParts,
  transaction: Transaction,
): Promise<void> {
  const { ahead, rest } = divideLarge(transaction, await kernel.mostOfPiece());
  await applyAhead(ahead);
  for (const stage of stagesOf(rest)) await applyStage(stage);
  onWritten(transaction);
}

/** What can be enforced is; the rest is named, and tried again. */
function ownedByAnother(foreign: readonly TableState[]): KernelError {
  const names = foreign.map(({ family, name }) => `table ${family} ${name}`).join(', ');
  return new KernelError(
    'not-permitted',
    `${names}: another program owns it (flag owner), so that nobody else can change it`,
  );
}

export function countChanges(transaction: Transaction): number {
  return transaction.reduce((sum, change) => sum + (change.kind === 'update' ? change.changes.length : 1), 0);
}
