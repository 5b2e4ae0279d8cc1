/** Groups of this host's ports -> their chains, and the sets that only these use. */
import { DIRECTIONS, type SecurityGroup } from '../model/index.js';
import { groupProgram, type GroupProgram } from '../ruleset/group-chain.js';
import type { Chain } from '../ruleset/types.js';
import type { Calculator } from './calculator.js';
import type { UsedGroups } from './groups.js';
import type { GroupChange } from './known.js';
import type { Members } from './members.js';
import type { HostTables } from './tables.js';

/** Keys: ids of groups. Outputs: those of groups that profiles see another way than before: a rule is none of their business. */
export class GroupChains implements Calculator<GroupChange, string, string> {
  readonly #programs = new Map<string, readonly GroupProgram[]>();
  /** By id of the group, what profiles saw of it last. */
  readonly #seen = new Map<string, string>();

  constructor(
    private readonly groups: UsedGroups,
    private readonly members: Members,
    private readonly tables: HostTables,
  ) {}

  *all(): Iterable<{ readonly group: SecurityGroup; readonly chain: Chain }> {
    for (const [id, programs] of this.#programs) {
      const group = this.groups.get(id);
      if (group !== undefined) for (const { chain } of programs) yield { group, chain };
    }
  }

  change({ id }: GroupChange): readonly string[] {
    return [id];
  }

  recompute(ids: ReadonlySet<string>): readonly string[] {
    // All that goes goes first: a name may pass from one group to another.
    for (const id of ids) this.#retract(id);
    for (const id of ids) this.#compile(id);
    return [...ids].filter((id) => this.#looksOther(id));
  }

  /** Profiles jump to a group's chain, say its name, and ask whether all of theirs are stateful. */
  #looksOther(id: string): boolean {
    const before = this.#seen.get(id);
    const group = this.groups.get(id);
    if (group === undefined) {
      this.#seen.delete(id);
      return before !== undefined;
    }
    const now = JSON.stringify([this.groups.name(id), group.name, group.stateful]);
    this.#seen.set(id, now);
    return now !== before;
  }

  #retract(id: string): void {
    for (const { chain, sets } of this.#programs.get(id) ?? []) {
      this.tables.main.deleteChain(chain.name);
      for (const set of sets) this.tables.main.deleteSet(set.name);
    }
  }

  #compile(id: string): void {
    const group = this.groups.get(id);
    if (group === undefined) {
      this.#programs.delete(id);
      return;
    }
    const context = { name: this.groups.name(id), ...this.members.namesFor(id) };
    const programs = DIRECTIONS.map((direction) => groupProgram(group, direction, context));
    this.#programs.set(id, programs);
    for (const { chain, sets } of programs) {
      for (const set of sets) this.tables.main.addSet(set);
      this.tables.setChain(chain);
    }
  }
}
