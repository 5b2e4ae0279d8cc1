/** Addresses of ports and address groups. */
import { covers, isExact, makePrefix, parseAddress, parsePrefix, type Prefix } from '../address.js';
import type { Place } from './report.js';

const MAPPED = makePrefix('IPv6', 0xffffn << 32n, 96);
const MULTICAST = [makePrefix('IPv4', 0xe0000000n, 4), makePrefix('IPv6', 0xffn << 120n, 8)];

/** IPv4-mapped IPv6 (RFC 4291, 2.5.5.2): never on the wire, so a rule or pair with one is a mistake. */
export function isMappedAddress(prefix: Prefix): boolean {
  return covers(MAPPED, prefix);
}

function isMulticast(prefix: Prefix): boolean {
  return MULTICAST.some((multicast) => covers(multicast, prefix));
}

/** An exact unicast address. */
export function unicastAddress(value: unknown, place: Place): Prefix | undefined {
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (address === undefined) return place.badValue(value, 'an address (192.0.2.1, 2001:db8::1)');
  return refuseOddities(address, value, place);
}

/** An address or prefix; host bits are cut. */
export function unicastPrefix(value: unknown, place: Place): Prefix | undefined {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined;
  if (prefix === undefined)
    return place.badValue(value, 'an address or prefix (192.0.2.1, 192.0.2.0/24, 2001:db8::/64)');
  return refuseOddities(prefix, value, place);
}

function refuseOddities(prefix: Prefix, value: unknown, place: Place): Prefix | undefined {
  if (isMappedAddress(prefix))
    return place.badValue(value, 'an address that a port can have: write the IPv4 address itself');
  if (isMulticast(prefix)) return place.badValue(value, 'a unicast address');
  if (isExact(prefix) && prefix.network === 0n) return place.badValue(value, 'an address that a port can have');
  return prefix;
}

/** Any prefix, as address groups hold them. */
export function anyPrefix(value: unknown, place: Place): Prefix | undefined {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined;
  if (prefix === undefined) return place.badValue(value, 'an address or prefix (192.0.2.0/24, 2001:db8::/64)');
  return isMappedAddress(prefix)
    ? place.badValue(value, 'matched by any packet: write the IPv4 address itself')
    : prefix;
}

/** Distinct, by text. */
export function distinct(prefixes: readonly Prefix[]): readonly Prefix[] {
  // Of a hundred thousand ports nearly all.
  if (prefixes.length < 2) return prefixes;
  return [...new Map(prefixes.map((prefix) => [prefix.text, prefix])).values()];
}
