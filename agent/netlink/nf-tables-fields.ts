/** What each field is to the kernel: where it is loaded from, how its values are written, and what must be asked of a packet first. */
import { familyBits, lastAddress, type Prefix } from '../../compiler/model/index.js';
import type { Component, Field, NumberRange } from '../../compiler/index.js';
import { NotEncodable } from './not-encodable.js';
import { IFNAMSIZ, NFT_META, NFT_PAYLOAD, PROTO_DESC, TYPE } from './nf-tables-header.js';

/** Where a field is. */
export type Source =
  | { readonly kind: 'meta'; readonly key: number }
  | {
      readonly kind: 'payload';
      /** enum nft_payload_bases */
      readonly base: number;
      readonly offset: number;
      /** Of the bits that are the field's; absent: all. */
      readonly mask?: Buffer;
    };

/** The protocol that a packet must be of, so that the field is where it is. */
export type Needs = 'ethernet' | 'vlan' | 'arp' | 'ip' | 'ip6' | 'udp' | 'icmp' | 'icmpv6';

export interface FieldParts {
  readonly source: Source;
  /** In bytes. */
  readonly length: number;
  /** enum datatypes of nft(8) */
  readonly type: number;
  readonly isHostOrder: boolean;
  readonly needs: Needs | undefined;
  /**
   * The protocol's description and the field's place in it, by which nft(8) knows a field that a set's type does not name; and its length in
   * bits where that is not of whole bytes.
   */
  readonly described?: { readonly protocol: number; readonly field: number; readonly bits?: number };
}

const { NFT_PAYLOAD_LL_HEADER: LINK, NFT_PAYLOAD_NETWORK_HEADER: NETWORK } = NFT_PAYLOAD;
const TRANSPORT = NFT_PAYLOAD.NFT_PAYLOAD_TRANSPORT_HEADER;

function meta(key: number, length: number, type: number, isHostOrder = false): FieldParts {
  return { source: { kind: 'meta', key }, length, type, isHostOrder, needs: undefined };
}

function payload(base: number, offset: number, length: number, type: number, needs?: Needs): FieldParts {
  return { source: { kind: 'payload', base, offset }, length, type, isHostOrder: false, needs };
}

const VLAN_ID: FieldParts = {
  source: { kind: 'payload', base: LINK, offset: 14, mask: Buffer.of(0x0f, 0xff) },
  length: 2,
  type: TYPE.TYPE_INTEGER,
  isHostOrder: false,
  needs: 'vlan',
  described: { protocol: PROTO_DESC.VLAN, field: 4, bits: 12 },
};

/** The header of IPv4 has its addresses at 12 and 16, that of IPv6 at 8 and 24; struct arphdr and what is behind it in linux/if_arp.h. */
export const FIELDS: Readonly<Record<Field, FieldParts>> = {
  iif: meta(NFT_META.NFT_META_IIF, 4, TYPE.TYPE_IFINDEX, true),
  iifname: meta(NFT_META.NFT_META_IIFNAME, IFNAMSIZ, TYPE.TYPE_IFNAME, true),
  oifname: meta(NFT_META.NFT_META_OIFNAME, IFNAMSIZ, TYPE.TYPE_IFNAME, true),
  ibrname: meta(NFT_META.NFT_META_BRI_IIFNAME, IFNAMSIZ, TYPE.TYPE_IFNAME, true),
  'vlan id': VLAN_ID,
  'ether saddr': payload(LINK, 6, 6, TYPE.TYPE_ETHERADDR, 'ethernet'),
  'ether daddr': payload(LINK, 0, 6, TYPE.TYPE_ETHERADDR, 'ethernet'),
  'ether type': payload(LINK, 12, 2, TYPE.TYPE_ETHERTYPE, 'ethernet'),
  'arp operation': payload(NETWORK, 6, 2, TYPE.TYPE_ARPOP, 'arp'),
  'arp saddr ether': payload(NETWORK, 8, 6, TYPE.TYPE_ETHERADDR, 'arp'),
  'arp saddr ip': payload(NETWORK, 14, 4, TYPE.TYPE_IPADDR, 'arp'),
  'meta protocol': meta(NFT_META.NFT_META_PROTOCOL, 2, TYPE.TYPE_ETHERTYPE),
  'meta l4proto': meta(NFT_META.NFT_META_L4PROTO, 1, TYPE.TYPE_INET_PROTOCOL, true),
  'ip saddr': {
    ...payload(NETWORK, 12, 4, TYPE.TYPE_IPADDR, 'ip'),
    described: { protocol: PROTO_DESC.IP, field: 11 },
  },
  'ip daddr': payload(NETWORK, 16, 4, TYPE.TYPE_IPADDR, 'ip'),
  'ip6 saddr': {
    ...payload(NETWORK, 8, 16, TYPE.TYPE_IP6ADDR, 'ip6'),
    described: { protocol: PROTO_DESC.IP6, field: 8 },
  },
  'ip6 daddr': payload(NETWORK, 24, 16, TYPE.TYPE_IP6ADDR, 'ip6'),
  'udp sport': payload(TRANSPORT, 0, 2, TYPE.TYPE_INET_SERVICE, 'udp'),
  'udp dport': payload(TRANSPORT, 2, 2, TYPE.TYPE_INET_SERVICE, 'udp'),
  'th sport': payload(TRANSPORT, 0, 2, TYPE.TYPE_INET_SERVICE),
  'th dport': payload(TRANSPORT, 2, 2, TYPE.TYPE_INET_SERVICE),
  'icmp type': payload(TRANSPORT, 0, 1, TYPE.TYPE_ICMP_TYPE, 'icmp'),
  'icmp code': payload(TRANSPORT, 1, 1, TYPE.TYPE_ICMP_CODE, 'icmp'),
  'icmpv6 type': payload(TRANSPORT, 0, 1, TYPE.TYPE_ICMP6_TYPE, 'icmpv6'),
  'icmpv6 code': payload(TRANSPORT, 1, 1, TYPE.TYPE_ICMPV6_CODE, 'icmpv6'),
  'nd target': {
    ...payload(TRANSPORT, 8, 16, TYPE.TYPE_INTEGER),
    described: { protocol: PROTO_DESC.UNKNOWN, field: 0 },
  },
};

/** Both ends of a component's values, as the kernel compares them: one and the same of a single value. */
export interface Ends {
  readonly first: Buffer;
  readonly last: Buffer;
}

/** @throws NotEncodable for what is no value of the field. */
export function endsOf(field: Field, component: Component | undefined): Ends {
  const { length, type, isHostOrder } = FIELDS[field];
  if (typeof component === 'string') {
    const value = type === TYPE.TYPE_IFNAME ? deviceBytes(component) : macBytes(field, component);
    return { first: value, last: value };
  }
  if (typeof component === 'number') {
    const value = isHostOrder
      ? numberBytes(BigInt(component), length).reverse()
      : numberBytes(BigInt(component), length);
    return { first: value, last: value };
  }
  if (component === undefined) throw new NotEncodable(`a key without ${field}`);
  const [first, last] = 'family' in component ? addressEnds(component) : numberEnds(component);
  if (isHostOrder) throw new NotEncodable(`a range of ${field}`);
  const value = numberBytes(first, length);
  return { first: value, last: first === last ? value : numberBytes(last, length) };
}

function addressEnds(prefix: Prefix): readonly [bigint, bigint] {
  return [prefix.network, lastAddress(prefix)];
}

function numberEnds({ first, last }: NumberRange): readonly [bigint, bigint] {
  return [BigInt(first), BigInt(last)];
}

function macBytes(field: Field, text: string): Buffer {
  const value = Buffer.from(text.replaceAll(':', ''), 'hex');
  if (value.length !== FIELDS[field].length) throw new NotEncodable(`${JSON.stringify(text)} as ${field}`);
  return value;
}

/** In network byte order. A transaction has hundreds of thousands: none is written as text in between. */
function numberBytes(value: bigint, length: number): Buffer {
  if (value < 0n || value >> BigInt(8 * length) !== 0n) {
    throw new NotEncodable(`${value.toString()} in ${length.toString()} bytes`);
  }
  const bytes = Buffer.allocUnsafe(length);
  if (length === 16) {
    bytes.writeBigUInt64BE(value >> 64n, 0);
    bytes.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8);
  } else bytes.writeUIntBE(Number(value), 0, length);
  return bytes;
}

/** A name of a device as packets' registers have it: 16 bytes, zeros behind it. @throws NotEncodable for a longer one. */
export function deviceBytes(name: string): Buffer {
  if (Buffer.byteLength(name) >= IFNAMSIZ) throw new NotEncodable(`a device of the name ${JSON.stringify(name)}`);
  const bytes = Buffer.allocUnsafe(IFNAMSIZ);
  return bytes.fill(0, bytes.write(name));
}

/** The mask of a prefix. */
export function maskOf({ family, length }: Prefix): Buffer {
  const bits = familyBits(family);
  const ones = (1n << BigInt(bits)) - (1n << BigInt(bits - length));
  return numberBytes(ones, bits / 8);
}
