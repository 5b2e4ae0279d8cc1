/**
 * Connection tracking zones: tenants whose addresses overlap on one host must never share a conntrack entry.
 *
 * All ports share zone 0, the host's own, in which flows between networks, to the host and to the outside are followed from
 * both ends, address translation of the host included. Only who overlaps leaves it:
 *
 * - Two networks whose ports have one fixed IP: the later network (by id), by device when routed, by bridge otherwise.
 * - A port whose allowed address pair covers a fixed IP of another network: routed, its packets from that address, by device
 *   and source; on bridges its network. The owner of a fixed IP never pays for somebody's pair.
 * - On a bridge that networks share, each whose VLAN is known, by the port's device and by the VLAN of what comes from
 *   elsewhere. See docs/decisions/zones.md.
 */
import { covers, isExact, type Port, type Prefix } from './model/index.js';
import { digest } from './names.js';
import { isBridged, type Datapath } from './datapath.js';

export interface ZoneAssignment {
  /** Zone by bridge name (bridge datapath) or by device name (routed datapath), sorted by name. */
  readonly zones: ReadonlyMap<string, number>;
  /** Zone by device, of ports whose networks share a bridge and are told apart by VLAN (bridge datapath); sorted by name. */
  readonly devices: ReadonlyMap<string, number>;
  /** The same for what comes from elsewhere, sorted. */
  readonly vlans: readonly VlanZone[];
  /** Zone by device and source address (routed datapath), sorted: sources that a port has by a pair, and another network as its own. */
  readonly sources: readonly SourceZone[];
  /** Bridges of ports, sorted. */
  readonly bridges: readonly string[];
  /** Networks that use one address, where that costs something: routed the second, on one bridge both. */
  readonly overlaps: readonly NetworkOverlap[];
}

export interface VlanZone {
  readonly bridge: string;
  readonly vlan: number;
  readonly zone: number;
}

export interface SourceZone {
  readonly device: string;
  /** Exact. */
  readonly source: Prefix;
  readonly zone: number;
}

export interface NetworkOverlap {
  /** Where both share the zone of one bridge; undefined when routed. */
  readonly bridge: string | undefined;
  readonly address: string;
  /** The second pays. */
  readonly networkIds: readonly [string, string];
  /** The port of the second whose pair covers a fixed IP of the first; undefined where both have it as fixed IP or exact pair. */
  readonly holder: Port | undefined;
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

/**
 * The zone of a port's packets; 0 where none is assigned.
 * @param source from where, if that is known.
 */
export function zoneOfPort(
  { zones, devices, sources }: ZoneAssignment,
  port: Port,
  datapath: Datapath,
  source?: Prefix,
): number {
  if (isBridged(datapath)) return devices.get(port.device) ?? zones.get(port.bridge) ?? 0;
  const own = zones.get(port.device);
  if (own !== undefined || source === undefined) return own ?? 0;
  return sources.find((one) => one.device === port.device && one.source.text === source.text)?.zone ?? 0;
}

/** What an operator is told of an overlap. */
export function overlapText({ bridge, address, networkIds, holder }: NetworkOverlap): string {
  const where = `${address} is used in networks ${networkIds.join(' and ')}`;
  if (bridge !== undefined) {
    return `${where}: both are on bridge ${bridge} and share its conntrack zone; --datapath bridge with the VLANs of both (provider:segmentation_id) keeps them apart`;
  }
  if (holder !== undefined) {
    return `${where}: an allowed address pair of port ${holder.id} covers it; what that port sends from there is kept apart, and answers from outside the host do not reach it`;
  }
  return `${where}: the second is kept apart, and answers from outside the host do not reach it; the bridge datapath has no such limit`;
}

/** What the overlaps of a topology would cost on each of its hosts, when routed. Without a host's name: of ports that have none. */
export function overlapsByHost(ports: Iterable<Port>): ReadonlyMap<string, readonly NetworkOverlap[]> {
  const byHost = new Map<string, Port[]>();
  for (const port of ports) {
    const host = port.host ?? '';
    const same = byHost.get(host);
    if (same === undefined) byHost.set(host, [port]);
    else same.push(port);
  }
  return new Map(
    [...byHost]
      .map(([host, some]) => [host, assignZones(some, 'routed').overlaps] as const)
      .filter(([, found]) => found.length > 0),
  );
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

/** A network that overlaps with an earlier one gives its bridge a zone; on a shared bridge each network of known VLAN has its own. */
function bridgeZones(ports: readonly Port[], shared: ReadonlySet<string>): ZoneAssignment {
  const overlaps = [...overlapsOf(ports), ...pairOverlaps(ports)];
  const later = new Set(overlaps.map(({ networkIds: [, second] }) => second));
  const isTold = ({ bridge, vlan }: Port): boolean => shared.has(bridge) && vlan !== undefined;
  const isZoned = (port: Port): boolean => isTold(port) || later.has(port.networkId);
  const zoneOf = zonesOfNetworks(ports.filter(isZoned).map((port) => port.networkId));
  const [bridges, devices] = [new Map<string, number>(), new Map<string, number>()];
  const vlans = new Map<string, VlanZone>();
  for (const port of ports) {
    const zone = zoneOf.get(port.networkId);
    if (zone === undefined || !isZoned(port)) continue;
    const { bridge, device, vlan } = port;
    if (vlan === undefined || !isTold(port)) bridges.set(bridge, zone);
    else {
      devices.set(device, zone);
      vlans.set(`${bridge} ${vlan.toString().padStart(4, '0')}`, { bridge, vlan, zone });
    }
  }
  const bridgesOf = (networkId: string): ReadonlySet<string> =>
    new Set(ports.filter((port) => port.networkId === networkId && !isTold(port)).map(({ bridge }) => bridge));
  return {
    zones: sortedByName(bridges),
    devices: sortedByName(devices),
    vlans: [...vlans].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, zone]) => zone),
    sources: [],
    bridges: [...new Set(ports.map(({ bridge }) => bridge))].sort(),
    overlaps: overlaps.flatMap((overlap): NetworkOverlap[] => {
      const [first, second] = overlap.networkIds.map(bridgesOf);
      const common = [...(second ?? [])].sort().find((bridge) => first?.has(bridge) === true);
      return common === undefined ? [] : [{ ...overlap, bridge: common }];
    }),
  };
}

function routedZones(ports: readonly Port[]): ZoneAssignment {
  const overlaps = overlapsOf(ports);
  const pairs = pairOverlaps(ports);
  const later = new Set(overlaps.map(({ networkIds: [, second] }) => second));
  const paying = pairs.filter(({ networkIds: [first, second] }) => !later.has(first) && !later.has(second));
  const zoneOf = zonesOfNetworks([...later, ...paying.map(({ networkIds: [, second] }) => second)]);
  const devices = new Map<string, number>();
  for (const port of ports) {
    const zone = later.has(port.networkId) ? zoneOf.get(port.networkId) : undefined;
    if (zone !== undefined) devices.set(port.device, zone);
  }
  const sources = new Map<string, SourceZone>();
  for (const { holder, source } of paying) {
    const zone = zoneOf.get(holder.networkId);
    if (zone === undefined) continue;
    sources.set(`${holder.device} ${source.text}`, { device: holder.device, source, zone });
  }
  return {
    zones: sortedByName(devices),
    devices: new Map(),
    vlans: [],
    sources: [...sources].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, source]) => source),
    bridges: [],
    overlaps: [...overlaps, ...firstOfEach(paying)],
  };
}

function byNetwork(ports: readonly Port[]): readonly Port[] {
  return [...ports].sort((a, b) =>
    a.networkId < b.networkId ? -1 : a.networkId > b.networkId ? 1 : a.id < b.id ? -1 : 1,
  );
}

/** The first of each network that has a fixed IP of one before it (by id). */
function overlapsOf(ports: readonly Port[]): readonly NetworkOverlap[] {
  const networkOf = new Map<string, string>();
  const overlaps = new Map<string, NetworkOverlap>();
  for (const port of byNetwork(ports)) {
    for (const { text: address } of port.fixedIps) {
      const first = networkOf.get(address);
      if (first === undefined) networkOf.set(address, port.networkId);
      else if (first !== port.networkId && !overlaps.has(port.networkId)) {
        overlaps.set(port.networkId, {
          bridge: undefined,
          address,
          networkIds: [first, port.networkId],
          holder: undefined,
        });
      }
    }
  }
  return [...overlaps.values()];
}

interface PairOverlap extends NetworkOverlap {
  readonly holder: Port;
  readonly source: Prefix;
}

/**
 * Addresses that a port has by a pair, and another network as a fixed IP. Where both have it by exact pairs, or one by a pair
 * that covers the other's exact one, the wider or else the later network (by id) is the holder.
 */
function pairOverlaps(ports: readonly Port[]): readonly PairOverlap[] {
  const holders = byNetwork(ports).filter(({ allowedAddressPairs }) => allowedAddressPairs.length > 0);
  if (holders.length === 0) return [];
  const fixed = new Map<string, Owner[]>();
  const paired = new Map<string, Owner[]>();
  const note = (owners: Map<string, Owner[]>, source: Prefix, networkId: string): void => {
    const known = owners.get(source.text);
    if (known === undefined) owners.set(source.text, [{ source, networkId }]);
    else if (known.every((owner) => owner.networkId !== networkId)) known.push({ source, networkId });
  };
  for (const port of byNetwork(ports)) for (const source of port.fixedIps) note(fixed, source, port.networkId);
  for (const port of holders) {
    for (const { prefix } of port.allowedAddressPairs) if (isExact(prefix)) note(paired, prefix, port.networkId);
  }
  const everyOwner = [...[...fixed.values()].flat(), ...[...paired.values()].flat()];
  return holders.flatMap((holder) => {
    const own = new Set(holder.fixedIps.map(({ text }) => text));
    return holder.allowedAddressPairs.flatMap(({ prefix }) => {
      const owners = isExact(prefix)
        ? [
            ...(fixed.get(prefix.text) ?? []),
            ...(paired.get(prefix.text) ?? []).filter(({ networkId }) => networkId < holder.networkId),
          ]
        : everyOwner.filter(({ source }) => covers(prefix, source));
      return owners
        .filter(({ source, networkId }) => networkId !== holder.networkId && !own.has(source.text))
        .map(({ source, networkId }): PairOverlap => ({
          bridge: undefined,
          address: source.text,
          networkIds: [networkId, holder.networkId],
          holder,
          source,
        }));
    });
  });
}

interface Owner {
  readonly source: Prefix;
  readonly networkId: string;
}

/** One for each holder: an operator needs no list of all addresses that a wide pair covers. */
function firstOfEach(overlaps: readonly PairOverlap[]): readonly PairOverlap[] {
  return [...new Map([...overlaps].reverse().map((overlap) => [overlap.holder.id, overlap])).values()].reverse();
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
