/** Subnets: the addresses that ports get. */
import { z } from 'zod';
import { parseAddress, parsePrefix } from '../../../compiler/model/index.js';
import { invalidInput } from '../errors.js';
import {
  attribute,
  defaulted,
  fixed,
  flag,
  kept,
  nullableText,
  NULLABLE_TEXT,
  optional,
  reference,
  required,
  STANDARD,
  TAGS,
  TEXT,
  texts,
  unchanged,
  words,
  type RecordOf,
} from './attribute.js';
import { integer, isObject, list, nullable, oneOf, shown, text, type Parser } from './parsers.js';

const address: Parser<string> = (value, name) => {
  const parsed = typeof value === 'string' ? parseAddress(value) : undefined;
  if (parsed === undefined) throw invalidInput(name, `'${shown(value)}' is not a valid IP address`);
  return parsed.text;
};

const cidr: Parser<string> = (value, name) => {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined;
  if (prefix === undefined) throw invalidInput(name, `'${shown(value)}' is not a valid IP subnet`);
  return prefix.text.includes('/') ? prefix.text : `${prefix.text}/${prefix.length.toString()}`;
};

const pool: Parser<AllocationPool> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  return { start: address(value['start'], name), end: address(value['end'], name) };
};

const route: Parser<{ readonly destination: string; readonly nexthop: string }> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  return { destination: cidr(value['destination'], name), nexthop: address(value['nexthop'], name) };
};

const MODE = oneOf(['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'] as const);
const VERSION = z.union([z.literal(4), z.literal(6)]);

export const SUBNET = {
  ...STANDARD,
  name: words(255),
  description: words(255),
  network_id: reference('network'),
  /** The CIDR says it: whoever says it, too, says the same. */
  ip_version: { ...kept(VERSION), given: fixed(optional(integer(4, 6))) },
  cidr: attribute(TEXT, z.string(), fixed(required(cidr))),
  gateway_ip: attribute(NULLABLE_TEXT, z.string().nullable().default(null), optional(nullable(address))),
  allocation_pools: attribute(
    z.array(z.strictObject({ start: TEXT, end: TEXT })),
    z.array(z.object({ start: z.string(), end: z.string() })).default([]),
    optional(list(pool, 100)),
  ),
  enable_dhcp: flag(true),
  ipv6_ra_mode: unchanged(nullableText(MODE)),
  ipv6_address_mode: unchanged(nullableText(MODE)),
  dns_nameservers: texts(address, 5),
  host_routes: attribute(
    z.array(z.strictObject({ destination: TEXT, nexthop: TEXT })),
    z.array(z.object({ destination: z.string(), nexthop: z.string() })).default([]),
    defaulted(list(route, 20), []),
  ),
  service_types: texts(text(255), 20),
  tags: TAGS,
};

export interface AllocationPool {
  readonly start: string;
  readonly end: string;
}

export type SubnetRecord = RecordOf<typeof SUBNET>;
