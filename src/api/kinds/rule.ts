/** Rules of security groups, and templates of rules: each attribute as clients write it, in Neutron's reading and with its errors. */
import { z } from 'zod';
import { parseAddress, parsePrefix, PROTOCOL_NUMBERS, type Family } from '../../../compiler/model/index.js';
import { ApiError, invalidInput } from '../errors.js';
import {
  attribute,
  defaulted,
  fixed,
  ID,
  NULLABLE_TEXT,
  orNull,
  referring,
  required,
  STANDARD,
  words,
  unchanged,
  type RecordOf,
} from './attribute.js';
import { oneOf, shown, text, truth, type Parser } from './parsers.js';

const ethertype: Parser<Family> = (value) => {
  const known = typeof value === 'string' ? value.toLowerCase() : '';
  if (known === 'ipv4') return 'IPv4';
  if (known === 'ipv6') return 'IPv6';
  throw new ApiError(
    'SecurityGroupRuleInvalidEtherType',
    `Security group rule for ethertype '${shown(value)}' not supported. Allowed values are ['IPv4', 'IPv6'].`,
  );
};

/** Of protocols: Neutron's names, `ip` too, which stands for any protocol and has the number 0. */
export const NUMBERS: ReadonlyMap<string, number> = new Map([...PROTOCOL_NUMBERS, ['ip', 0]]);

export const protocol: Parser<string | null> = (value) => {
  if (value === null) return null;
  const name = typeof value === 'string' || typeof value === 'number' ? String(value).toLowerCase() : '';
  if (name === 'any') return null;
  const isNumber = /^\d{1,3}$/.test(name) && Number(name) <= 255;
  if (isNumber) return Number(name).toString();
  if (NUMBERS.has(name)) return name;
  throw new ApiError(
    'SecurityGroupRuleInvalidProtocol',
    `Security group rule protocol ${shown(value)} not supported. Only protocol values [${[...NUMBERS.keys()].sort().join(', ')}] and integer representations [0 to 255] are supported.`,
  );
};

export const port: Parser<number | null> = (value) => {
  if (value === null) return null;
  const number = typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 65535) {
    throw new ApiError('SecurityGroupInvalidPortValue', `Invalid value for port ${shown(value)}`);
  }
  return number;
};

const remotePrefix: Parser<string | null> = (value) => {
  if (value === null || value === '') return null;
  const cidr = typeof value === 'string' ? cidrOf(value) : undefined;
  if (cidr === undefined) throw new ApiError('InvalidCIDR', `Invalid CIDR ${shown(value)} given as IP prefix.`);
  return cidr;
};

/** Host bits stay; a bare address gets its length; `10.0/8` and `0::0/0` are written out. */
function cidrOf(value: string): string | undefined {
  const short = /^(\d{1,3}(?:\.\d{1,3}){0,2})(\/\d{1,2})$/.exec(value);
  const written =
    short === null
      ? value
      : `${[...(short[1] ?? '').split('.'), '0', '0', '0'].slice(0, 4).join('.')}${short[2] ?? ''}`;
  const [address = '', suffix, ...more] = written.split('/');
  const exact = parsePrefix(address);
  if (exact === undefined || more.length > 0) return undefined;
  const length = suffix === undefined ? exact.length : lengthOf(suffix, exact.family);
  return length === undefined || length > exact.length ? undefined : `${exact.text}/${length.toString()}`;
}

/** `8`, `08`, and as masks `255.0.0.0`, `ffff::` and `0.255.255.255`. */
function lengthOf(suffix: string, family: Family): number | undefined {
  if (/^\d{1,3}$/.test(suffix)) return Number(suffix);
  const mask = parseAddress(suffix);
  if (mask?.family !== family) return undefined;
  const width = mask.length;
  const bits = mask.network.toString(2).padStart(width, '0');
  const [, ones, hosts] = /^(1*)0*$|^0*?(1+)$/.exec(bits) ?? [];
  if (ones !== undefined) return ones.length;
  return hosts === undefined ? undefined : width - hosts.length;
}

const remoteId: Parser<string | null> = (value, name) => {
  if (value === null || value === '') return null;
  if (typeof value !== 'string') throw invalidInput(name, `'${shown(value)}' is not a valid UUID`);
  return value;
};

const FAMILY = z.enum(['IPv4', 'IPv6']);
const DIRECTIONS = ['ingress', 'egress'] as const;

/** Text that is no id of a group is one that is not found. */
const groupReference: Parser<string> = (value, name) => {
  if (typeof value !== 'string') throw invalidInput(name, `'${shown(value)}' is not a valid UUID`);
  return value;
};

/** A protocol in a document: also by its number. */
const PROTOCOL = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => (value === null || value === undefined ? null : value.toString()));

const REMOTE = attribute(NULLABLE_TEXT, orNull(z.string()), fixed(defaulted(remoteId, null)));

/** What rules and templates of rules have in common; none of it can be changed. */
export const CONTENT = {
  direction: attribute(z.enum(DIRECTIONS), z.enum(DIRECTIONS), fixed(required(oneOf(DIRECTIONS)))),
  ethertype: attribute(FAMILY, FAMILY.default('IPv4'), fixed(defaulted(ethertype, 'IPv4'))),
  protocol: attribute(NULLABLE_TEXT, PROTOCOL, fixed(defaulted(protocol, null))),
  port_range_min: attribute(z.int().nullable(), orNull(z.int()), fixed(defaulted(port, null))),
  port_range_max: attribute(z.int().nullable(), orNull(z.int()), fixed(defaulted(port, null))),
  remote_ip_prefix: attribute(NULLABLE_TEXT, orNull(z.string()), fixed(defaulted(remotePrefix, null))),
  remote_group_id: referring('security_group', REMOTE),
  remote_address_group_id: referring('address_group', REMOTE),
};

export type RuleContent = RecordOf<typeof CONTENT>;

export const RULE = {
  ...STANDARD,
  security_group_id: referring('security_group', attribute(ID, z.string(), fixed(required(groupReference)))),
  ...CONTENT,
  /** Null in rules that were made with their group. */
  description: attribute(NULLABLE_TEXT, z.string().nullable().default(''), fixed(defaulted(text(255), ''))),
};

export type RuleRecord = RecordOf<typeof RULE>;

/** Stands in a template for the group that is being made. */
export const PARENT = 'PARENT';

export const DEFAULT_RULE = {
  id: STANDARD.id,
  ...CONTENT,
  remote_group_id: referring(({ remote_group_id: id }) => (id === PARENT ? undefined : 'security_group'), REMOTE),
  description: unchanged(words(255)),
  used_in_default_sg: attribute(z.boolean(), z.boolean(), fixed(defaulted(truth, false))),
  used_in_non_default_sg: attribute(z.boolean(), z.boolean(), fixed(defaulted(truth, true))),
};

export type DefaultRuleRecord = RecordOf<typeof DEFAULT_RULE>;
