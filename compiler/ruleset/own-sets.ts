/** The sets of own addresses: what anti-spoofing lets each filtered port send from. */
import { isExact, type Mac, type Port, type Prefix } from '../../src/model/index.js';
import { hasFamily, linkLocalAddress, ownAddresses, ownMacs } from '../host-policy.js';
import { aggregatePrefixes } from '../prefixes.js';
import { MAC_FIELDS, ND_TARGET_FIELDS, SETS, SOURCE4_FIELDS, SOURCE6_FIELDS } from './skeleton.js';
import type { Field, Key } from './types.js';

export interface OwnSet {
  readonly name: string;
  readonly fields: readonly Field[];
  /** True when keys may be prefixes. */
  readonly interval: boolean;
  /** True when the ARP guard of the routed datapath needs it, too. */
  readonly forArp: boolean;
  /** What one port adds. */
  readonly keys: (own: OwnKeys) => readonly Key[];
}

/** In order of creation. */
export const OWN_SETS: readonly OwnSet[] = [
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
];

/** What one port adds to the sets of own addresses. */
export interface OwnKeys {
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

/** The keys of one filtered port. */
export function ownKeys(port: Port): OwnKeys {
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
