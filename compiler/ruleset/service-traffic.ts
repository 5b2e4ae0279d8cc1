/**
 * Service traffic, as one table: what every filtered port may send and get without a rule, what none may send whatever its
 * rules say, and what comes to every port and is nobody's loss. services.ts makes rules of nftables of it, iptables/services.ts
 * such of iptables, and docs/service-traffic.md is printed from it. The judge (compiler/semantics) reads the semantics for itself.
 */
import type { Direction, Family } from '../model/index.js';

export interface ServiceTraffic {
  readonly direction: Direction;
  readonly family: Family | 'both';
  /** `none`: it has no address yet. Such a packet goes to the link alone, from an own MAC. */
  readonly source: 'any' | 'own' | 'none';
  readonly match: ServiceMatch;
  readonly verdict: ServiceVerdict;
  /** As labels of rules say it. */
  readonly what: string;
  readonly why: string;
}

export type ServiceMatch =
  | { readonly kind: 'udp'; readonly from: number; readonly to: number }
  | { readonly kind: 'icmpv6'; readonly types: readonly number[] }
  | { readonly kind: 'protocol'; readonly protocol: number }
  /** The host made it. In the bridge family nobody knows that of a packet to a port. */
  | { readonly kind: 'from-host' };

/**
 * - `pass`: no rule is needed.
 * - `own-target`: the same, if the target of neighbour discovery is the port's own; else never.
 * - `never`: no rule lets it pass.
 * - `noise`: what no rule lets pass is dropped as all else is, but counted apart.
 */
export type ServiceVerdict = 'pass' | 'own-target' | 'never' | 'noise';

/** Ports of DHCP (RFC 2131) and DHCPv6 (RFC 8415). */
export const DHCP: Readonly<Record<Family, { readonly client: number; readonly server: number }>> = {
  IPv4: { client: 68, server: 67 },
  IPv6: { client: 546, server: 547 },
};

/** ICMPv6 types: RFC 4861 (133-137), RFC 2710 and 3810 (130-132, 143). The kernel tracks none of them but 137. */
const ND = {
  query: 130,
  report: 131,
  done: 132,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
  redirect: 137,
  report2: 143,
};

/** IANA protocol number. */
const IGMP = 2;

function toServer(family: Family): ServiceMatch {
  return { kind: 'udp', from: DHCP[family].client, to: DHCP[family].server };
}

function fromServer(family: Family): ServiceMatch {
  return { kind: 'udp', from: DHCP[family].server, to: DHCP[family].client };
}

function icmpv6(...types: readonly number[]): ServiceMatch {
  return { kind: 'icmpv6', types };
}

type Row = readonly [
  ServiceTraffic['source'],
  ServiceTraffic['family'],
  ServiceMatch,
  ServiceVerdict,
  what: string,
  why: string,
];

const FROM_PORTS: readonly Row[] = [
  ['none', 'IPv4', toServer('IPv4'), 'pass', 'DHCP discover', 'it asks for its address'],
  ['none', 'IPv6', icmpv6(ND.report, ND.report2), 'pass', 'MLD report', 'it joins groups of its new address'],
  [
    'none',
    'IPv6',
    icmpv6(ND.neighbourSolicitation),
    'own-target',
    'duplicate address detection',
    'it tries an address',
  ],
  ['own', 'IPv4', toServer('IPv4'), 'pass', 'DHCP client', 'leases are renewed'],
  ['own', 'IPv4', fromServer('IPv4'), 'never', 'DHCP server', 'it would give others addresses and routes'],
  ['own', 'IPv6', toServer('IPv6'), 'pass', 'DHCPv6 client', 'leases are renewed'],
  ['own', 'IPv6', fromServer('IPv6'), 'never', 'DHCPv6 server', 'it would give others addresses'],
  [
    'own',
    'IPv6',
    icmpv6(ND.report, ND.done, ND.routerSolicitation, ND.neighbourSolicitation, ND.report2),
    'pass',
    'neighbour discovery and MLD',
    'IPv6 does not work without',
  ],
  ['own', 'IPv6', icmpv6(ND.neighbourAdvertisement), 'own-target', 'who has an address', 'it says its own MAC'],
  ['own', 'IPv6', icmpv6(ND.routerAdvertisement, ND.redirect), 'never', 'router', 'it would have others’ packets'],
];

const TO_PORTS: readonly Row[] = [
  ['any', 'IPv4', fromServer('IPv4'), 'pass', 'answers of DHCP servers', 'the port asked'],
  ['any', 'IPv6', fromServer('IPv6'), 'pass', 'answers of DHCPv6 servers', 'the port asked'],
  [
    'any',
    'IPv6',
    icmpv6(ND.query, ND.routerAdvertisement, ND.neighbourSolicitation, ND.neighbourAdvertisement),
    'pass',
    'neighbour discovery and MLD',
    'IPv6 does not work without',
  ],
  ['any', 'IPv6', icmpv6(ND.routerSolicitation), 'noise', 'router solicitations', 'for routers'],
  ['any', 'IPv6', icmpv6(ND.report, ND.done, ND.report2), 'noise', 'MLD reports', 'for routers'],
  ['any', 'IPv4', { kind: 'protocol', protocol: IGMP }, 'noise', 'IGMP', 'for routers'],
  ['any', 'IPv4', toServer('IPv4'), 'noise', 'requests to DHCP servers', 'for servers'],
  ['any', 'IPv6', toServer('IPv6'), 'noise', 'requests to DHCPv6 servers', 'for servers'],
  ['any', 'both', { kind: 'from-host' }, 'noise', 'from the host itself', 'where it routes: what it sends unasked'],
];

function rows(direction: Direction, of: readonly Row[]): readonly ServiceTraffic[] {
  return of.map(([source, family, match, verdict, what, why]) => ({
    direction,
    family,
    source,
    match,
    verdict,
    what,
    why,
  }));
}

/** In the order in which rules ask for it. */
export const SERVICE_TRAFFIC: readonly ServiceTraffic[] = [...rows('egress', FROM_PORTS), ...rows('ingress', TO_PORTS)];

/** The rows that agree with what is asked. */
export function serviceTraffic(
  asked: Partial<Pick<ServiceTraffic, 'direction' | 'family' | 'source' | 'verdict'>>,
): readonly ServiceTraffic[] {
  const { direction, family, source, verdict } = asked;
  return SERVICE_TRAFFIC.filter(
    (row) =>
      (direction ?? row.direction) === row.direction &&
      (family ?? row.family) === row.family &&
      (source ?? row.source) === row.source &&
      (verdict ?? row.verdict) === row.verdict,
  );
}
