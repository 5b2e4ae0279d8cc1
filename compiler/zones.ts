/**
 * Connection tracking zones: tenants whose addresses overlap on one host must never share a conntrack entry.
 *
 * - Bridge datapaths: one zone per network, set by the bridge that a packet enters; on a bridge of several networks (a VLAN-aware
 *   one), where their VLANs are known, by the port's device and by the VLAN of what comes from elsewhere.
 * - Routed datapath: the host routes by one table, so an address means one port, and all ports share zone 0, in which
 *   flows between networks, to the host and to the outside are followed from both ends. Only where two networks on the
 *   host use the same address does the later network (by id) get a zone of its own, set by device. See
 *   docs/decisions/zones.md.
 */
import { isExact, type Port } from '../src/model/index.js';
import { digest } from './names.js';
import { isBridged, type Datapath } from './ruleset/types.js';

export interface ZoneAssignment {
  /** Zone by bridge name (bridge datapath) or by device name (routed datapath), sorted by name. */
  readonly zones: ReadonlyMap<string, number>;
  /** Zone by device, of ports whose networks share a bridge and are told apart by VLAN (bridge datapath); sorted by name. */
  readonly devices: ReadonlyMap<string, number>;
  /** The same for what comes from elsewhere, sorted. */
  readonly vlans: readonly VlanZone[];
  /**
   * Pairs of networks that use one address and cannot be told apart wholly. Routed: replies from outside cannot reach the second.
   * On bridges: ports of both are on one bridge, whose VLANs are unknown or cannot be asked; they share a zone.
   */
  readonly overlaps: readonly NetworkOverlap[];
}

export interface VlanZone {
  readonly bridge: string;
  readonly vlan: number;
  readonly zone: number;
}

export interface NetworkOverlap {
  /** Undefined in the routed datapath. */
  readonly bridge: string | undefined;
  readonly address: string;
  readonly networkIds: readonly [string, string];
}

/** Zones below are left to others: 0 is the default, and small numbers are chosen by hand. As Neutron does. */
const FIRST_ZONE = 4097;
const LAST_ZONE = 65535;

export function assignZones(ports: readonly Port[], datapath: Datapath): ZoneAssignment {
  switch (datapath) {
    case 'bridge':
      return bridgeZones(ports, sharedBridges(ports));
    case 'bridge-netfilter':
      // br_netfilter shows neither the device nor, unless told to, what is tagged.
      return bridgeZones(ports, new Set());
    case 'routed':
      return routedZones(ports);
  }
}

/** The zone of a port's packets; 0 where none is assigned. */
export function zoneOfPort({ zones, devices }: ZoneAssignment, port: Port, datapath: Datapath): number {
  return (isBridged(datapath) ? (devices.get(port.device) ?? zones.get(port.bridge)) : zones.get(port.device)) ?? 0;
}

/** Bridges with ports of several networks. */
function sharedBridges(ports: readonly Port[]): ReadonlySet<string> {
  const networks = new Map<string, string>();
  const shared = new Set<string>();
  for (const { bridge, networkId } of ports) {
    if ((networks.get(bridge) ?? networkId) !== networkId) shared.add(bridge);
    networks.set(bridge, networkId);
  }
  return shared;
}

/** A bridge of one network gives its zone, whatever is tagged there; on a shared one networks of known VLAN have their own. */
function bridgeZones(ports: readonly Port[], shared: ReadonlySet<string>): ZoneAssignment {
  const zoneOf = zonesOfNetworks(ports.map((port) => port.networkId));
  const [bridges, devices] = [new Map<string, number>(), new Map<string, number>()];
  const vlans = new Map<string, VlanZone>();
  for (const { bridge, device, networkId, vlan } of ports) {
    const zone = zoneOf.get(networkId) ?? FIRST_ZONE;
    if (vlan === undefined || !shared.has(bridge)) bridges.set(bridge, zone);
    else {
      devices.set(device, zone);
      vlans.set(`${bridge} ${vlan.toString().padStart(4, '0')}`, { bridge, vlan, zone });
    }
  }
  return {
    zones: sortedByName(bridges),
    devices: sortedByName(devices),
    vlans: [...vlans].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, zone]) => zone),
    // Ports without a zone of their own have that of their bridge.
    overlaps: overlapsOf(
      ports.filter(({ device }) => !devices.has(device)),
      ({ bridge }) => bridge,
    ),
  };
}

function routedZones(ports: readonly Port[]): ZoneAssignment {
  const overlaps = overlapsOf(ports, () => undefined);
  const zoneOf = zonesOfNetworks(overlaps.map(({ networkIds: [, later] }) => later));
  const devices = new Map<string, number>();
  for (const port of ports) {
    const zone = zoneOf.get(port.networkId);
    if (zone !== undefined) devices.set(port.device, zone);
  }
  return { zones: sortedByName(devices), devices: new Map(), vlans: [], overlaps };
}

/** The first of each network that uses, on the same bridge, an address of one before it (by id). */
function overlapsOf(ports: readonly Port[], bridgeOf: (port: Port) => string | undefined): readonly NetworkOverlap[] {
  const networkOf = new Map<string, string>();
  const overlaps = new Map<string, NetworkOverlap>();
  for (const port of [...ports].sort((a, b) => (a.networkId < b.networkId ? -1 : 1))) {
    const bridge = bridgeOf(port);
    for (const address of exactAddresses(port)) {
      const place = `${bridge ?? ''} ${address}`;
      const first = networkOf.get(place);
      if (first === undefined) networkOf.set(place, port.networkId);
      else if (first !== port.networkId && !overlaps.has(port.networkId)) {
        overlaps.set(port.networkId, { bridge, address, networkIds: [first, port.networkId] });
      }
    }
  }
  return [...overlaps.values()];
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
