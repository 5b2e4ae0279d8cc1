/**
 * Stage 3b: the fixed part of the program, the same on every host, one page to read from top to bottom.
 *
 * A packet from a port: base chain `egress` -> map `from_port` -> profile chain -> `egress_stateful` (or `_stateless`)
 * -> group chains -> drop. A packet to a port: `ingress` -> `to_port` -> profile chain -> `ingress_stateful` -> ... The
 * reasons for each hook, map and chain are in docs/architecture.md.
 *
 * Source checks are written as "known: go on; else: drop". The other way round a packet whose header the kernel cannot
 * read would fall through.
 */
import { parsePrefix, type Direction, type Family, type Prefix } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { admitChains, connectionState, fastPath, SERVICES, tellingChains, type OwnLookup } from './admission.js';
import {
  ACCEPT,
  act,
  chain,
  counted,
  dispatch,
  DROP,
  dropped,
  goTo,
  inSet,
  is,
  isNot,
  jump,
  RETURN,
  rule,
} from './build.js';
import { owes } from './guard.js';
import { ETHERTYPE, ETHERTYPE_ARP, ETHERTYPE_RARP } from './ethertype.js';
import type { Chain, Field, Hook, Key, MapElement, Match, Rule, TableFamily, Verdict } from './types.js';
import { isBridged, type Datapath } from '../datapath.js';

/** Sets and maps of the fixed part. What each holds is said where it is filled, in compile.ts. */
export const SETS = {
  fromPort: 'from_port',
  toPort: 'to_port',
  zones: 'zones',
  zonesOfDevices: 'zones_of_devices',
  zonesOfVlans: 'zones_of_vlans',
  sources4: 'sources4',
  sourcePrefixes4: 'source_prefixes4',
  sources6: 'sources6',
  sourcePrefixes6: 'source_prefixes6',
  macs: 'macs',
  macs4: 'macs4',
  ndTargets: 'nd_targets',
  ndTargetPrefixes: 'nd_target_prefixes',
  statefulSources4: 'stateful_sources4',
  statefulSources6: 'stateful_sources6',
  statefulPorts: 'stateful_ports',
  addresses4: 'addresses4',
  addresses6: 'addresses6',
  zonesOfSources4: 'zones_of_sources4',
  zonesOfSources6: 'zones_of_sources6',
} as const;

/** Chains of the fixed part that profile chains lead to. */
export const CHAINS = {
  egressStateful: 'egress_stateful',
  egressStateless: 'egress_stateless',
  ingressStateful: 'ingress_stateful',
  ingressStateless: 'ingress_stateless',
  linkLocalOnly: 'link_local_only',
  arpGuard: 'arp_guard',
  unfilteredOut: 'unfiltered_out',
} as const;

export const SOURCE4_FIELDS: readonly Field[] = ['iifname', 'ether saddr', 'ip saddr'];
export const SOURCE6_FIELDS: readonly Field[] = ['iifname', 'ether saddr', 'ip6 saddr'];
export const MAC_FIELDS: readonly Field[] = ['iifname', 'ether saddr'];
export const ND_TARGET_FIELDS: readonly Field[] = ['iifname', 'nd target'];

/** The label of a rule that drops what is nobody's loss begins so. */
export const NOISE = 'noise: ';

/** IANA protocol numbers and ports. */
const IGMP = 2;
const ICMPV6 = 58;
const DHCP = { server: 67, client: 68 };
const DHCPV6 = { server: 547, client: 546 };

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

/** Of a packet that the host makes (nft_meta_get_eval). */
const NO_DEVICE = 0;

const UNSPECIFIED4 = constant('0.0.0.0');
const BROADCAST4 = constant('255.255.255.255');
const UNSPECIFIED6 = constant('::');
const LINK_LOCAL6 = constant('fe80::/10');
const LINK_MULTICAST6 = constant('ff02::/16');

function constant(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`not a prefix: ${text}`);
  return prefix;
}

function entry(key: Key, data: Verdict): MapElement<Verdict> {
  return { key, data };
}

/** The fixed chains of the table that judges IP packets, jumped-to chains first. */
export function policyChains(datapath: Datapath, options: CompileOptions): readonly Chain[] {
  return [
    ...sourceGuards(),
    ...egressServices(),
    ...(isBridged(datapath) ? [...arpGuard(), ...linkLayerChains(options)] : []),
    ...services(datapath),
    ...admitChains(options),
    chain(CHAINS.egressStateful, 'egress of every port with stateful groups', [
      ...egressPrologue(datapath),
      ...connectionState('egress', options),
    ]),
    chain(CHAINS.egressStateless, 'egress of every port with stateless groups', egressPrologue(datapath)),
    chain(CHAINS.ingressStateful, 'ingress of every port with stateful groups', [
      ...linkLayerRule(datapath, 'ingress_link'),
      ...connectionState('ingress', options, isBridged(datapath) ? [inSet(['oifname', 'ether daddr'], SETS.macs)] : []),
    ]),
    chain(
      CHAINS.ingressStateless,
      'ingress of every port with stateless groups',
      linkLayerRule(datapath, 'ingress_link'),
    ),
    ...(datapath === 'routed' ? [unfiltered()] : []),
    chain(CHAINS.linkLocalOnly, 'IPv6 to a port without an IPv6 address', [
      rule([is('ip6 daddr', LINK_LOCAL6, LINK_MULTICAST6)], RETURN, 'on the link'),
      ...dropped('ingress', [], 'the port has no IPv6 address'),
    ]),
  ];
}

/** Source MAC and address must be the port's own. Returns when they are. */
function sourceGuards(): readonly Chain[] {
  return [
    chain('source4', 'IPv4 source must be own', [
      rule([inSet(SOURCE4_FIELDS, SETS.sources4)], RETURN, 'own address'),
      rule([inSet(SOURCE4_FIELDS, SETS.sourcePrefixes4)], RETURN, 'own prefix'),
      rule(
        [
          is('ip saddr', UNSPECIFIED4),
          is('ip daddr', BROADCAST4),
          is('udp sport', DHCP.client),
          is('udp dport', DHCP.server),
          inSet(MAC_FIELDS, SETS.macs),
        ],
        ACCEPT,
        'DHCP discover',
      ),
      ...dropped('egress', [], 'spoofed IPv4 source'),
    ]),
    chain('source6', 'IPv6 source must be own', [
      rule([inSet(SOURCE6_FIELDS, SETS.sources6)], RETURN, 'own address'),
      rule([inSet(SOURCE6_FIELDS, SETS.sourcePrefixes6)], RETURN, 'own prefix'),
      rule(
        [is('ip6 saddr', UNSPECIFIED6), is('ip6 daddr', LINK_MULTICAST6), inSet(MAC_FIELDS, SETS.macs)],
        jump('unspecified6'),
        'no address yet',
      ),
      ...dropped('egress', [], 'spoofed IPv6 source'),
    ]),
  ];
}

/** Service traffic from a port, by the chains that judge it. */
function egressServices(): readonly Chain[] {
  return [
    chain('unspecified6', 'from a port that has no IPv6 address yet', [
      rule([is('icmpv6 type', ND.report, ND.report2)], ACCEPT, 'MLD report'),
      rule([is('icmpv6 type', ND.neighbourSolicitation)], jump('nd_target'), 'duplicate address detection'),
    ]),
    chain('nd_target', 'the target of neighbour discovery must be own', [
      rule([inSet(ND_TARGET_FIELDS, SETS.ndTargets)], ACCEPT, 'own address'),
      rule([inSet(ND_TARGET_FIELDS, SETS.ndTargetPrefixes)], ACCEPT, 'own prefix'),
      ...dropped('egress', [], 'spoofed neighbour discovery target'),
    ]),
    chain('server', 'what only servers and routers send', dropped('egress', [], 'acts as DHCP server or router')),
    chain('egress_icmpv6', 'neighbour discovery and MLD, never router', [
      dispatch(
        ['icmpv6 type'],
        [
          entry([ND.report], ACCEPT),
          entry([ND.done], ACCEPT),
          entry([ND.routerSolicitation], ACCEPT),
          entry([ND.routerAdvertisement], goTo('server')),
          entry([ND.neighbourSolicitation], ACCEPT),
          entry([ND.neighbourAdvertisement], goTo('nd_target')),
          entry([ND.redirect], goTo('server')),
          entry([ND.report2], ACCEPT),
        ],
        'neighbour discovery and MLD',
      ),
    ]),
  ];
}

/** What no port may send is refused here; what it may send without a rule stands behind the groups. */
function egressPrologue(datapath: Datapath): readonly Rule[] {
  const [ip4, ip6] = [is('meta protocol', ETHERTYPE.IPv4), is('meta protocol', ETHERTYPE.IPv6)];
  return [
    ...linkLayerRule(datapath, 'egress_link'),
    rule([ip4], jump('source4'), 'anti-spoofing'),
    rule([ip6], jump('source6'), 'anti-spoofing'),
    rule([is('udp sport', DHCP.server), is('udp dport', DHCP.client), ip4], goTo('server'), 'DHCP server'),
    rule([is('udp sport', DHCPV6.server), is('udp dport', DHCPV6.client), ip6], goTo('server'), 'DHCPv6 server'),
    rule([is('meta l4proto', ICMPV6), ip6], jump('egress_icmpv6'), 'neighbour discovery and MLD'),
  ];
}

/** Service traffic that passes without a rule, behind the groups: a packet of a flow pays nothing for it. */
function services(datapath: Datapath): readonly Chain[] {
  const udp = (family: Family, from: number, to: number, comment: string): Rule =>
    rule([is('udp sport', from), is('udp dport', to), is('meta protocol', ETHERTYPE[family])], ACCEPT, comment);
  return [
    chain(SERVICES.egress, 'what ports send without a rule', [
      udp('IPv4', DHCP.client, DHCP.server, 'DHCP client'),
      udp('IPv6', DHCPV6.client, DHCPV6.server, 'DHCPv6 client'),
    ]),
    chain(SERVICES.ingress, 'what ports get without a rule', [
      udp('IPv4', DHCP.server, DHCP.client, 'answers of DHCP servers'),
      udp('IPv6', DHCPV6.server, DHCPV6.client, 'answers of DHCPv6 servers'),
      rule(
        [
          is('icmpv6 type', ND.query, ND.routerAdvertisement, ND.neighbourSolicitation, ND.neighbourAdvertisement),
          is('meta protocol', ETHERTYPE.IPv6),
        ],
        ACCEPT,
        'neighbour discovery and MLD',
      ),
      ...noise(datapath),
    ]),
  ];
}

/**
 * What comes to every port of a network, and from the host itself, for whoever begins there, and is dropped at the end of these chains in
 * any case: counted apart, for it is nobody's loss.
 */
function noise(datapath: Datapath): readonly Rule[] {
  const drop = (matches: readonly Match[], what: string): Rule => counted(matches, DROP, `${NOISE}${what}`);
  const [ip4, ip6] = [is('meta protocol', ETHERTYPE.IPv4), is('meta protocol', ETHERTYPE.IPv6)];
  return [
    drop([is('icmpv6 type', ND.routerSolicitation), ip6], 'router solicitations'),
    drop([is('icmpv6 type', ND.report, ND.done, ND.report2), ip6], 'MLD reports'),
    drop([is('meta l4proto', IGMP), ip4], 'IGMP'),
    drop([is('udp sport', DHCP.client), is('udp dport', DHCP.server), ip4], 'requests to DHCP servers'),
    drop([is('udp sport', DHCPV6.client), is('udp dport', DHCPV6.server), ip6], 'requests to DHCPv6 servers'),
    // In the bridge family nobody knows where a packet to a port came from.
    ...(datapath === 'routed' ? [drop([is('iif', NO_DEVICE)], 'from the host itself')] : []),
  ];
}

/** The fixed chains of table inet beside table bridge. */
export function besideBridgeChains(options: CompileOptions): readonly Chain[] {
  return options.datapath === 'bridge-netfilter' ? tellingChains(options) : [];
}

/** On a bridge every frame passes: what is not an untagged IP packet is judged apart. */
function linkLayerRule(datapath: Datapath, target: string): readonly Rule[] {
  switch (datapath) {
    case 'routed':
      return [];
    case 'bridge':
    case 'bridge-netfilter':
      return [rule([isNot('ether type', ETHERTYPE.IPv4, ETHERTYPE.IPv6)], goTo(target), 'not IP, or tagged')];
  }
}

function linkLayerChains({ ethertypes }: CompileOptions): readonly Chain[] {
  const permitted = (...more: readonly Match[]): readonly Rule[] =>
    ethertypes.length === 0 ? [] : [rule([is('ether type', ...ethertypes), ...more], ACCEPT, 'permitted ethertype')];
  return [
    chain('egress_link', 'frames from a port that are not IP', [
      rule([is('ether type', ETHERTYPE_ARP)], goTo(CHAINS.arpGuard), 'ARP'),
      rule([is('ether type', ETHERTYPE_RARP), inSet(MAC_FIELDS, SETS.macs)], ACCEPT, 'RARP with own MAC'),
      ...permitted(inSet(MAC_FIELDS, SETS.macs)),
      ...dropped('egress', [], 'other ethertype, VLAN tag or LLC/SNAP'),
    ]),
    chain('ingress_link', 'frames to a port that are not IP', [
      rule([is('ether type', ETHERTYPE_ARP, ETHERTYPE_RARP)], ACCEPT, 'ARP and RARP'),
      ...permitted(),
      ...dropped('ingress', [], 'other ethertype, VLAN tag or LLC/SNAP'),
    ]),
  ];
}

/**
 * The ARP sender must be own, in the Ethernet header and in the ARP payload (RFC 826). A probe names no sender address
 * (RFC 5227).
 */
function arpGuard(): readonly Chain[] {
  const frame: readonly Field[] = ['iifname', 'ether saddr', 'arp saddr ip'];
  const payload: readonly Field[] = ['iifname', 'arp saddr ether', 'arp saddr ip'];
  const isArp = is('arp operation', 1, 2);
  return [
    chain('arp_payload', 'the sender in the ARP payload must be own', [
      rule([isArp, inSet(payload, SETS.sources4)], ACCEPT, 'own address'),
      rule([isArp, inSet(payload, SETS.sourcePrefixes4)], ACCEPT, 'own prefix'),
    ]),
    chain(CHAINS.arpGuard, 'ARP from a port', [
      rule([inSet(frame, SETS.sources4)], jump('arp_payload'), 'own address'),
      rule([inSet(frame, SETS.sourcePrefixes4)], jump('arp_payload'), 'own prefix'),
      rule(
        [
          isArp,
          is('arp saddr ip', UNSPECIFIED4),
          inSet(MAC_FIELDS, SETS.macs4),
          inSet(['iifname', 'arp saddr ether'], SETS.macs4),
        ],
        ACCEPT,
        'ARP probe',
      ),
      ...dropped('egress', [], 'spoofed ARP sender'),
    ]),
  ];
}

/** Where ports lead to in a table that judges nothing but frames which are not IP. */
export const LINK_ONLY: Readonly<Record<Direction, string>> = { egress: 'link_out', ingress: 'link_in' };

/** The chains of such a table; IP passes on to whoever judges it. */
export function linkOnlyChains(options: CompileOptions): readonly Chain[] {
  const { stateMark } = options;
  const isIp = is('ether type', ETHERTYPE.IPv4, ETHERTYPE.IPv6);
  const seen: Match = { kind: 'packet-mark', mask: stateMark, value: stateMark };
  return [
    ...arpGuard(),
    ...linkLayerChains(options),
    chain(LINK_ONLY.egress, 'IP is judged elsewhere', [
      ...dropped('egress', [isIp, owes('egress', options)], 'our rules in iptables did not let it pass'),
      rule([isIp], ACCEPT, 'judged by iptables'),
      rule([], goTo('egress_link'), 'not IP, or tagged'),
    ]),
    chain(LINK_ONLY.ingress, 'IP is judged elsewhere', [
      rule([isIp, seen], ACCEPT, 'iptables judges it'),
      ...dropped('ingress', [isIp], 'br_netfilter did not show it to iptables'),
      rule([], goTo('ingress_link'), 'not IP, or tagged'),
    ]),
  ];
}

/** Chains of the arp table beside the routed datapath. */
export function arpChains(): readonly Chain[] {
  return arpGuard();
}

/**
 * Base chains. They stand in prerouting and postrouting, in the filter priority; in the bridge family that priority (-200)
 * is also connection tracking's own, hence a place just behind it, and br_netfilter's is 0 (linux/netfilter_bridge.h).
 */
export function baseChains(datapath: Datapath, options: CompileOptions): readonly Chain[] {
  const { egress, ingress } = BASE_PRIORITY[datapath];
  return [
    portDispatch('egress', 'packets from ports', { hook: 'prerouting', priority: egress }, options),
    portDispatch('ingress', 'packets to ports', { hook: 'postrouting', priority: ingress }, options),
  ];
}

/** The base chains of the table that judges IP packets: with the fast path, and with what other devices may not send. */
export function policyBaseChains(datapath: Datapath, options: CompileOptions): readonly Chain[] {
  const [egress, ingress] = (['egress', 'ingress'] as const).map((direction) =>
    fastPath(direction, ownLookup(datapath), options),
  );
  const others = datapath === 'routed' ? addressesOfPorts() : [];
  return baseChains(datapath, options).map((base) =>
    base.name === 'egress'
      ? { ...base, rules: [...(egress ?? []), ...base.rules, ...others] }
      : { ...base, rules: [...(ingress ?? []), ...base.rules] },
  );
}

/** Egress when routed stands before destination translation (-100): it judges what the guest wrote. */
const BASE_PRIORITY: Readonly<Record<Datapath, Readonly<Record<Direction, number>>>> = {
  routed: { egress: -150, ingress: 0 },
  bridge: { egress: -200 + 10, ingress: -200 + 10 },
  'bridge-netfilter': { egress: 0 + 10, ingress: 0 + 10 },
};

/** Sets that the fast path asks: own sources of stateful ports, and families in which their devices have an address. */
function ownLookup(datapath: Datapath): OwnLookup {
  return {
    egress: {
      IPv4: { fields: SOURCE4_FIELDS, set: SETS.statefulSources4 },
      IPv6: { fields: SOURCE6_FIELDS, set: SETS.statefulSources6 },
    },
    // A bridge floods: what is for several stations, or for one that it does not know, is judged for each of them.
    ingress: {
      fields: isBridged(datapath) ? ['oifname', 'ether daddr', 'ether type'] : ['oifname', 'meta protocol'],
      set: SETS.statefulPorts,
    },
  };
}

/** Where the host routes, an address of a port comes from that port alone: it was let through before this. */
function addressesOfPorts(): readonly Rule[] {
  return [
    ...dropped('egress', [inSet(['ip saddr'], SETS.addresses4)], 'address of a port from another device'),
    ...dropped('egress', [inSet(['ip6 saddr'], SETS.addresses6)], 'address of a port from another device'),
  ];
}

function unfiltered(): Chain {
  return chain(CHAINS.unfilteredOut, 'from ports without port security', [
    ...addressesOfPorts(),
    rule([], ACCEPT, 'not filtered'),
  ]);
}

/** The base chain of the arp table: ARP that the host receives. */
export function arpBaseChain(options: CompileOptions): Chain {
  return portDispatch('egress', 'ARP from ports', { hook: 'input', priority: 0 }, options);
}

function portDispatch(direction: Direction, comment: string, hook: Hook, options: CompileOptions): Chain {
  const [field, map] =
    direction === 'egress' ? (['iifname', SETS.fromPort] as const) : (['oifname', SETS.toPort] as const);
  return chain(
    direction,
    comment,
    [
      act({ kind: 'verdict-map', fields: [field], map }, 'one lookup, however many ports'),
      ...options.devicePrefixes.flatMap((prefix) =>
        dropped(direction, [{ kind: 'device-prefix', field, prefix }], 'device of no known port'),
      ),
    ],
    hook,
  );
}

/** What puts packets into connection tracking zones, in one table: before tracking (priority raw). */
export interface ZoneProgram {
  readonly family: TableFamily;
  /** What the map's keys are. */
  readonly field: 'iifname' | 'ibrname';
  readonly chains: readonly Chain[];
}

/**
 * The zone programs of a datapath. Where networks share a bridge (`isShared`), a port's packets get their zone by its device, and
 * those from elsewhere by the VLAN that they are tagged with.
 *
 * Table inet sees a bridge as the device of what br_netfilter shows it, and of what the host
 * itself sends there: so that an answer of the host is found in the zone of what it answers.
 */
export function zonePrograms(datapath: Datapath, isShared: boolean): readonly ZoneProgram[] {
  const priority = -300;
  const zoneBy = (field: Field): Rule =>
    act({ kind: 'zone', fields: [field], map: SETS.zones }, 'one zone per address space');
  const onSharedBridge: readonly Rule[] = [
    act({ kind: 'zone', fields: ['iifname'], map: SETS.zonesOfDevices }, 'ports of networks that share a bridge'),
    act({ kind: 'zone', fields: ['ibrname', 'vlan id'], map: SETS.zonesOfVlans }, 'their networks from elsewhere'),
  ];
  const zonesIn = (field: Field, comment: string): Chain =>
    chain('zones_in', comment, [...(isShared ? onSharedBridge : []), zoneBy(field)], { hook: 'prerouting', priority });
  const zonesOut = chain('zones_out', 'zone of packets that the host makes', [zoneBy('oifname')], {
    hook: 'output',
    priority,
  });
  switch (datapath) {
    case 'bridge':
      return [
        { family: 'bridge', field: 'ibrname', chains: [zonesIn('ibrname', 'zone by bridge')] },
        { family: 'inet', field: 'iifname', chains: [zonesOut] },
      ];
    case 'bridge-netfilter':
      return [{ family: 'inet', field: 'iifname', chains: [zonesIn('iifname', 'zone by bridge'), zonesOut] }];
    case 'routed': {
      const bySource = [
        act(
          { kind: 'zone', fields: ['iifname', 'ip saddr'], map: SETS.zonesOfSources4 },
          'an address of another network',
        ),
        act(
          { kind: 'zone', fields: ['iifname', 'ip6 saddr'], map: SETS.zonesOfSources6 },
          'an address of another network',
        ),
      ];
      const byDevice = zonesIn('iifname', 'zone by device');
      return [
        {
          family: 'inet',
          field: 'iifname',
          chains: [{ ...byDevice, rules: [...bySource, ...byDevice.rules] }, zonesOut],
        },
      ];
    }
  }
}
