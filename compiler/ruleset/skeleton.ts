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
import type { Family } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { admitChains, connectionState, SERVICES } from './admission.js';
import { unfiltered } from './base-chains.js';
import { ACCEPT, chain, counted, dispatch, DROP, dropped, goTo, inSet, is, jump, RETURN, rule } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { CHAINS, MAC_FIELDS, ND_TARGET_FIELDS, SETS, SOURCE4_FIELDS, SOURCE6_FIELDS } from './fixed-names.js';
import { arpGuard, linkLayerChains, linkLayerRule } from './link-layer.js';
import { BROADCAST4, LINK_LOCAL6, LINK_MULTICAST6, UNSPECIFIED4, UNSPECIFIED6 } from './special-addresses.js';
import type { Chain, Key, MapElement, Match, Rule, Verdict } from './types.js';
import { isBridged, type Datapath } from '../datapath.js';

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
