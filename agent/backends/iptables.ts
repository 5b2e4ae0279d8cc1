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
  memberSets,
  planIptables,
  planTransaction,
  printIptables,
  printTables,
  stagesOf,
  stateOf,
  type CompileOptions,
  type HostCompiler,
  type HostPolicy,
  type IptablesPlan,
  type IptablesProgram,
  type TableState,
  type Touched,
  type Transaction,
} from '../../compiler/index.js';
import { FAMILIES, type Port } from '../../compiler/model/index.js';
import {
  carryOut,
  defaultFlavour,
  doubted,
  readLoadedIptables,
  removeOtherFlavour,
  wouldTakeRules,
} from '../kernel/iptables.js';
import { IptablesLook } from '../kernel/iptables-look.js';
import type { Backend, BackendParts, Comparison, Overtaking, Plan } from './backend.js';
import { countChanges } from './nftables.js';

export class IptablesBackend implements Backend {
  readonly #memory = new IptablesMemory();
  /** What was carried out last, without the sets of members. */
  #rules: IptablesProgram = EMPTY_PROGRAM;
  #beside: readonly TableState[] = [];
  /** True once nothing of ours can be left in the other flavour of iptables. */
  #isMoved = false;
  /** Undefined until it was asked for. */
  #flavour: 'nft' | 'legacy' | undefined;
  leftover: string | undefined;
  readonly #look = new IptablesLook(() => ({
    sets: [...memberSets(this.compiler.policy()), ...this.#rules.sets],
    families: this.#rules.families,
  }));

  constructor(
    private readonly compiler: HostCompiler,
    private readonly options: CompileOptions,
    private readonly parts: BackendParts,
  ) {}

  async look(): Promise<boolean> {
    return this.#look.isRight(!this.isInIptablesNft);
  }

  get isInIptablesNft(): boolean {
    return this.#flavour === 'nft';
  }

  async plan(anew: boolean): Promise<Comparison> {
    const { kernel } = this.parts;
    this.#flavour ??= await defaultFlavour();
    const [loaded, loadedTables] = await Promise.all([readLoadedIptables(), kernel.readTables()]);
    // What came while we read is in the compilation.
    this.compiler.take();
    const policy = hostPolicy(this.compiler.topology, this.parts.isLocal, this.options);
    const wanted = { program: iptablesProgram(policy, this.options), beside: besideIptables(policy, this.options) };
    const program = planIptables(anew ? doubted(loaded) : loaded, wanted.program);
    const rules = iptablesRules(policy, this.options, this.#memory);
    const judged = await kernel.judgeBodies(loadedTables, wanted.beside);
    const plan = this.#planOf(program, rules, policy, judged.tables);
    return {
      changes: plan.changes,
      areBodiesKnown: judged.areBodiesKnown,
      overtaking: overtakingOf(loaded),
      isFirst: !iptablesHoldsAdmission(loaded) && !holdsAdmission(loadedTables),
      apply: async () => {
        await plan.apply();
        if (!this.#isMoved) await this.#removeOther();
      },
      remaining: async () => {
        const [now, tables] = await Promise.all([readLoadedIptables(), kernel.readTables()]);
        const beside = await kernel.judgeBodies(tables, wanted.beside);
        return (
          planIptables(now, wanted.program).changes.length + countChanges(planTransaction(wanted.beside, beside.tables))
        );
      },
    };
  }

  change(transaction: Transaction, { isLocal }: Touched): Plan {
    const { sets, isMore } = memberChanges(transaction, isLocal);
    if (!isMore) {
      const plan = planIptables(EMPTY_PROGRAM, EMPTY_PROGRAM, sets);
      return { changes: plan.changes.length, apply: async () => this.#carryOut(plan) };
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
    return this.parts.kernel.wouldApply(printTables(besideIptables(policy, this.options)));
  }

  async #carryOut(plan: IptablesPlan): Promise<void> {
    this.#look.forget();
    await carryOut(plan, this.isInIptablesNft ? { commit: this.parts.commitRules } : {});
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
      apply: async () => {
        await this.#carryOut(plan);
        // Last: what stands in tables of nftables from a former backend goes when these rules are in force.
        for (const stage of stagesOf(transaction)) await this.parts.applyStage(stage);
        this.parts.onWritten(transaction);
        this.#rules = rules;
        this.#beside = tables.map(stateOf);
      },
    };
  }
}

function overtakingOf({ families }: IptablesProgram): readonly Overtaking[] {
  return FAMILIES.flatMap((family) =>
    (['raw', 'mangle'] as const).flatMap((table) =>
      families[family][table].flatMap(({ name, overtaking = [] }) =>
        overtaking.map(({ text, isTerminal }) => ({
          rule: `${family === 'IPv4' ? 'iptables' : 'ip6tables'} -t ${table} -A ${name} ${text}`,
          isTerminal,
        })),
      ),
    ),
  );
}
