/**
 * IP addresses and prefixes, IPv4 and IPv6 alike.
 *
 * One type serves both: an exact address is a prefix of full length. Values are normalised when parsed (host bits cut,
 * RFC 5952 text), so that equal prefixes have equal `text`.
 */
import ipaddr from 'ipaddr.js';

/** Neutron's `ethertype`. */
export type Family = 'IPv4' | 'IPv6';

export const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];

export interface Prefix {
  readonly family: Family;
  /** The network address as a number; host bits are zero. */
  readonly network: bigint;
  /** 0-32 for IPv4, 0-128 for IPv6. */
  readonly length: number;
  /** Canonical text: `10.0.0.5` for an exact address, `10.0.0.0/8` for a prefix. */
  readonly text: string;
}

/** Number of bits of an address of the family. */
export function familyBits(family: Family): 32 | 128 {
  return family === 'IPv4' ? 32 : 128;
}

/** True when the prefix is one exact address. */
export function isExact(prefix: Prefix): boolean {
  return prefix.length === familyBits(prefix.family);
}

/** The last address of the prefix as a number. */
export function lastAddress(prefix: Prefix): bigint {
  return prefix.network | ((1n << BigInt(familyBits(prefix.family) - prefix.length)) - 1n);
}

/** True when every address of `inner` is in `outer`; families never mix. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  const shift = BigInt(familyBits(outer.family) - outer.length);
  return outer.network >> shift === inner.network >> shift;
}

/** Text of an address number: dotted quad, or RFC 5952. */
export function formatAddress(family: Family, address: bigint): string {
  if (family === 'IPv4') {
    const n = Number(address);
    return dottedQuad([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
  }
  const parts: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) parts.push(Number((address >> shift) & 0xffffn));
  return new ipaddr.IPv6(parts).toRFC5952String();
}

/** Builds a prefix from numbers; host bits of `address` are cut. */
export function makePrefix(family: Family, address: bigint, length: number): Prefix {
  const hostBits = BigInt(familyBits(family) - length);
  const network = (address >> hostBits) << hostBits;
  const host = formatAddress(family, network);
  return { family, network, length, text: hostBits === 0n ? host : `${host}/${String(length)}` };
}

/**
 * Reads an exact address: strict dotted quad (no leading zeros, four parts) or IPv6 (RFC 4291, no zone).
 * Returns undefined when the text is not an address.
 */
export function parseAddress(text: string): Prefix | undefined {
  // The library tells "not an address" by an exception, which is slow: each text is tried as one family only.
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Prefix | undefined {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
  if (Math.max(a, b, c, d) > 255) return undefined;
  const network = BigInt(((a << 24) | (b << 16) | (c << 8) | d) >>> 0);
  return { family: 'IPv4', network, length: 32, text: dottedQuad([a, b, c, d]) };
}

/** Joined it is one string; a template would keep its parts. */
function dottedQuad(octets: readonly number[]): string {
  return octets.join('.');
}

function parseIpv6(text: string): Prefix | undefined {
  if (text.includes('%')) return undefined;
  const parsed = ipv6Of(text);
  if (parsed === undefined) return undefined;
  // By halves of 32 bits, which a number holds: numbers cost less than big ones.
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = parsed.parts;
  const upper = (BigInt(a * 0x1_0000 + b) << 32n) | BigInt(c * 0x1_0000 + d);
  const lower = (BigInt(e * 0x1_0000 + f) << 32n) | BigInt(g * 0x1_0000 + h);
  return { family: 'IPv6', network: (upper << 64n) | lower, length: 128, text: parsed.toRFC5952String() };
}

/** The library finds out in the same way whether it is one (isValid), and then reads it again. */
function ipv6Of(text: string): ipaddr.IPv6 | undefined {
  try {
    return ipaddr.IPv6.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Reads an address or `address/length`; a bare address gets full length and host bits are cut, as Neutron's
 * `normalized_cidr`. Returns undefined when the text is neither.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return parseAddress(text);
  const address = parseAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  if (length > familyBits(address.family)) return undefined;
  // Of the addresses of a large group all: it is what was read already.
  if (length === address.length) return address;
  return makePrefix(address.family, address.network, length);
}

/** Orders by family, then address, then length (wider first). For sorting. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family < b.family ? -1 : 1;
  if (a.network !== b.network) return a.network < b.network ? -1 : 1;
  return a.length - b.length;
}
