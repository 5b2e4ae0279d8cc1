/** Groups that filtered ports of this host have: which they are, and their names. The first port of a group, the last and a rule count. */
import { compareText } from '../host-policy.js';
import type { SecurityGroup } from '../model/index.js';
import { ShortNames } from '../names.js';
import type { Calculator } from './calculator.js';
import type { GroupChange, Known, PortChange } from './known.js';

/** Keys: ids of groups. Outputs: the same, of those that came, changed, went or have another name. */
export class UsedGroups implements Calculator<PortChange | GroupChange, string, string> {
  readonly #used = new Set<string>();
  readonly #names = new ShortNames();

  constructor(private readonly known: Known) {}

  /** The group, if ports here have it. */
  get(id: string): SecurityGroup | undefined {
    return this.#used.has(id) ? this.known.securityGroups.get(id) : undefined;
  }

  /** Its name in names of kernel objects. */
  name(id: string): string {
    return this.#names.get(id);
  }

  /** All of them, by id. */
  all(): readonly SecurityGroup[] {
    return [...this.#used].sort(compareText).flatMap((id) => this.get(id) ?? []);
  }

  /** @param change of a filtered port of this host, or of any group. */
  change(change: PortChange | GroupChange): readonly string[] {
    switch (change.kind) {
      case 'group':
        return [change.id];
      case 'port-came':
        return change.port.securityGroupIds.filter((id) => this.known.filteredHere(id).size === 1);
      case 'port-went':
        return change.port.securityGroupIds.filter((id) => this.known.filteredHere(id).size === 0);
    }
  }

  recompute(ids: ReadonlySet<string>): readonly string[] {
    const outputs = new Set<string>();
    for (const id of ids) {
      const isUsed = this.known.filteredHere(id).size > 0 && this.known.securityGroups.has(id);
      const wasUsed = this.#used.has(id);
      if (!isUsed && !wasUsed) continue;
      outputs.add(id);
      if (isUsed === wasUsed) continue;
      if (isUsed) this.#used.add(id);
      else this.#used.delete(id);
      for (const renamed of isUsed ? this.#names.add(id) : this.#names.delete(id)) outputs.add(renamed);
    }
    return [...outputs];
  }
}
