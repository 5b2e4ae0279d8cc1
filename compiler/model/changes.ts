/** What changes from one topology to the next. */
import { isDeepStrictEqual } from 'node:util';
import type { AddressGroup, Port, SecurityGroup, Topology } from './topology.js';

/** By id: what an object is now; undefined for one that is gone. Objects that did not change are not named. */
export interface TopologyChanges {
  readonly ports: ReadonlyMap<string, Port | undefined>;
  readonly securityGroups: ReadonlyMap<string, SecurityGroup | undefined>;
  readonly addressGroups: ReadonlyMap<string, AddressGroup | undefined>;
}

export const EMPTY_TOPOLOGY: Topology = {
  ports: new Map(),
  securityGroups: new Map(),
  addressGroups: new Map(),
  networks: new Map(),
  subnets: new Map(),
};

/** The changes that turn `before` into `after`. Networks and subnets say nothing to a host and are left out. */
export function diffTopologies(before: Topology, after: Topology): TopologyChanges {
  return {
    ports: diffMaps(before.ports, after.ports),
    securityGroups: diffMaps(before.securityGroups, after.securityGroups),
    addressGroups: diffMaps(before.addressGroups, after.addressGroups),
  };
}

function diffMaps<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
): ReadonlyMap<string, T | undefined> {
  const changes = new Map<string, T | undefined>();
  for (const [id, value] of after) {
    if (!before.has(id) || !isDeepStrictEqual(before.get(id), value)) changes.set(id, value);
  }
  for (const id of before.keys()) if (!after.has(id)) changes.set(id, undefined);
  return changes;
}

/** Brings objects up to date. */
export function applyTo<T>(known: Map<string, T>, changes: ReadonlyMap<string, T | undefined>): void {
  for (const [id, value] of changes) {
    if (value === undefined) known.delete(id);
    else known.set(id, value);
  }
}

/** True when nothing changes. */
export function isEmpty(changes: TopologyChanges): boolean {
  return changes.ports.size + changes.securityGroups.size + changes.addressGroups.size === 0;
}
