/** Ethernet addresses in one spelling: lower case, colons. */
import type { Prefix } from './address.js';

declare const macBrand: unique symbol;
/** A MAC address that a port may own, `fa:16:3e:00:00:01`. Made only by {@link parseMac} and {@link parsePortMac}. */
export type Mac = string & { readonly [macBrand]: true };

const MAC_PATTERN = /^[0-9a-f]{2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4})$/;

/**
 * Reads the address of a single device, `fa:16:3e:00:00:01` or `FA-16-3E-00-00-01`. Returns undefined for anything else: all zero, broadcast
 * and multicast (group bit, IEEE 802) are none.
 */
export function parseMac(text: string): Mac | undefined {
  const mac = parsePortMac(text);
  return mac === undefined || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 ? undefined : mac;
}

/**
 * Reads what Neutron takes for a port's own address: any but all zero and broadcast (neutron-lib, INVALID_MAC_ADDRESSES). One with the group bit
 * is nobody's: no Linux guest takes it, and no bridge takes a frame that comes from it (br_handle_frame, net/bridge/br_input.c).
 */
export function parsePortMac(text: string): Mac | undefined {
  const lower = text.toLowerCase();
  if (!MAC_PATTERN.test(lower)) return undefined;
  const mac = lower.replaceAll('-', ':');
  return mac === '00:00:00:00:00:00' || mac === 'ff:ff:ff:ff:ff:ff' ? undefined : (mac as Mac);
}

/** The EUI-64 link-local address of a MAC as a number: fe80::/64 and the modified EUI-64 (RFC 4291, appendix A). */
export function eui64LinkLocalNumber(mac: Mac): Prefix['network'] {
  const bytes = mac.split(':').map((byte) => BigInt(Number.parseInt(byte, 16)));
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = bytes;
  const identifier = [a ^ 2n, b, c, 0xffn, 0xfen, d, e, f];
  return identifier.reduce((value, byte) => (value << 8n) | byte, 0xfe80n << 48n);
}
