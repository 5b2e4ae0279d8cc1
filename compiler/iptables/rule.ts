/**
 * Rules as iptables-save(8) lists them, so that what is loaded can be compared with what is wanted: addresses, devices and
 * protocol before matches, protocols by the names that iptables knows of itself.
 */
import type { Prefix } from '../model/index.js';
import { word } from './names.js';

export interface RuleParts {
  readonly source?: Pick<Prefix, 'text' | 'length'> | undefined;
  readonly destination?: Pick<Prefix, 'text' | 'length'> | undefined;
  /** A device's name, or the start of one with `+` behind it. */
  readonly input?: string | undefined;
  readonly output?: string | undefined;
  readonly protocol?: number | undefined;
  /** Each with its `-m`. */
  readonly matches?: readonly string[] | undefined;
  /** `-j DROP`, `-g CHAIN`. */
  readonly target: string;
}

/** The rule without `-A CHAIN`. */
export function ruleText({ source, destination, input, output, protocol, matches = [], target }: RuleParts): string {
  return [
    ...prefixOption('-s', source),
    ...prefixOption('-d', destination),
    ...(input === undefined ? [] : [`-i ${word(input)}`]),
    ...(output === undefined ? [] : [`-o ${word(output)}`]),
    ...(protocol === undefined ? [] : [`-p ${NAMES.get(protocol) ?? protocol.toString()}`]),
    ...matches,
    target,
  ].join(' ');
}

/** A listed rule as {@link ruleText} writes it: other names of protocols are numbers. */
export function canonicalRule(listed: string): string {
  return listed.replace(/(^| )-p (\S+)/, (whole, before: string, name: string) => {
    const number = LISTED_PROTOCOLS.get(name);
    return number === undefined ? whole : `${before}-p ${number.toString()}`;
  });
}

/** The number of a protocol as {@link ruleText} and {@link canonicalRule} write it; undefined for another word. */
export function protocolOf(written: string): number | undefined {
  if (/^\d+$/.test(written)) return Number(written);
  return [...NAMES].find(([, name]) => name === written)?.[0];
}

/** Not listed where it is everything. */
function prefixOption(option: string, prefix: RuleParts['source']): readonly string[] {
  if (prefix === undefined || prefix.length === 0) return [];
  return [`${option} ${prefix.text.includes('/') ? prefix.text : `${prefix.text}/${prefix.length.toString()}`}`];
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
const LISTED_PROTOCOLS: ReadonlyMap<string, number> = new Map(
  (
    'igmp 2 ggp 3 ipencap 4 st 5 egp 8 igp 9 pup 12 hmp 20 xns-idp 22 rdp 27 iso-tp4 29 dccp 33 xtp 36 ddp 37 ' +
    'idpr-cmtp 38 ipv6 41 ipv6-route 43 ipv6-frag 44 idrp 45 rsvp 46 gre 47 skip 57 ipv6-nonxt 59 ipv6-opts 60 ' +
    'rspf 73 vmtp 81 eigrp 88 ospf 89 ax.25 93 ipip 94 etherip 97 encap 98 pim 103 ipcomp 108 vrrp 112 l2tp 115 ' +
    'isis 124 fc 133 mobility-header 135 ipv6-mh 135 mh 135 mpls-in-ip 137 manet 138 hip 139 shim6 140 wesp 141 ' +
    'rohc 142 ethernet 143'
  )
    .match(/\S+ \d+/g)
    ?.map((pair): [string, number] => {
      const [name = '', number = ''] = pair.split(' ');
      return [name, Number(number)];
    }),
);
