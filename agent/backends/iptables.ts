/**
 * iptables and ipset, and a table of nftables for what these never see.
 *
 * A membership change is entries of sets alone. Everything else is compiled (what did not change is remembered), compared
 * with what was last carried out, and changed chain by chain.
 */
import {
  besideIptables,
  EMPTY_PROGRAM,
  holdsAdmission,
  hostPolicy,
  IptablesMemory,
  iptablesHoldsAdmission,
  iptablesProgram,
  iptablesRules,
  memberChanges,
  planIptables,
  planTransaction,
  printIptables,
  printTables,
  printTransaction,
  stateOf,
  type CompileOptions,
  type HostCompiler,
  type HostPolicy,
  type IptablesPlan,
  type IptablesProgram,
  type TableState,
  type Transaction,
} from '../../compiler/index.js';
import { FAMILIES, type Port } from '../../src/model/index.js';
import { carryOut, doubted, readLoadedIptables, removeOtherFlavour, wouldTakeRules } from '../kernel/iptables.js';
import { judgeBodies, readLoadedTables, wouldApply } from '../kernel/nft.js';
import type { Backend, BackendParts, Plan } from './backend.js';
import { countChanges } from './nftables.js';

export class IptablesBackend implements Backend {
  readonly #memory = new IptablesMemory();
  /** What was carried out last, without the sets of members. */
  #rules: IptablesProgram = EMPTY_PROGRAM;
  #beside: readonly TableState[] = [];
  /** True once nothing of ours can be left in the other flavour of iptables. */
  #isMoved = false;
  leftover: string | undefined;

  constructor(
    private readonly compiler: HostCompiler,
    private readonly options: CompileOptions,
    private readonly parts: BackendParts,
  ) {}

  async plan(anew: boolean): Promise<Plan> {
    const [loaded, loadedTables] = await Promise.all([readLoadedIptables(), readLoadedTables()]);
    // What came while we read is in the compilation.
    this.compiler.take();
    const policy = hostPolicy(this.compiler.topology, this.parts.isLocal, this.options);
    const program = planIptables(anew ? doubted(loaded) : loaded, iptablesProgram(policy, this.options));
    const rules = iptablesRules(policy, this.options, this.#memory);
    const judged = await judgeBodies(loadedTables, besideIptables(policy, this.options));
    const plan = this.#planOf(program, rules, policy, judged.tables);
    return {
      changes: plan.changes,
      areBodiesKnown: judged.areBodiesKnown,
      isFirst: !iptablesHoldsAdmission(loaded) && !holdsAdmission(loadedTables),
      apply: async () => {
        await plan.apply();
        if (!this.#isMoved) await this.#removeOther();
      },
    };
  }

  change(transaction: Transaction): Plan {
    const { sets, isMore } = memberChanges(transaction);
    if (!isMore) {
      const plan = planIptables(EMPTY_PROGRAM, EMPTY_PROGRAM, sets);
      return { changes: plan.changes.length, areBodiesKnown: true, apply: async () => carryOut(plan) };
    }
    const policy = this.compiler.policy();
    const rules = iptablesRules(policy, this.options, this.#memory);
    return this.#planOf(planIptables(this.#rules, rules, sets), rules, policy, this.#beside);
  }

  async wouldTake(isLocal: (port: Port) => boolean): Promise<boolean> {
    const policy = hostPolicy(this.compiler.topology, isLocal, this.options);
    const program = iptablesProgram(policy, this.options);
    for (const family of FAMILIES) {
      if (!(await wouldTakeRules(family, printIptables(program, family)))) return false;
    }
    return wouldApply(printTables(besideIptables(policy, this.options)));
  }

  async #removeOther(): Promise<void> {
    try {
      await removeOtherFlavour();
      this.#isMoved = true;
      this.leftover = undefined;
    } catch (error) {
      this.leftover = `the other iptables: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  #planOf(plan: IptablesPlan, rules: IptablesProgram, policy: HostPolicy, loadedTables: readonly TableState[]): Plan {
    const tables = besideIptables(policy, this.options);
    const transaction = planTransaction(tables, loadedTables);
    return {
      changes: plan.changes.length + countChanges(transaction),
      areBodiesKnown: true,
      apply: async () => {
        await carryOut(plan);
        // Last: what stands in tables of nftables from a former backend goes when these rules are in force.
        if (transaction.length > 0) await this.parts.applyNft(printTransaction(transaction));
        this.#rules = rules;
        this.#beside = tables.map(stateOf);
      },
    };
  }
}
