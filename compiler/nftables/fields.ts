/** How each field is written for nft(8), as text and in the libnftables-json(5) schema. */
import type { Field } from '../ruleset/types.js';

export interface FieldSyntax {
  /** The expression. */
  readonly text: string;
  /** The data type of set keys; undefined where none is named and `typeof` must be used. */
  readonly type: string | undefined;
  readonly json: JsonExpression;
}

export interface JsonExpression {
  readonly [key: string]: JsonValue;
}
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonExpression;

function meta(key: string, type: string, text = `meta ${key}`): FieldSyntax {
  return { text, type, json: { meta: { key } } };
}

function payload(protocol: string, field: string, type: string): FieldSyntax {
  return { text: `${protocol} ${field}`, type, json: { payload: { protocol, field } } };
}

export const FIELD_SYNTAX: Readonly<Record<Field, FieldSyntax>> = {
  iif: meta('iif', 'iface_index', 'iif'),
  iifname: meta('iifname', 'ifname', 'iifname'),
  oifname: meta('oifname', 'ifname', 'oifname'),
  ibrname: meta('ibrname', 'ifname'),
  'vlan id': { text: 'vlan id', type: undefined, json: { payload: { protocol: 'vlan', field: 'id' } } },
  'ether saddr': payload('ether', 'saddr', 'ether_addr'),
  'ether daddr': payload('ether', 'daddr', 'ether_addr'),
  'ether type': payload('ether', 'type', 'ether_type'),
  'arp operation': payload('arp', 'operation', 'arp_op'),
  'arp saddr ether': payload('arp', 'saddr ether', 'ether_addr'),
  'arp saddr ip': payload('arp', 'saddr ip', 'ipv4_addr'),
  'meta protocol': meta('protocol', 'ether_type'),
  'meta l4proto': meta('l4proto', 'inet_proto'),
  'ip saddr': payload('ip', 'saddr', 'ipv4_addr'),
  'ip daddr': payload('ip', 'daddr', 'ipv4_addr'),
  'ip6 saddr': payload('ip6', 'saddr', 'ipv6_addr'),
  'ip6 daddr': payload('ip6', 'daddr', 'ipv6_addr'),
  'udp sport': payload('udp', 'sport', 'inet_service'),
  'udp dport': payload('udp', 'dport', 'inet_service'),
  'th sport': payload('th', 'sport', 'inet_service'),
  'th dport': payload('th', 'dport', 'inet_service'),
  'icmp type': payload('icmp', 'type', 'icmp_type'),
  'icmp code': payload('icmp', 'code', 'icmp_code'),
  'icmpv6 type': payload('icmpv6', 'type', 'icmpv6_type'),
  'icmpv6 code': payload('icmpv6', 'code', 'icmpv6_code'),
  'nd target': { text: '@th,64,128', type: undefined, json: { payload: { base: 'th', offset: 64, len: 128 } } },
};
