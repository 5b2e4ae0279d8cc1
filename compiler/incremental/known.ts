/** Everything that is known so far, and which ports have a group: what calculators read. */
import type { AddressGroup, Port, SecurityGroup, Topology } from '../model/index.js';
import { MultiMap } from './multimap.js';

/** A port as it is now came; as it was before, it went. A port that changed went and came. */
export interface PortChange {
  readonly kind: 'port-came' | 'port-went';
  readonly port: Port;
}

/** A group came, changed or went, or what else is to be said of it (its name, its chains) did. */
export interface GroupChange {
  readonly kind: 'group';
  readonly id: string;
}

export class Known {
  readonly ports = new Map<string, Port>();
  readonly securityGroups = new Map<string, SecurityGroup>();
  readonly addressGroups = new Map<string, AddressGroup>();
  /** The host's ports. */
  readonly local = new Map<string, Port>();
  readonly #portsOf = new MultiMap<Port>();
  readonly #filteredHere = new MultiMap<Port>();

  get topology(): Topology {
    const { ports, securityGroups, addressGroups } = this;
    return { ports, securityGroups, addressGroups, networks: new Map(), subnets: new Map() };
  }

  /** Ports that have a group, on any host. */
  portsOf(groupId: string): ReadonlySet<Port> {
    return this.#portsOf.get(groupId);
  }

  /** This host's filtered ports that have a group. */
  filteredHere(groupId: string): ReadonlySet<Port> {
    return this.#filteredHere.get(groupId);
  }

  changePort({ kind, port }: PortChange, isLocal: boolean): void {
    const change = kind === 'port-came' ? 'add' : 'delete';
    if (isLocal && kind === 'port-came') this.local.set(port.id, port);
    else if (isLocal) this.local.delete(port.id);
    for (const id of port.securityGroupIds) {
      this.#portsOf[change](id, port);
      if (isLocal && port.filtering === 'filtered') this.#filteredHere[change](id, port);
    }
  }
}
