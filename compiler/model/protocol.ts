/** IP protocols by the names that Neutron accepts (neutron-lib, IP_PROTOCOL_MAP). */

/** Names, lower case, to IANA numbers. `ip` is Neutron's word for any protocol and is not here. */
export const PROTOCOL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ['hopopt', 0],
  ['icmp', 1],
  ['igmp', 2],
  ['ipip', 4],
  ['tcp', 6],
  ['egp', 8],
  ['udp', 17],
  ['dccp', 33],
  ['ipv6-encap', 41],
  ['ipv6-route', 43],
  ['ipv6-frag', 44],
  ['rsvp', 46],
  ['gre', 47],
  ['esp', 50],
  ['ah', 51],
  ['ipv6-icmp', 58],
  ['icmpv6', 58],
  ['ipv6-nonxt', 59],
  ['ipv6-opts', 60],
  ['ospf', 89],
  ['vrrp', 112],
  ['pgm', 113],
  ['sctp', 132],
  ['udplite', 136],
]);

export const ICMP = 1;
export const UDP = 17;
export const ICMPV6 = 58;
export const UDPLITE = 136;

/** Protocols that have ports. */
export const PORT_PROTOCOLS = [6, 17, 33, 132, 136] as const;

/** Refused with ethertype IPv4 by Neutron: encap, route, frag, icmp, nonxt, opts. */
export const IPV6_ONLY_PROTOCOLS: readonly number[] = [41, 43, 44, 58, 59, 60];

/**
 * IPv6 extension headers (hop-by-hop, routing, fragment, AH, destination options). The kernel judges a packet by its
 * upper-layer protocol, behind these, so that a rule for one of them under IPv6 never matches.
 */
export const IPV6_EXTENSION_HEADERS: readonly number[] = [0, 43, 44, 51, 60];

const NAMES_BY_NUMBER: ReadonlyMap<number, string> = new Map(
  [...PROTOCOL_NUMBERS].filter(([name]) => name !== 'icmpv6').map(([name, number]) => [number, name]),
);

/** The name of a protocol number, or the number as text. */
export function protocolName(protocol: number): string {
  return NAMES_BY_NUMBER.get(protocol) ?? String(protocol);
}
