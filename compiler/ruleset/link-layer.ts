/** Frames that are not IP: what of them a port may send and get, and ARP, whose sender must be the port. */
import type { Direction } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { ACCEPT, chain, dropped, goTo, inSet, is, isNot, jump, rule } from './build.js';
import { ETHERTYPE, ETHERTYPE_ARP, ETHERTYPE_RARP } from './ethertype.js';
import { CHAINS, MAC_FIELDS, SETS } from './fixed-names.js';
import { owes } from './guard.js';
import { UNSPECIFIED4 } from './special-addresses.js';
import type { Chain, Field, Match, Rule } from './types.js';
import type { Datapath } from '../datapath.js';

/** On a bridge every frame passes: what is not an untagged IP packet is judged apart. */
export function linkLayerRule(datapath: Datapath, target: string): readonly Rule[] {
  switch (datapath) {
    case 'routed':
      return [];
    case 'bridge':
    case 'bridge-netfilter':
      return [rule([isNot('ether type', ETHERTYPE.IPv4, ETHERTYPE.IPv6)], goTo(target), 'not IP, or tagged')];
  }
}

export function linkLayerChains({ ethertypes }: CompileOptions): readonly Chain[] {
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
export function arpGuard(): readonly Chain[] {
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
