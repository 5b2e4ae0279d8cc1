/** Combinations of groups that filtered ports of this host have -> chains. The first port of one and the last count, others are handled. */
import { DIRECTIONS, type Port } from '../model/index.js';
import type { Datapath } from '../datapath.js';
import { profileChain, profileContent, profileOf } from '../ruleset/profiles.js';
import type { Chain } from '../ruleset/types.js';
import { HANDLED, type Calculator } from './calculator.js';
import type { UsedGroups } from './groups.js';
import type { GroupChange, Known, PortChange } from './known.js';
import { MultiMap } from './multimap.js';
import type { HostTables } from './tables.js';

/** Ports that share a profile. */
interface Shared {
  ports: number;
  /** One of the ports. */
  readonly example: Port;
  chains: readonly Chain[];
}

/** Keys: what ports of a profile agree in. */
export class Profiles implements Calculator<PortChange | GroupChange, string, never> {
  readonly #profiles = new Map<string, Shared>();
  readonly #ofGroup = new MultiMap<string>();

  constructor(
    private readonly known: Known,
    private readonly groups: UsedGroups,
    private readonly tables: HostTables,
    private readonly datapath: Datapath,
  ) {}

  /** @param change of a filtered port of this host, or of a group that such a port has or had. */
  change(change: PortChange | GroupChange): readonly string[] {
    switch (change.kind) {
      case 'port-came':
        return this.#add(change.port);
      case 'port-went':
        return this.#delete(change.port);
      case 'group':
        return [...this.#ofGroup.get(change.id)];
    }
  }

  #add(port: Port): readonly string[] {
    const content = profileContent(port);
    const shared = this.#profiles.get(content);
    if (shared !== undefined) {
      shared.ports++;
      return HANDLED;
    }
    this.#profiles.set(content, { ports: 1, example: port, chains: [] });
    for (const id of port.securityGroupIds) this.#ofGroup.add(id, content);
    return [content];
  }

  #delete(port: Port): readonly string[] {
    const content = profileContent(port);
    const shared = this.#profiles.get(content);
    if (shared === undefined) return HANDLED;
    shared.ports--;
    return shared.ports === 0 ? [content] : HANDLED;
  }

  recompute(contents: ReadonlySet<string>): readonly never[] {
    for (const content of contents) {
      const shared = this.#profiles.get(content);
      if (shared === undefined) continue;
      for (const chain of shared.chains) this.tables.main.deleteChain(chain.name);
      if (shared.ports > 0) this.#compile(shared);
      else this.#forget(content, shared);
    }
    return [];
  }

  #compile(shared: Shared): void {
    const { example } = shared;
    const profile = profileOf(example, this.known.securityGroups);
    const names = new Map(example.securityGroupIds.map((id) => [id, this.groups.name(id)]));
    shared.chains = DIRECTIONS.map((direction) => profileChain(profile, direction, names, this.datapath));
    for (const chain of shared.chains) this.tables.setChain(chain);
  }

  #forget(content: string, { example }: Shared): void {
    this.#profiles.delete(content);
    for (const id of example.securityGroupIds) this.#ofGroup.delete(id, content);
  }
}
