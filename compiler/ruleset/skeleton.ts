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
import type { CompileOptions } from '../options.js';
import { admitChains, connectionState } from './admission.js';
import { unfiltered } from './base-chains.js';
import { chain, dropped, inSet, is, jump, RETURN, rule } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { CHAINS, SETS, SOURCE4_FIELDS, SOURCE6_FIELDS } from './fixed-names.js';
import { arpGuard, linkLayerChains, linkLayerRule } from './link-layer.js';
import { egressServices, refusals, services, unspecified4, unspecified6 } from './services.js';
import { LINK_LOCAL6, LINK_MULTICAST6 } from './special-addresses.js';
import type { Chain, Rule } from './types.js';
import { isBridged, type Datapath } from '../datapath.js';

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
      ...unspecified4(),
      ...dropped('egress', [], 'spoofed IPv4 source'),
    ]),
    chain('source6', 'IPv6 source must be own', [
      rule([inSet(SOURCE6_FIELDS, SETS.sources6)], RETURN, 'own address'),
      rule([inSet(SOURCE6_FIELDS, SETS.sourcePrefixes6)], RETURN, 'own prefix'),
      ...unspecified6(),
      ...dropped('egress', [], 'spoofed IPv6 source'),
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
    ...refusals(),
  ];
}
