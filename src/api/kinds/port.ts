/** Ports. */
import { z } from 'zod';
import { parseMac, parsePortMac, parsePrefix } from '../../../compiler/model/index.js';
import { ApiError, badRequest, invalidInput } from '../errors.js';
import {
  attribute,
  choice,
  defaulted,
  fixed,
  flag,
  ID,
  NULLABLE_TEXT,
  optional,
  reference,
  referring,
  STANDARD,
  TAGS,
  TEXT,
  words,
  type RecordOf,
} from './attribute.js';
import {
  distinct,
  integer,
  isObject,
  list,
  nullable,
  object,
  shown,
  text,
  truth,
  uuid,
  type Fields,
  type Parser,
} from './parsers.js';

/** Neutron's `max_allowed_address_pair`. */
const MOST_PAIRS = 10;
/** Neutron's `max_fixed_ips_per_port`. */
const MOST_FIXED_IPS = 5;
/** Of DHCP, of one port. */
export const MOST_OPTIONS = 20;
function macBy(parse: typeof parseMac, what: string): Parser<string> {
  return (value, name) => {
    const mac = typeof value === 'string' ? parse(value) : undefined;
    if (mac === undefined) throw invalidInput(name, `'${shown(value)}' is not a ${what}`);
    return mac;
  };
}

const macAddress = macBy(parseMac, 'valid MAC address of a single device');
const ownMacAddress = macBy(parsePortMac, 'valid MAC address');

const wantedIp: Parser<WantedIp> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `Invalid data format for fixed IP: '${shown(value)}'`);
  const unknown = Object.keys(value).find((key) => key !== 'subnet_id' && key !== 'ip_address');
  if (unknown !== undefined)
    throw invalidInput(name, `Invalid data format for fixed IP: unknown key '${shown(unknown)}'`);
  const { subnet_id: subnet, ip_address: address } = value;
  return {
    subnet_id: subnet === undefined || subnet === null ? undefined : uuid(subnet, name),
    ip_address: address === undefined || address === null ? undefined : text(64)(address, name),
  };
};

/** Without a MAC it is the port's own. */
export interface WantedPair {
  readonly ip_address: string;
  readonly mac_address: string | undefined;
}

const pair: Parser<WantedPair> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  const unknown = Object.keys(value).filter((key) => key !== 'mac_address' && key !== 'ip_address');
  if (unknown.length > 0) {
    throw badRequest(`Unrecognized attribute(s) '${shown(unknown.join(', '))}'`);
  }
  const address = value['ip_address'];
  if (address === undefined)
    throw new ApiError('AllowedAddressPairsMissingIP', 'AllowedAddressPair must contain ip_address');
  if (typeof address !== 'string' || parsePrefix(address) === undefined) {
    throw invalidInput(name, `'${shown(address)}' is not a valid IP address or subnet`);
  }
  const mac = value['mac_address'];
  return { ip_address: address, mac_address: mac === undefined ? undefined : macAddress(mac, name) };
};

const pairs: Parser<readonly WantedPair[]> = (value, name) => {
  const given = list(pair)(value, name);
  if (given.length > MOST_PAIRS) {
    throw new ApiError(
      'AllowedAddressPairExhausted',
      `The number of allowed address pair exceeds the maximum ${MOST_PAIRS.toString()}.`,
    );
  }
  return given;
};

/** Neutron's column takes 64 characters of a name and 255 of a value; null takes an option away. */
const dhcpOption: Parser<DhcpOption> = (value, name) => {
  if (!isObject(value)) throw invalidOption(`'${shown(value)}' is not a dictionary`);
  const unknown = Object.keys(value).find((key) => !['opt_name', 'opt_value', 'ip_version'].includes(key));
  if (unknown !== undefined) throw invalidOption(`unknown key '${shown(unknown)}'`);
  const { opt_name: key, opt_value: said, ip_version: version } = value;
  if (key === undefined || said === undefined) throw invalidOption('opt_name and opt_value are required');
  const option = text(64)(key, name);
  if (option.trim() === '') throw invalidOption('opt_name is empty');
  const own = said === null ? null : text(255)(typeof said === 'number' ? String(said) : said, name);
  if (own?.trim() === '') throw invalidOption('opt_value is empty');
  const ip = version === undefined || version === null ? 4 : integer(4, 6)(version, name);
  if (ip === 5) throw invalidOption("'5' is not in [4, 6]");
  return { opt_name: option, opt_value: own, ip_version: ip === 6 ? 6 : 4 };
};

/** Of DHCP options, in Neutron's words. */
export function invalidOption(reason: string): ApiError {
  return new ApiError('InvalidInput', `Invalid input for extra_dhcp_opts. Reason: ${reason}.`);
}

/** Neutron's. */
const VNIC_TYPES = [
  'normal',
  'direct',
  'direct-physical',
  'macvtap',
  'baremetal',
  'virtio-forwarder',
  'smart-nic',
  'vdpa',
  'accelerator-direct',
  'accelerator-direct-physical',
  'remote-managed',
] as const;

/** Of a profile as JSON, in characters (Neutron's column). */
const MOST_PROFILE = 4095;

const profile: Parser<Fields> = (value, name) => {
  const given = value === null ? {} : object(value, name);
  if (JSON.stringify(given).length > MOST_PROFILE) {
    throw new ApiError('InvalidInput', `Invalid input for operation: ${name} value too large.`);
  }
  return given;
};

/** Null is no host. */
const hostName: Parser<string> = (value, name) => (value === null ? '' : text(255)(value, name));

const VERSION = z.union([z.literal(4), z.literal(6)]);
const IMPORTED_VERSION = z.coerce
  .number()
  .default(4)
  .transform((version): 4 | 6 => (version === 6 ? 6 : 4));

/** What a client asks of one address: a subnet, an address, or both. */
export interface WantedIp {
  readonly subnet_id: string | undefined;
  readonly ip_address: string | undefined;
}

export const PORT = {
  ...STANDARD,
  name: words(255),
  description: words(255),
  network_id: reference('network'),
  /** Null for another one, whichever. */
  mac_address: attribute(TEXT, z.string(), optional(nullable(ownMacAddress))),
  admin_state_up: flag(true),
  device_id: words(255),
  device_owner: words(255),
  fixed_ips: attribute(
    z.array(z.strictObject({ subnet_id: TEXT, ip_address: TEXT })),
    z.array(z.object({ subnet_id: z.string().default(''), ip_address: z.string() })).default([]),
    optional(list(wantedIp, MOST_FIXED_IPS)),
  ),
  security_groups: referring(
    'security_group',
    attribute(z.array(ID), z.array(z.string()).default([]), optional(distinct(uuid))),
  ),
  port_security_enabled: { ...flag(true), given: optional(truth) },
  allowed_address_pairs: attribute(
    z.array(z.strictObject({ mac_address: TEXT, ip_address: TEXT })),
    z.array(z.object({ mac_address: z.string().optional(), ip_address: z.string() })).default([]),
    defaulted(pairs, []),
  ),
  extra_dhcp_opts: attribute(
    z.array(z.strictObject({ opt_name: TEXT, opt_value: NULLABLE_TEXT, ip_version: VERSION })),
    z
      .array(z.object({ opt_name: z.string(), opt_value: z.string().nullable(), ip_version: IMPORTED_VERSION }))
      .nullish()
      .transform((value) => value ?? []),
    defaulted(list(dhcpOption, MOST_OPTIONS), []),
  ),
  'binding:vnic_type': choice(VNIC_TYPES, 'normal'),
  /** '' where it is bound to no host. */
  'binding:host_id': { ...words(255), given: defaulted(hostName, '') },
  'binding:profile': attribute(
    z.record(z.string(), z.unknown()),
    z
      .record(z.string(), z.unknown())
      .nullish()
      .transform((value) => value ?? {}),
    defaulted(profile, {}),
  ),
  tags: { ...TAGS, given: fixed(defaulted(distinct(text(255), 50), [])) },
};

export type PortRecord = RecordOf<typeof PORT>;
export type FixedIp = PortRecord['fixed_ips'][number];
export type AddressPair = PortRecord['allowed_address_pairs'][number];

export interface DhcpOption {
  readonly opt_name: string;
  /** Null, in a request, for one that goes. */
  readonly opt_value: string | null;
  readonly ip_version: 4 | 6;
}
