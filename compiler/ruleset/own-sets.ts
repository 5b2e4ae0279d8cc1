/** The sets of own addresses: what anti-spoofing lets each filtered port send from. */
import {
  FAMILIES,
  isExact,
  type Family,
  type Mac,
  type Port,
  type Prefix,
  type SecurityGroup,
} from '../model/index.js';
import { hasFamily, linkLocalAddress, ownAddresses, ownMacs } from '../host-policy.js';
import { aggregatePrefixes } from '../prefixes.js';
import { intervalSet, plainSet } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { MAC_FIELDS, ND_TARGET_FIELDS, SETS, SOURCE4_FIELDS, SOURCE6_FIELDS } from './fixed-names.js';
import { isStateful } from './profiles.js';
import type { Field, Key, NamedSet } from './types.js';
import type { Datapath } from '../datapath.js';

export interface OwnSet {
  readonly name: string;
  readonly fields: readonly Field[];
  /** True when keys may be prefixes. */
  readonly interval: boolean;
  /** True when the ARP guard of the routed datapath needs it, too. */
  readonly forArp: boolean;
  /** Absent: in every datapath. */
  readonly only?: readonly Datapath[];
  /** What one port adds. */
  readonly keys: (own: OwnKeys) => readonly Key[];
}

/** What frames ask that are not IP, ARP among them; nothing of IPv6 and of groups. In order of creation. */
const LINK_SETS: readonly (OwnSet & { readonly keys: (own: LinkKeys) => readonly Key[] })[] = [
  { name: SETS.sources4, fields: SOURCE4_FIELDS, interval: false, forArp: true, keys: (own) => own.sources4 },
  {
    name: SETS.sourcePrefixes4,
    fields: SOURCE4_FIELDS,
    interval: true,
    forArp: true,
    keys: (own) => own.sourcePrefixes4,
  },
  { name: SETS.macs4, fields: MAC_FIELDS, interval: false, forArp: true, keys: (own) => own.macs4 },
  { name: SETS.macs, fields: MAC_FIELDS, interval: false, forArp: false, keys: (own) => own.macs },
];

/** In order of creation. */
const OWN_SETS: readonly OwnSet[] = [
  ...LINK_SETS,
  { name: SETS.sources6, fields: SOURCE6_FIELDS, interval: false, forArp: false, keys: (own) => own.sources6 },
  {
    name: SETS.sourcePrefixes6,
    fields: SOURCE6_FIELDS,
    interval: true,
    forArp: false,
    keys: (own) => own.sourcePrefixes6,
  },
  { name: SETS.ndTargets, fields: ND_TARGET_FIELDS, interval: false, forArp: false, keys: (own) => own.ndTargets },
  {
    name: SETS.ndTargetPrefixes,
    fields: ND_TARGET_FIELDS,
    interval: true,
    forArp: false,
    keys: (own) => own.ndTargetPrefixes,
  },
  stateful(SETS.statefulSources4, SOURCE4_FIELDS, (own) => own.sources4),
  stateful(SETS.statefulSources6, SOURCE6_FIELDS, (own) => own.sources6),
  { ...stateful(SETS.statefulPorts, ['oifname', 'meta protocol'], (own) => own.families), only: ['routed'] },
  {
    ...stateful(SETS.statefulPorts, ['oifname', 'ether daddr', 'ether type'], (own) => own.macFamilies),
    only: ['bridge', 'bridge-netfilter'],
  },
  fixed(SETS.addresses4, 'ip saddr', (own) => own.addresses4),
  fixed(SETS.addresses6, 'ip6 saddr', (own) => own.addresses6),
];

/** What the fast path asks: of ports whose groups are stateful. */
function stateful(name: string, fields: readonly Field[], keys: OwnSet['keys']): OwnSet {
  return { name, fields, interval: false, forArp: false, keys: (own) => (own.isStateful ? keys(own) : []) };
}

/** Addresses that no other device may send from, where the host routes. Several ports may give one. */
function fixed(name: string, field: Field, keys: OwnSet['keys']): OwnSet {
  return { name, fields: [field], interval: false, forArp: false, only: ['routed'], keys };
}

/** Those of a datapath. */
export function ownSets(datapath: Datapath): readonly OwnSet[] {
  return OWN_SETS.filter(({ only }) => only === undefined || only.includes(datapath));
}

/** Each key once. */
function distinctKeys(fields: readonly Field[], keys: readonly Key[]): readonly Key[] {
  return fields.length > 1 ? keys : [...new Map(keys.map((key) => [componentText(key[0]), key])).values()];
}

function componentText(component: Key[number] | undefined): string {
  return typeof component === 'object' && 'text' in component ? component.text : JSON.stringify(component);
}

/** What one port adds to those that frames ask which are not IP. */
interface LinkKeys {
  /** Device, MAC and exact address; prefixes apart, disjoint for each MAC. */
  readonly sources4: readonly Key[];
  readonly sourcePrefixes4: readonly Key[];
  /** Device and MAC; `macs4` only if the port has an IPv4 address. */
  readonly macs: readonly Key[];
  readonly macs4: readonly Key[];
}

/** What one port adds to the sets of own addresses. */
export interface OwnKeys extends LinkKeys {
  /** As of IPv4, with link-local addresses. */
  readonly sources6: readonly Key[];
  readonly sourcePrefixes6: readonly Key[];
  /** Device and IPv6 address, whatever the MAC. */
  readonly ndTargets: readonly Key[];
  readonly ndTargetPrefixes: readonly Key[];
  /** Device and family. */
  readonly families: readonly Key[];
  /** Device, own MAC and family. */
  readonly macFamilies: readonly Key[];
  /** Fixed IPs alone. */
  readonly addresses4: readonly Key[];
  readonly addresses6: readonly Key[];
  readonly isStateful: boolean;
}

/**
 * The keys of one filtered port.
 * @param isStateful whether all its groups are.
 */
export function ownKeys(port: Port, isStateful: boolean): OwnKeys {
  const { device } = port;
  const link = linkKeys(port);
  const sources = sourcesOf(port, 'IPv6', (mac) => [linkLocalAddress(mac)]);
  const targets = exactAndPrefixes(sources.flatMap(([, prefixes]) => prefixes));
  return {
    ...link,
    ...{ sources6: sourceKeys(device, sources, true), sourcePrefixes6: sourceKeys(device, sources, false) },
    ndTargets: targets.filter(isExact).map((prefix) => [device, prefix]),
    ndTargetPrefixes: targets.filter((prefix) => !isExact(prefix)).map((prefix) => [device, prefix]),
    families: FAMILIES.filter((family) => hasFamily(port, family)).map((family) => [device, ETHERTYPE[family]]),
    macFamilies: link.macs.flatMap((key) =>
      FAMILIES.filter((family) => hasFamily(port, family)).map((family) => [...key, ETHERTYPE[family]]),
    ),
    addresses4: fixedKeys(port, 'IPv4'),
    addresses6: fixedKeys(port, 'IPv6'),
    isStateful,
  };
}

function linkKeys(port: Port): LinkKeys {
  const { device } = port;
  const sources = sourcesOf(port, 'IPv4', () => []);
  const macs = sources.map(([mac]) => [device, mac]);
  return {
    sources4: sourceKeys(device, sources, true),
    sourcePrefixes4: sourceKeys(device, sources, false),
    macs,
    macs4: hasFamily(port, 'IPv4') ? macs : [],
  };
}

/** What each MAC of a port may send from, of one family: exact addresses and prefixes. In order of the MACs. */
type Sources = readonly (readonly [Mac, readonly Prefix[]])[];

/** @param more what a MAC may send from in any case. */
function sourcesOf(port: Port, family: Family, more: (mac: Mac) => Prefix[]): Sources {
  const byMac = new Map(ownMacs(port).map((mac) => [mac, more(mac)]));
  for (const { mac, prefix } of ownAddresses(port)) if (prefix.family === family) byMac.get(mac)?.push(prefix);
  return [...byMac].sort(([a], [b]) => (a < b ? -1 : 1)).map(([mac, prefixes]) => [mac, exactAndPrefixes(prefixes)]);
}

function sourceKeys(device: string, sources: Sources, exact: boolean): readonly Key[] {
  return sources.flatMap(([mac, prefixes]) =>
    prefixes.filter((prefix) => isExact(prefix) === exact).map((prefix): Key => [device, mac, prefix]),
  );
}

/** A port that migrates is on either host for a while. */
function fixedKeys(port: Port, family: Family): readonly Key[] {
  if (port.migratingTo !== undefined) return [];
  return port.fixedIps.filter((prefix) => prefix.family === family).map((prefix) => [prefix]);
}

/** Distinct exact addresses, then the prefixes, aggregated. Sorted. */
function exactAndPrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  const exact = new Map(prefixes.filter(isExact).map((prefix) => [prefix.text, prefix]));
  return [
    ...[...exact.values()].sort((a, b) => (a.text < b.text ? -1 : 1)),
    ...aggregatePrefixes(prefixes.filter((prefix) => !isExact(prefix))),
  ];
}

/** The sets of own addresses, with what all ports of a host add. */
export function ownSetsOf(
  ports: readonly Port[],
  groups: ReadonlyMap<string, SecurityGroup>,
  datapath: Datapath,
): readonly NamedSet[] {
  const own = ports.filter(isFiltered).map((port) => ownKeys(port, isStateful(port, groups)));
  return ownSets(datapath).map((set) => namedSet(set, own));
}

/** Those of {@link ownSetsOf} that frames ask which are not IP. */
export function linkSetsOf(ports: readonly Port[]): readonly NamedSet[] {
  const own = ports.filter(isFiltered).map(linkKeys);
  return LINK_SETS.map((set) => namedSet(set, own));
}

/** Those among them that the ARP guard needs. */
export function arpSetsAmong(sets: readonly NamedSet[]): readonly NamedSet[] {
  return sets.filter(({ name }) => ARP_SETS.has(name));
}

const ARP_SETS: ReadonlySet<string> = new Set(LINK_SETS.flatMap(({ name, forArp }) => (forArp ? name : [])));

function isFiltered({ filtering }: Port): boolean {
  return filtering === 'filtered';
}

function namedSet<Keys>(
  { name, fields, interval, keys }: Omit<OwnSet, 'keys'> & { readonly keys: (own: Keys) => readonly Key[] },
  own: readonly Keys[],
): NamedSet {
  return (interval ? intervalSet : plainSet)(name, fields, distinctKeys(fields, own.flatMap(keys)));
}
