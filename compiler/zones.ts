/**
 * Connection tracking zones: tenants whose addresses overlap on one host must never share a conntrack entry.
 *
 * - Bridge datapaths: one zone per network, set by the bridge that a packet enters.
 * - Routed datapath: the host routes by one table, so an address means one port, and all ports share zone 0, in which
 *   flows between networks, to the host and to the outside are followed from both ends. Only where two networks on the
 *   host use the same address does the later network (by id) get a zone of its own, set by device. See
 *   docs/decisions/zones.md.
 */
import { isExact, type Port } from '../src/model/index.js';
import { digest } from './names.js';
import type { Datapath } from './ruleset/types.js';

export interface ZoneAssignment {
  /** Zone by bridge name (bridge datapath) or by device name (routed datapath), sorted by name. */
  readonly zones: ReadonlyMap<string, number>;
  /** Pairs of networks that use one address, routed datapath only: replies from outside cannot reach the second. */
  readonly overlaps: readonly NetworkOverlap[];
}

export interface NetworkOverlap {
  readonly address: string;
  readonly networkIds: readonly [string, string];
}

/** Zones below are left to others: 0 is the default, and small numbers are chosen by hand. As Neutron does. */
const FIRST_ZONE = 4097;
const LAST_ZONE = 65535;

export function assignZones(ports: readonly Port[], datapath: Datapath): ZoneAssignment {
  switch (datapath) {
    case 'bridge':
    case 'bridge-netfilter':
      return { zones: bridgeZones(ports), overlaps: [] };
    case 'routed':
      return routedZones(ports);
  }
}

function bridgeZones(ports: readonly Port[]): ReadonlyMap<string, number> {
  const zoneOf = zonesOfNetworks(ports.map((port) => port.networkId));
  const bridges = new Map<string, number>();
  for (const port of ports) bridges.set(port.bridge, zoneOf.get(port.networkId) ?? FIRST_ZONE);
  return sortedByName(bridges);
}

function routedZones(ports: readonly Port[]): ZoneAssignment {
  const networkOf = new Map<string, string>();
  const overlaps = new Map<string, NetworkOverlap>();
  for (const port of [...ports].sort((a, b) => (a.networkId < b.networkId ? -1 : 1))) {
    for (const address of exactAddresses(port)) {
      const first = networkOf.get(address);
      if (first === undefined) networkOf.set(address, port.networkId);
      else if (first !== port.networkId && !overlaps.has(port.networkId)) {
        overlaps.set(port.networkId, { address, networkIds: [first, port.networkId] });
      }
    }
  }
  const zoneOf = zonesOfNetworks(overlaps.keys());
  const devices = new Map<string, number>();
  for (const port of ports) {
    const zone = zoneOf.get(port.networkId);
    if (zone !== undefined) devices.set(port.device, zone);
  }
  return { zones: sortedByName(devices), overlaps: [...overlaps.values()] };
}

/** Exact addresses that a port may send from, as text. */
export function exactAddresses(port: Port): readonly string[] {
  const pairs = port.allowedAddressPairs.map((pair) => pair.prefix).filter(isExact);
  return [...port.fixedIps, ...pairs].map((prefix) => prefix.text);
}

/**
 * A zone number for each network, from a digest of its id, so that a network keeps its number (and its flows) when others
 * come and go; the next free number where two agree.
 */
function zonesOfNetworks(networkIds: Iterable<string>): ReadonlyMap<string, number> {
  const count = LAST_ZONE - FIRST_ZONE + 1;
  const zones = new Map<string, number>();
  const taken = new Set<number>();
  for (const id of [...new Set(networkIds)].sort()) {
    let offset = Number.parseInt(digest(id, 8), 16) % count;
    while (taken.has(offset) && taken.size < count) offset = (offset + 1) % count;
    taken.add(offset);
    zones.set(id, FIRST_ZONE + offset);
  }
  return zones;
}

function sortedByName(zones: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map([...zones].sort(([a], [b]) => (a < b ? -1 : 1)));
}
