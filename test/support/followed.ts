/** Whoever obeys a source. */
import {
  applyTo,
  EMPTY_TOPOLOGY,
  type AddressGroup,
  type Port,
  type Problem,
  type SecurityGroup,
  type Topology,
  type TopologyChanges,
} from '../../compiler/model/index.js';
import type { SourceEvent } from '../../compiler/model/index.js';

/** What a host has of a feed. */
export class Followed {
  readonly ports = new Map<string, Port>();
  readonly securityGroups = new Map<string, SecurityGroup>();
  readonly addressGroups = new Map<string, AddressGroup>();
  readonly problems: Problem[] = [];

  take(event: SourceEvent): void {
    this.problems.push(...event.problems);
    if (event.kind === 'topology') {
      for (const map of [this.ports, this.securityGroups, this.addressGroups]) map.clear();
      this.#apply(event.topology);
    }
    if (event.kind === 'changes') this.#apply(event.changes);
  }

  #apply(changes: TopologyChanges | Topology): void {
    applyTo<Port>(this.ports, changes.ports);
    applyTo<SecurityGroup>(this.securityGroups, changes.securityGroups);
    applyTo<AddressGroup>(this.addressGroups, changes.addressGroups);
  }

  /** What is in force. */
  get topology(): Topology {
    return {
      ...EMPTY_TOPOLOGY,
      ports: new Map(this.ports),
      securityGroups: new Map(this.securityGroups),
      addressGroups: new Map(this.addressGroups),
    };
  }

  get content(): object {
    const sorted = (map: ReadonlyMap<string, unknown>): unknown =>
      Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
    return { ports: sorted(this.ports), groups: sorted(this.securityGroups), addresses: sorted(this.addressGroups) };
  }
}
