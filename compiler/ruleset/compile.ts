/** Stage 3: host policy -> ruleset. Puts the fixed part, the group chains, the profiles and the ports together. */
import { isExact, type Direction, type Mac, type Port, type Prefix } from '../../src/model/index.js';
import { hasFamily, linkLocalAddress, ownAddresses, ownMacs, type HostPolicy, type MemberSet } from '../host-policy.js';
import { shortNames } from '../names.js';
import type { CompileOptions } from '../options.js';
import { aggregatePrefixes } from '../prefixes.js';
import { ACCEPT, DROP, goTo, intervalSet, namedSet, plainSet } from './build.js';
import { groupProgram, type GroupProgram, type MemberSetNames } from './group-chain.js';
import { profileChain, profileChainName, profilesOf, type Profile } from './profiles.js';
import {
  arpBaseChain,
  arpChains,
  baseChains,
  CHAINS,
  MAC_FIELDS,
  ND_TARGET_FIELDS,
  policyChains,
  SETS,
  SOURCE4_FIELDS,
  SOURCE6_FIELDS,
  zoneChains,
} from './skeleton.js';
import type { Chain, Key, MapElement, NamedSet, Ruleset, Table, TableFamily, Verdict } from './types.js';

/** The name of each of our tables. */
export const TABLE_NAME = 'portcullis';

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

/** Compiles what a host needs into a ruleset. Deterministic: equal policies give equal rulesets. */
export function compileRuleset(policy: HostPolicy, options: CompileOptions): Ruleset {
  const profiles = profilesOf(policy.ports, policy.groups);
  const sources = sourceSets(policy.ports);
  const policyTable = mainTable(policy, profiles, sources, options);
  switch (options.datapath) {
    case 'bridge':
      return { datapath: 'bridge', tables: [policyTable] };
    case 'routed':
      return { datapath: 'routed', tables: [policyTable, arpTable(policy, sources, options)] };
  }
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
  const zones = zoneSets(policy, options);
  return table(
    datapath === 'bridge' ? 'bridge' : 'inet',
    [
      ...sources.ipv4,
      ...sources.ipv6,
      ...memberSets(policy),
      ...programs.flatMap((program) => program.sets),
      ...DIRECTIONS.map((direction) =>
        portMap(policy.ports, direction, (port) => toProfile(profiles, port, direction)),
      ),
      ...zones,
    ],
    [
      ...policyChains(datapath, options),
      ...programs.map((program) => program.chain),
      ...distinct.flatMap((profile) => DIRECTIONS.map((direction) => profileChain(profile, direction, names))),
      ...(zones.length > 0 ? zoneChains(datapath) : []),
      ...baseChains(datapath, options),
    ],
  );
}

/** The routed datapath's ARP guard: table inet does not see ARP. */
function arpTable(policy: HostPolicy, sources: SourceSets, options: CompileOptions): Table {
  return table(
    'arp',
    [...sources.ipv4Arp, portMap(policy.ports, 'egress', () => goTo(CHAINS.arpGuard))],
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

function portMap(ports: readonly Port[], direction: Direction, filtered: (port: Port) => Verdict): NamedSet {
  const field = direction === 'egress' ? 'iifname' : 'oifname';
  const elements: readonly MapElement<Verdict>[] = ports.map((port) => ({
    key: [port.device],
    data: portVerdict(port, filtered),
  }));
  return namedSet(direction === 'egress' ? SETS.fromPort : SETS.toPort, [field], false, { data: 'verdict', elements });
}

function portVerdict(port: Port, filtered: (port: Port) => Verdict): Verdict {
  switch (port.filtering) {
    case 'filtered':
      return filtered(port);
    case 'port-security-off':
    case 'trusted':
      return ACCEPT;
    case 'down':
      return DROP;
  }
}

function toProfile(profiles: ReadonlyMap<string, Profile>, port: Port, direction: Direction): Verdict {
  const profile = profiles.get(port.id);
  return profile === undefined ? DROP : goTo(profileChainName(profile, direction));
}

// Own addresses

interface SourceSets {
  readonly ipv4: readonly NamedSet[];
  /** The sets of `ipv4` that the ARP guard needs. */
  readonly ipv4Arp: readonly NamedSet[];
  readonly ipv6: readonly NamedSet[];
}

function sourceSets(allPorts: readonly Port[]): SourceSets {
  const ports = allPorts.filter((port) => port.filtering === 'filtered');
  const own = ports.map((port) => ownKeys(port));
  const pick = (choose: (keys: OwnKeys) => readonly Key[]): readonly Key[] => own.flatMap(choose);
  const ipv4 = [
    plainSet(
      SETS.sources4,
      SOURCE4_FIELDS,
      pick((keys) => keys.sources4),
    ),
    intervalSet(
      SETS.sourcePrefixes4,
      SOURCE4_FIELDS,
      pick((keys) => keys.sourcePrefixes4),
    ),
    plainSet(
      SETS.macs4,
      MAC_FIELDS,
      pick((keys) => keys.macs4),
    ),
  ];
  return {
    ipv4,
    ipv4Arp: ipv4,
    ipv6: [
      plainSet(
        SETS.macs,
        MAC_FIELDS,
        pick((keys) => keys.macs),
      ),
      plainSet(
        SETS.sources6,
        SOURCE6_FIELDS,
        pick((keys) => keys.sources6),
      ),
      intervalSet(
        SETS.sourcePrefixes6,
        SOURCE6_FIELDS,
        pick((keys) => keys.sourcePrefixes6),
      ),
      plainSet(
        SETS.ndTargets,
        ND_TARGET_FIELDS,
        pick((keys) => keys.ndTargets),
      ),
      intervalSet(
        SETS.ndTargetPrefixes,
        ND_TARGET_FIELDS,
        pick((keys) => keys.ndTargetPrefixes),
      ),
    ],
  };
}

/** What one port adds to the sets of own addresses. */
interface OwnKeys {
  /** Device, MAC and exact address, link-local ones included; prefixes apart, disjoint for each MAC. */
  readonly sources4: readonly Key[];
  readonly sourcePrefixes4: readonly Key[];
  readonly sources6: readonly Key[];
  readonly sourcePrefixes6: readonly Key[];
  /** Device and MAC; `macs4` only if the port has an IPv4 address. */
  readonly macs: readonly Key[];
  readonly macs4: readonly Key[];
  /** Device and IPv6 address, whatever the MAC. */
  readonly ndTargets: readonly Key[];
  readonly ndTargetPrefixes: readonly Key[];
}

function ownKeys(port: Port): OwnKeys {
  const { device } = port;
  const byMac = new Map<Mac, Prefix[]>(ownMacs(port).map((mac) => [mac, [linkLocalAddress(mac)]]));
  for (const { mac, prefix } of ownAddresses(port)) byMac.get(mac)?.push(prefix);
  const macs = [...byMac.keys()].sort().map((mac) => [device, mac]);
  const targets = [...byMac.values()].flat().filter((prefix) => prefix.family === 'IPv6');
  const sources = [...byMac]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([mac, prefixes]) => exactAndPrefixes(prefixes).map((prefix) => ({ prefix, key: [device, mac, prefix] })));
  const choose = (exact: boolean, family: Prefix['family']): readonly Key[] =>
    sources.filter(({ prefix }) => isExact(prefix) === exact && prefix.family === family).map(({ key }) => key);
  return {
    sources4: choose(true, 'IPv4'),
    sourcePrefixes4: choose(false, 'IPv4'),
    sources6: choose(true, 'IPv6'),
    sourcePrefixes6: choose(false, 'IPv6'),
    macs,
    macs4: hasFamily(port, 'IPv4') ? macs : [],
    ndTargets: exactAndPrefixes(targets)
      .filter(isExact)
      .map((prefix) => [device, prefix]),
    ndTargetPrefixes: exactAndPrefixes(targets)
      .filter((prefix) => !isExact(prefix))
      .map((prefix) => [device, prefix]),
  };
}

/** Distinct exact addresses, then the prefixes, aggregated. Sorted. */
function exactAndPrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  const exact = new Map(prefixes.filter(isExact).map((prefix) => [prefix.text, prefix]));
  return [
    ...[...exact.values()].sort((a, b) => (a.text < b.text ? -1 : 1)),
    ...aggregatePrefixes(prefixes.filter((prefix) => !isExact(prefix))),
  ];
}

// Members and groups

function memberSetNames(policy: HostPolicy): ReadonlyMap<string, MemberSetNames> {
  const short = remoteNames(policy);
  return new Map(
    [...policy.memberSets].map(([key, set]) => {
      const prefix = `${set.kind === 'security-group' ? 'sg' : 'ag'}_${short.get(set.id) ?? set.id}`;
      const digit = set.family === 'IPv4' ? '4' : '6';
      return [
        key,
        {
          addresses: `${prefix}_addresses${digit}`,
          prefixes: set.prefixes.length === 0 ? undefined : `${prefix}_prefixes${digit}`,
        },
      ];
    }),
  );
}

function remoteNames(policy: HostPolicy): ReadonlyMap<string, string> {
  return shortNames(new Set([...policy.memberSets.values()].map((set) => set.id)));
}

function memberSets(policy: HostPolicy): readonly NamedSet[] {
  const names = memberSetNames(policy);
  return [...policy.memberSets].flatMap(([key, set]) => {
    const own = names.get(key);
    if (own === undefined) return [];
    const field = memberField(set);
    return [
      plainSet(
        own.addresses,
        [field],
        set.addresses.map((prefix) => [prefix]),
      ),
      ...(own.prefixes === undefined
        ? []
        : [
            intervalSet(
              own.prefixes,
              [field],
              set.prefixes.map((prefix) => [prefix]),
            ),
          ]),
    ];
  });
}

/** Any field of the right type will do: one set serves source and destination look-ups. */
function memberField(set: MemberSet): 'ip saddr' | 'ip6 saddr' {
  return set.family === 'IPv4' ? 'ip saddr' : 'ip6 saddr';
}

function groupPrograms(policy: HostPolicy, names: ReadonlyMap<string, string>): readonly GroupProgram[] {
  const setNames = memberSetNames(policy);
  const shared = { memberSetNames: setNames, shortNames: remoteNames(policy) };
  return [...policy.groups.values()].flatMap((group) =>
    DIRECTIONS.map((direction) => groupProgram(group, direction, { ...shared, name: names.get(group.id) ?? group.id })),
  );
}

// Zones

function zoneSets(policy: HostPolicy, options: CompileOptions): readonly NamedSet[] {
  const elements = [...policy.zones.zones].map(([name, zone]) => ({ key: [name], data: zone }));
  switch (options.datapath) {
    case 'bridge':
      return [namedSet(SETS.zones, ['ibrname'], false, { data: 'zone', elements })];
    case 'routed':
      return elements.length === 0 ? [] : [namedSet(SETS.zones, ['iifname'], false, { data: 'zone', elements })];
  }
}
