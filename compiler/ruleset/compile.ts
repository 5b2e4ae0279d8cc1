/** Stage 3: host policy -> ruleset. Puts the fixed part, the group chains, the profiles and the ports together. */
import type { Direction, Family, Port, Prefix } from '../model/index.js';
import type { HostPolicy, MemberSet } from '../host-policy.js';
import { shortNames } from '../names.js';
import { isManagedDevice, type CompileOptions } from '../options.js';
import { BRIDGE_SETS, seenChains } from './admission.js';
import { audited } from './audit.js';
import { ACCEPT, DROP, goTo, intervalSet, is, namedSet, plainSet, tallySet } from './build.js';
import { closedTable, TABLE_NAME } from './closed.js';
import { ETHERTYPE } from './ethertype.js';
import { bridgeGuard, GUARDED, owedToBridge, routedGuard } from './guard.js';
import { groupProgram, type GroupProgram, type MemberSetNames } from './group-chain.js';
import { membersRole, memberSetNames } from './member-set-names.js';
import { distinctKeys, ownKeys, ownSets } from './own-sets.js';
import { profileChain, profileChainName, profilesOf, type Profile } from './profiles.js';
import {
  arpBaseChain,
  arpChains,
  baseChains,
  besideBridgeChains,
  CHAINS,
  LINK_ONLY,
  linkOnlyChains,
  policyBaseChains,
  policyChains,
  SETS,
  zonePrograms,
} from './skeleton.js';
import type { Chain, Field, Key, MapElement, NamedSet, Ruleset, Table, TableFamily, Verdict } from './types.js';
import { isBridged, type Datapath } from '../datapath.js';

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

/** Compiles what a host needs into a ruleset. Deterministic: equal policies give equal rulesets. */
export function compileRuleset(policy: HostPolicy, options: CompileOptions): Ruleset {
  const ruleset = enforcing(policy, options);
  return options.audit ? audited(ruleset) : ruleset;
}

function enforcing(policy: HostPolicy, options: CompileOptions): Ruleset {
  const profiles = profilesOf(policy.ports, policy.groups);
  const sources = sourceSets(policy.ports, profiles, options.datapath);
  const policyTable = mainTable(policy, profiles, sources, options);
  const { datapath } = options;
  // Who takes a tap off its bridge, or plugs a routed one into a bridge, takes its packets past the policy: there it is closed.
  if (isBridged(datapath)) {
    return { datapath, tables: [policyTable, besideBridge(policy, options), closedTable('arp', options)] };
  }
  return { datapath, tables: [policyTable, arpTable(policy, sources, options), closedTable('bridge', options)] };
}

/** The families of the table that holds the policy, and of the one beside it. */
export function tableFamilies(datapath: Datapath): { readonly policy: TableFamily; readonly beside: TableFamily } {
  return isBridged(datapath) ? { policy: 'bridge', beside: 'inet' } : { policy: 'inet', beside: 'arp' };
}

function mainTable(
  policy: HostPolicy,
  profiles: ReadonlyMap<string, Profile>,
  sources: SourceSets,
  options: CompileOptions,
): Table {
  const { datapath } = options;
  const distinct = [...new Map([...profiles.values()].map((profile) => [profile.name, profile])).values()].sort(
    (a, b) => (a.name < b.name ? -1 : 1),
  );
  const names = shortNames(policy.groups.keys());
  const programs = groupPrograms(policy, names);
  const { policy: family } = tableFamilies(datapath);
  const zones = zonePart(family, policy, datapath);
  return table(
    family,
    [
      ...sources.all,
      ...memberSets(policy),
      ...programs.flatMap((program) => program.sets),
      ...DIRECTIONS.map((direction) =>
        portMap(
          policy.ports,
          direction,
          (port) => toProfile(profiles, port, direction),
          unfilteredVerdict(datapath, direction),
        ),
      ),
      ...zones.sets,
      ...DIRECTIONS.map(tallySet),
    ],
    [
      ...policyChains(datapath, options),
      ...programs.map((program) => program.chain),
      ...distinct.flatMap((profile) =>
        DIRECTIONS.map((direction) => profileChain(profile, direction, names, datapath)),
      ),
      ...zones.chains,
      ...policyBaseChains(datapath, options),
    ],
  );
}

/** What table bridge cannot say of zones and connections, and of taps that are on no bridge. */
function besideBridge(policy: HostPolicy, options: CompileOptions): Table {
  const zones = zonePart('inet', policy, options.datapath);
  const closed = closedTable('inet', options);
  return table(
    'inet',
    [...zones.sets, ...closed.sets.values()],
    [...besideBridgeChains(options), ...zones.chains, ...closed.chains.values()],
  );
}

/**
 * What iptables never sees, as tables of nftables: ARP and, on bridges, every other frame that is not IP; all that would
 * pass by it, on a bridge where the host routes, and off it where ports are on bridges; and the guard of what it is to see.
 */
export function besideIptables(policy: HostPolicy, options: CompileOptions): readonly Table[] {
  const sources = sourceSets(policy.ports, profilesOf(policy.ports, policy.groups), options.datapath);
  if (isBridged(options.datapath)) {
    const closed = closedTable('inet', options);
    const inet = table(
      'inet',
      [...closed.sets.values()],
      [...seenChains(options), owedToBridge(options), ...closed.chains.values()],
    );
    return [linkTable(policy, sources, options), inet, closedTable('arp', options)];
  }
  const others = guardedDevices(policy).filter((device) => !isManagedDevice(options, device));
  const guard = table(
    'inet',
    [guardedSet(others), ...DIRECTIONS.map(tallySet)],
    routedGuard(others.length > 0, options),
  );
  return [guard, arpTable(policy, sources, options), closedTable('bridge', options)];
}

/** Devices whose packets iptables must have let pass; where the host routes those of the managed prefix are so in any case. */
function guardedDevices({ ports }: HostPolicy): readonly string[] {
  const guarded = ports.filter(({ filtering }) => filtering === 'filtered' || filtering === 'down');
  return [...new Set(guarded.map(({ device }) => device))].sort();
}

function guardedSet(devices: readonly string[]): NamedSet {
  return plainSet(
    GUARDED,
    ['iifname'],
    devices.map((device) => [device]),
  );
}

function linkTable(policy: HostPolicy, sources: SourceSets, options: CompileOptions): Table {
  return table(
    'bridge',
    [
      ...sources.link,
      guardedSet(guardedDevices(policy)),
      ...DIRECTIONS.map((direction) => portMap(policy.ports, direction, () => goTo(LINK_ONLY[direction]))),
      ...DIRECTIONS.map(tallySet),
    ],
    [
      ...linkOnlyChains(options),
      ...bridgeGuard(is('ether type', ETHERTYPE.IPv4, ETHERTYPE.IPv6), options),
      ...baseChains(options.datapath, options),
    ],
  );
}

/** The routed datapath's ARP guard: table inet does not see ARP. */
function arpTable(policy: HostPolicy, sources: SourceSets, options: CompileOptions): Table {
  return table(
    'arp',
    [...sources.arp, portMap(policy.ports, 'egress', () => goTo(CHAINS.arpGuard)), tallySet('egress')],
    [...arpChains(), arpBaseChain(options)],
  );
}

function table(family: TableFamily, sets: readonly NamedSet[], chains: readonly Chain[]): Table {
  return {
    family,
    name: TABLE_NAME,
    sets: uniqueByName(sets),
    chains: uniqueByName(chains),
  };
}

/** Two objects of one name would silently become one: refuse, since only a digest's collision can cause it. */
function uniqueByName<T extends { readonly name: string }>(items: readonly T[]): ReadonlyMap<string, T> {
  const byName = new Map(items.map((item) => [item.name, item]));
  if (byName.size !== items.length) throw new Error('two kernel objects would get one name');
  return byName;
}

// Ports

function portMap(
  ports: readonly Port[],
  direction: Direction,
  filtered: (port: Port) => Verdict,
  unfiltered: Verdict = ACCEPT,
): NamedSet {
  const elements: readonly MapElement<Verdict>[] = ports.map((port) => ({
    key: [port.device],
    data: portVerdict(port, filtered, unfiltered),
  }));
  return namedSet(portMapName(direction), [portMapField(direction)], false, { data: 'verdict', elements });
}

/** The map that leads from a device to its port's profile. */
export function portMapName(direction: Direction): string {
  return direction === 'egress' ? SETS.fromPort : SETS.toPort;
}

export function portMapField(direction: Direction): 'iifname' | 'oifname' {
  return direction === 'egress' ? 'iifname' : 'oifname';
}

/** Where the host routes, who is not filtered may not send as another port all the same. */
export function unfilteredVerdict(datapath: Datapath, direction: Direction): Verdict {
  return datapath === 'routed' && direction === 'egress' ? goTo(CHAINS.unfilteredOut) : ACCEPT;
}

/** What a port's device leads to; `filtered` says it for ports that are filtered, `unfiltered` is for those without port security. */
export function portVerdict(port: Port, filtered: (port: Port) => Verdict, unfiltered: Verdict = ACCEPT): Verdict {
  switch (port.filtering) {
    case 'filtered':
      return filtered(port);
    case 'port-security-off':
      return unfiltered;
    case 'trusted':
      return ACCEPT;
    case 'down':
    case 'closed':
      return DROP;
  }
}

function toProfile(profiles: ReadonlyMap<string, Profile>, port: Port, direction: Direction): Verdict {
  const profile = profiles.get(port.id);
  return profile === undefined ? DROP : goTo(profileChainName(profile, direction));
}

// Own addresses

interface SourceSets {
  readonly all: readonly NamedSet[];
  /** Those that the ARP guard needs. */
  readonly arp: readonly NamedSet[];
  /** Those that frames which are not IP need. */
  readonly link: readonly NamedSet[];
}

function sourceSets(ports: readonly Port[], profiles: ReadonlyMap<string, Profile>, datapath: Datapath): SourceSets {
  const own = ports
    .filter((port) => port.filtering === 'filtered')
    .map((port) => ownKeys(port, profiles.get(port.id)?.stateful ?? false));
  const all = ownSets(datapath).map((set) => ({
    forArp: set.forArp,
    forLink: set.forArp || set.name === SETS.macs,
    set: (set.interval ? intervalSet : plainSet)(
      set.name,
      set.fields,
      distinctKeys(
        set.fields,
        own.flatMap((keys) => set.keys(keys)),
      ),
    ),
  }));
  return {
    all: all.map(({ set }) => set),
    arp: all.filter(({ forArp }) => forArp).map(({ set }) => set),
    link: all.filter(({ forLink }) => forLink).map(({ set }) => set),
  };
}

// Members and groups

function memberNames(policy: HostPolicy): ReadonlyMap<string, MemberSetNames> {
  const short = remoteNames(policy);
  return new Map(
    [...policy.memberSets].map(([key, set]) => [
      key,
      memberSetNames(set, short.get(set.id) ?? set.id, set.prefixes.length > 0),
    ]),
  );
}

function remoteNames(policy: HostPolicy): ReadonlyMap<string, string> {
  return shortNames(new Set([...policy.memberSets.values()].map((set) => set.id)));
}

function memberSets(policy: HostPolicy): readonly NamedSet[] {
  const names = memberNames(policy);
  return [...policy.memberSets].flatMap(([key, set]) => {
    const own = names.get(key);
    return own === undefined ? [] : namedMemberSets(set, own);
  });
}

/** The kernel's sets of a member set: hash set of addresses, interval set of prefixes where there are any. */
export function namedMemberSets(set: MemberSet, names: MemberSetNames): readonly NamedSet[] {
  const field = memberField(set);
  const keys = (prefixes: readonly Prefix[]): readonly Key[] => prefixes.map((prefix) => [prefix]);
  return [
    plainSet(names.addresses, [field], keys(set.addresses), membersRole(set, 'addresses')),
    ...(names.prefixes === undefined
      ? []
      : [intervalSet(names.prefixes, [field], keys(set.prefixes), membersRole(set, 'prefixes'))]),
  ];
}

/** Any field of the right type will do: one set serves source and destination look-ups. */
export function memberField(set: Pick<MemberSet, 'family'>): 'ip saddr' | 'ip6 saddr' {
  return set.family === 'IPv4' ? 'ip saddr' : 'ip6 saddr';
}

function groupPrograms(policy: HostPolicy, names: ReadonlyMap<string, string>): readonly GroupProgram[] {
  const setNames = memberNames(policy);
  const shared = { memberSetNames: setNames, shortNames: remoteNames(policy) };
  return [...policy.groups.values()].flatMap((group) =>
    DIRECTIONS.map((direction) => groupProgram(group, direction, { ...shared, name: names.get(group.id) ?? group.id })),
  );
}

// Zones

/** The maps of zones and their chains, in one table; none where every port is in zone 0. Beside table bridge, what is a bridge. */
export function zonePart(
  family: TableFamily,
  { zones }: Pick<HostPolicy, 'zones'>,
  datapath: Datapath,
): { readonly sets: readonly NamedSet[]; readonly chains: readonly Chain[] } {
  const bridges = family === 'inet' && datapath === 'bridge-netfilter' ? bridgeSets(zones.bridges) : [];
  const isShared = zones.devices.size > 0;
  const program = zonePrograms(datapath, isShared).find((one) => one.family === family);
  if (program === undefined || zones.zones.size + zones.devices.size + zones.sources.length === 0) {
    return { sets: bridges, chains: [] };
  }
  const zoneMap = (name: string, fields: readonly Field[], content: readonly MapElement<number>[]): NamedSet =>
    namedSet(name, fields, false, { data: 'zone', elements: content });
  const byName = (named: ReadonlyMap<string, number>): readonly MapElement<number>[] =>
    [...named].map(([name, zone]) => ({ key: [name], data: zone }));
  const bySource = (family: Family): readonly MapElement<number>[] =>
    zones.sources
      .filter(({ source }) => source.family === family)
      .map(({ device, source, zone }) => ({ key: [device, source], data: zone }));
  const ofSharedBridges = [
    zoneMap(SETS.zonesOfDevices, ['iifname'], byName(zones.devices)),
    zoneMap(
      SETS.zonesOfVlans,
      ['ibrname', 'vlan id'],
      zones.vlans.map(({ bridge, vlan, zone }) => ({ key: [bridge, vlan], data: zone })),
    ),
  ];
  const ofSources = [
    zoneMap(SETS.zonesOfSources4, ['iifname', 'ip saddr'], bySource('IPv4')),
    zoneMap(SETS.zonesOfSources6, ['iifname', 'ip6 saddr'], bySource('IPv6')),
  ];
  return {
    sets: [
      ...bridges,
      ...(isShared && family === 'bridge' ? ofSharedBridges : []),
      ...(datapath === 'routed' ? ofSources : []),
      zoneMap(SETS.zones, [program.field], byName(zones.zones)),
    ],
    chains: program.chains,
  };
}

function bridgeSets(bridges: readonly string[]): readonly NamedSet[] {
  return [
    plainSet(
      BRIDGE_SETS.bridges,
      ['oifname'],
      bridges.map((bridge) => [bridge]),
    ),
    plainSet(
      BRIDGE_SETS.crossings,
      ['iifname', 'oifname'],
      bridges.map((bridge) => [bridge, bridge]),
    ),
  ];
}
