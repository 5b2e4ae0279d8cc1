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
  stateOf,
  type CompileOptions,
  type HostCompiler,
  type IptablesPlan,
  type IptablesProgram,
  type Table,
  type TableState,
  type Touched,
  type Transaction,
} from '../../compiler/index.js';
import { readSources } from '../../compiler/listing.js';
import { FAMILIES, parsePrefix, type Port, type Prefix } from '../../compiler/model/index.js';
import { bringInForce, type Former } from '../kernel/in-force.js';
import { doubted } from '../kernel/iptables.js';
import { IptablesLook } from '../kernel/iptables-look.js';
import type { Backend, BackendParts, Comparison, Overtaking, Plan } from './backend.js';
import { bringTables, countChanges } from './nftables.js';

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
  readonly #look: IptablesLook;

  constructor(
    private readonly compiler: HostCompiler,
    private readonly options: CompileOptions,
    private readonly parts: BackendParts,
  ) {
    this.#look = new IptablesLook(parts.kernel.iptables, () => ({
      sets: [...memberSets(this.compiler.policy()), ...this.#rules.sets],
      families: this.#rules.families,
    }));
  }

  async look(): Promise<boolean> {
    return this.#look.isRight(!this.isInIptablesNft);
  }

  get isInIptablesNft(): boolean {
    return this.#flavour === 'nft';
  }

  async plan(anew: boolean, take: () => void): Promise<Comparison> {
    const { kernel } = this.parts;
    this.#flavour ??= await kernel.iptables.defaultFlavour();
    const loaded = await kernel.iptables.read();
    const beside = await kernel.compare(() => {
      // What came while it was read is in the compilation.
      take();
      const policy = hostPolicy(this.compiler.topology, this.parts.isLocal, this.options);
      const program = iptablesProgram(policy, this.options);
      return { policy, program, tables: besideIptables(policy, this.options) };
    });
    const { policy, program, tables } = beside.wanted;
    const rules = iptablesRules(policy, this.options, this.#memory);
    const plan = this.#planOf(planIptables(anew ? doubted(loaded) : loaded, program), rules, {
      tables,
      loaded: beside.loaded,
    });
    return {
      changes: plan.changes,
      areBodiesKnown: beside.areBodiesKnown,
      byNft: beside.byNft,
      // As long as nothing differs, as it does at nearly every look, nothing has gone.
      gone: plan.changes === 0 ? [] : goneSources(loaded, program),
      overtaking: overtakingOf(loaded),
      isFirst: !iptablesHoldsAdmission(loaded) && !holdsAdmission(beside.loaded),
      apply: async () => {
        const { left } = await plan.bring(!this.#isMoved);
        this.#isMoved = left === undefined;
        this.leftover = left === undefined ? undefined : `the other iptables: ${left.message}`;
      },
      remaining: async () => {
        const now = await kernel.iptables.read();
        const { loaded: tablesNow } = await kernel.compare(() => ({ tables }));
        return planIptables(now, program).changes.length + countChanges(planTransaction(tables, tablesNow));
      },
    };
  }

  change(transaction: Transaction, { isLocal }: Touched): Plan {
    const { sets, isMore } = memberChanges(transaction, isLocal);
    if (!isMore) {
      const plan = planIptables(EMPTY_PROGRAM, EMPTY_PROGRAM, sets);
      const apply = async (): Promise<void> => {
        await this.#bring(plan, async () => Promise.resolve(), false);
      };
      return { changes: plan.changes.length, apply };
    }
    const policy = this.compiler.policy();
    const rules = iptablesRules(policy, this.options, this.#memory);
    // No port of this host is another one: neither are the tables.
    const beside = isLocal ? { tables: besideIptables(policy, this.options), loaded: this.#beside } : undefined;
    const { changes, bring } = this.#planOf(planIptables(this.#rules, rules, sets), rules, beside);
    return {
      changes,
      apply: async () => {
        await bring(false);
      },
    };
  }

  async wouldTake(isLocal: (port: Port) => boolean): Promise<boolean> {
    const policy = hostPolicy(this.compiler.topology, isLocal, this.options);
    const program = iptablesProgram(policy, this.options);
    const { kernel } = this.parts;
    for (const family of FAMILIES) {
      if (!(await kernel.iptables.wouldTake(family, printIptables(program, family)))) return false;
    }
    return kernel.wouldApply(printTables(besideIptables(policy, this.options)));
  }

  /** @param beside the tables beside, as they are wanted and loaded; undefined where they are right. */
  #planOf(
    plan: IptablesPlan,
    rules: IptablesProgram,
    beside: { readonly tables: readonly Table[]; readonly loaded: readonly TableState[] } | undefined,
  ): ToBring {
    const transaction = beside === undefined ? [] : planTransaction(beside.tables, beside.loaded);
    return {
      changes: plan.changes.length + countChanges(transaction),
      bring: async (mayBeLeft) => {
        const bringBeside = async (): Promise<void> => bringTables(this.parts, transaction);
        const former = await this.#bring(plan, bringBeside, mayBeLeft);
        this.#rules = rules;
        if (beside !== undefined) this.#beside = beside.tables.map(stateOf);
        return former;
      },
    };
  }

  async #bring(plan: IptablesPlan, tables: () => Promise<void>, mayBeLeft: boolean): Promise<Former> {
    this.#look.forget();
    const steps = { iptables: new Map([['default', plan]] as const), tables, mayBeLeft };
    return bringInForce(this.parts.kernel, steps, this.isInIptablesNft ? this.parts.commitRules : undefined);
  }
}

interface ToBring {
  readonly changes: number;
  readonly bring: (mayBeLeft: boolean) => Promise<Former>;
}

function goneSources(loaded: IptablesProgram, wanted: IptablesProgram): readonly Prefix[] {
  const still = sourcesIn(wanted);
  return [...sourcesIn(loaded)].filter((text) => !still.has(text)).flatMap((text) => parsePrefix(text) ?? []);
}

/** Chains of ports alone ask for a MAC. */
function sourcesIn({ families }: IptablesProgram): ReadonlySet<string> {
  return new Set(
    FAMILIES.flatMap((family) => families[family].mangle.flatMap(({ rules }) => readSources(rules, family))),
  );
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
