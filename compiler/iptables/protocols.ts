/** Names of protocols in rules of iptables. */

/** A protocol as rules of ours have it: by name where iptables knows one wherever it runs, and by number where not. */
export function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? protocol.toString();
}

/** The protocol that a listed word stands for; undefined for another word. */
export function protocolOf(listed: string): number | undefined {
  return /^\d+$/.test(listed) ? Number(listed) : NUMBERS.get(listed);
}

/** Those that iptables writes by name wherever it runs (xtables_chain_protos in libxtables). */
const NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [50, 'esp'],
  [51, 'ah'],
  [58, 'ipv6-icmp'],
  [132, 'sctp'],
  [136, 'udplite'],
]);

/** Others as /etc/protocols names them where it is there (netbase, after IANA's registry of protocol numbers). */
const OTHERS =
  'igmp 2 ggp 3 ipencap 4 st 5 egp 8 igp 9 pup 12 hmp 20 xns-idp 22 rdp 27 iso-tp4 29 dccp 33 xtp 36 ddp 37 ' +
  'idpr-cmtp 38 ipv6 41 ipv6-route 43 ipv6-frag 44 idrp 45 rsvp 46 gre 47 skip 57 ipv6-nonxt 59 ipv6-opts 60 ' +
  'rspf 73 vmtp 81 eigrp 88 ospf 89 ax.25 93 ipip 94 etherip 97 encap 98 pim 103 ipcomp 108 vrrp 112 l2tp 115 ' +
  'isis 124 fc 133 mobility-header 135 ipv6-mh 135 mh 135 mpls-in-ip 137 manet 138 hip 139 shim6 140 wesp 141 ' +
  'rohc 142 ethernet 143';

const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...[...OTHERS.matchAll(/(\S+) (\d+)/g)].map(([, name = '', number]): [string, number] => [name, Number(number)]),
  ...[...NAMES].map(([number, name]): [string, number] => [name, number]),
]);
