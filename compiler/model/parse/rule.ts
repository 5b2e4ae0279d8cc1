/** Security group rules: Neutron's validation, in Neutron's order. */
import { hash } from 'node:crypto';
import { parsePrefix, type Family } from '../address.js';
import { quoteValue } from '../problem.js';
import {
  ICMP,
  ICMPV6,
  IPV6_EXTENSION_HEADERS,
  IPV6_ONLY_PROTOCOLS,
  PORT_PROTOCOLS,
  PROTOCOL_NUMBERS,
  protocolName,
} from '../protocol.js';
import type { Direction, PortProtocol, Remote, SecurityGroupRule, Service } from '../topology.js';
import { isMappedAddress } from './addresses.js';
import { reportUnknownFields } from './fields.js';
import type { Directory } from './references.js';
import { field, isId, textIn, type Fields, type Place } from './report.js';

export interface RuleContext {
  readonly groupId: string;
  readonly projectId: string;
  readonly groups: Directory;
  readonly addressGroups: Directory;
}

/** Reads one rule; undefined when it is invalid. One with any error is of no use, whatever is returned. */
export function parseRule(fields: Fields, place: Place, context: RuleContext): SecurityGroupRule | undefined {
  reportUnknownFields('security group rule', fields, place);
  const direction = parseDirection(field(fields, 'direction'), place.key('direction'));
  const family = parseEthertype(field(fields, 'ethertype'), place.key('ethertype'));
  const service = family === undefined ? undefined : parseService(fields, family, place);
  const remote = family === undefined ? undefined : parseRemote(fields, family, place, context);
  const givenId = field(fields, 'id');
  const idIsValid = givenId === undefined || isId(givenId);
  if (!idIsValid) place.key('id').badValue(givenId, 'an id');
  if (direction === undefined || family === undefined || service === undefined || remote === undefined || !idIsValid) {
    return undefined;
  }
  const description = textIn(fields, 'description', place);
  const content = { direction, family, service, remote };
  return { id: isId(givenId) ? givenId : contentId(context.groupId, content), ...content, description };
}

const CONTENT_ID = /^rule-[0-9a-f]{8}$/;

/** True for the id of a rule that was given none. */
export function isContentId(id: string): boolean {
  return CONTENT_ID.test(id);
}

/** An id for a rule that has none, from its content: the order of the input must not matter. */
function contentId(groupId: string, content: object): string {
  const text = JSON.stringify([groupId, content], (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  return `rule-${hash('sha256', text, 'hex').slice(0, 8)}`;
}

/** Neutron's duplicate key: rules that agree in it are one rule. */
export function duplicateKey(rule: SecurityGroupRule): string {
  const { direction, family, service, remote } = rule;
  const remoteText =
    remote.kind === 'prefix'
      ? remote.prefix.text
      : remote.kind === 'unknown'
        ? remote.reference
        : 'id' in remote
          ? remote.id
          : '';
  const serviceText = Object.values(service).map(String).join('/');
  return [direction, family, serviceText, remote.kind, remoteText].join(' ');
}

function parseDirection(value: unknown, place: Place): Direction | undefined {
  return value === 'ingress' || value === 'egress' ? value : place.badValue(value, '"ingress" or "egress"');
}

function parseEthertype(value: unknown, place: Place): Family | undefined {
  if (value === undefined) return 'IPv4';
  switch (typeof value === 'string' ? value.toLowerCase() : undefined) {
    case 'ipv4':
      return 'IPv4';
    case 'ipv6':
      return 'IPv6';
    default:
      return place.badValue(value, '"IPv4" or "IPv6"');
  }
}

/** A protocol number; 'any' for any protocol; undefined when invalid. */
function parseProtocol(value: unknown, family: Family, place: Place): number | 'any' | undefined {
  if (value === undefined || value === null) return 'any';
  const valid = `a protocol (any, ip, ${[...PROTOCOL_NUMBERS.keys()].join(', ')}, or 0-255)`;
  if (typeof value !== 'string' && typeof value !== 'number') return place.badValue(value, valid);
  const text = value.toString().toLowerCase();
  // Neutron's users write 0 and ip for any protocol; hopopt is the IPv4 protocol number 0 itself.
  if (text === 'any' || text === 'ip' || text === '0') return 'any';
  const number = /^\d{1,3}$/.test(text) ? Number(text) : PROTOCOL_NUMBERS.get(text);
  if (number === undefined || number > 255) return place.badValue(value, valid);
  if (family === 'IPv6' && number === ICMP) return ICMPV6;
  if (family === 'IPv4' && IPV6_ONLY_PROTOCOLS.includes(number)) {
    place.error(
      'conflict',
      `${quoteValue(value)} is a protocol of IPv6 only, and the ethertype is IPv4: valid with ethertype IPv6`,
    );
    return undefined;
  }
  return number;
}

function parseService(fields: Fields, family: Family, place: Place): Service | undefined {
  const protocol = parseProtocol(field(fields, 'protocol'), family, place.key('protocol'));
  if (protocol === undefined) return undefined;
  const [min, max] = [given(fields, 'port_range_min'), given(fields, 'port_range_max')];
  if (min === undefined && max === undefined) return wholeProtocol(protocol, family, place);
  if (protocol === 'any') {
    place
      .key(min === undefined ? 'port_range_max' : 'port_range_min')
      .error(
        'conflict',
        `${quoteValue(min ?? max)} needs a protocol: ports go with tcp, udp, sctp, dccp and udplite, type and code with icmp`,
      );
    return undefined;
  }
  if (protocol === ICMP || protocol === ICMPV6) return parseIcmp(protocol, min, max, place);
  if (!isPortProtocol(protocol)) {
    place
      .key('port_range_min')
      .error(
        'conflict',
        `${quoteValue(min ?? max)} is given for protocol ${protocolName(protocol)}, which has no ports: valid with tcp, udp, sctp, dccp and udplite`,
      );
    return undefined;
  }
  return parsePorts(protocol, min, max, place);
}

function given(fields: Fields, name: string): unknown {
  return field(fields, name) ?? undefined;
}

function isPortProtocol(protocol: number): protocol is PortProtocol {
  return (PORT_PROTOCOLS as readonly number[]).includes(protocol);
}

function wholeProtocol(protocol: number | 'any', family: Family, place: Place): Service {
  if (protocol === 'any') return { kind: 'any' };
  if (family === 'IPv6' && IPV6_EXTENSION_HEADERS.includes(protocol)) {
    place
      .key('protocol')
      .report(
        'notice',
        'matches-nothing',
        `${protocolName(protocol)} is an extension header of IPv6: packets are judged by the protocol behind it, and this rule matches none`,
      );
  }
  return { kind: 'protocol', protocol };
}

function parseIcmp(protocol: 1 | 58, min: unknown, max: unknown, place: Place): Service | undefined {
  if (min === undefined) {
    place
      .key('port_range_max')
      .error(
        'conflict',
        `${quoteValue(max)} is an ICMP code, and the ICMP type (port_range_min) is missing: valid are type alone, or type and code`,
      );
    return undefined;
  }
  const type = wholeNumber(min, 0, 255) ?? place.key('port_range_min').badValue(min, 'an ICMP type (0-255)');
  if (type === undefined) return undefined;
  if (max === undefined) return { kind: 'icmp', protocol, type, code: undefined };
  const code = wholeNumber(max, 0, 255) ?? place.key('port_range_max').badValue(max, 'an ICMP code (0-255)');
  return code === undefined ? undefined : { kind: 'icmp', protocol, type, code };
}

function parsePorts(protocol: PortProtocol, min: unknown, max: unknown, place: Place): Service | undefined {
  const first = wholeNumber(min, 1, 65535) ?? place.key('port_range_min').badValue(min, 'a port (1-65535)');
  const last = wholeNumber(max, 1, 65535) ?? place.key('port_range_max').badValue(max, 'a port (1-65535)');
  if (first === undefined || last === undefined) return undefined;
  if (first > last) {
    place
      .key('port_range_min')
      .error(
        'conflict',
        `${first.toString()} is above port_range_max ${last.toString()}: port_range_min must be <= port_range_max`,
      );
    return undefined;
  }
  return first === 1 && last === 65535 ? { kind: 'protocol', protocol } : { kind: 'ports', protocol, first, last };
}

/** A number, or decimal text as Neutron takes it, within bounds. */
function wholeNumber(value: unknown, least: number, most: number): number | undefined {
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most
    ? number
    : undefined;
}

const REMOTES = ['remote_ip_prefix', 'remote_group_id', 'remote_address_group_id'] as const;

function parseRemote(fields: Fields, family: Family, place: Place, context: RuleContext): Remote | undefined {
  const named = REMOTES.filter((name) => !isNothing(field(fields, name)));
  const [only] = named;
  if (only === undefined) return { kind: 'any' };
  if (named.length > 1) {
    place.error(
      'conflict',
      `${named.join(' and ')} exclude each other: valid is one of ${REMOTES.join(', ')}, or none`,
    );
    return undefined;
  }
  const value = field(fields, only);
  switch (only) {
    case 'remote_ip_prefix':
      return parseRemotePrefix(value, family, place.key(only));
    case 'remote_group_id':
      return resolved('security-group', context.groups, value, place.key(only), context);
    case 'remote_address_group_id':
      return resolved('address-group', context.addressGroups, value, place.key(only), context);
  }
}

/** Neutron takes '' for null. */
function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

function resolved(
  kind: 'security-group' | 'address-group',
  directory: Directory,
  value: unknown,
  place: Place,
  context: RuleContext,
): Remote {
  const id = directory.find(value, context.projectId, place);
  return id === undefined ? { kind: 'unknown', reference: String(value) } : { kind, id };
}

function parseRemotePrefix(value: unknown, family: Family, place: Place): Remote | undefined {
  const prefix = typeof value === 'string' ? parsePrefix(expandShortForm(value)) : undefined;
  if (prefix === undefined) return place.badValue(value, 'an address or prefix (192.0.2.0/24, 2001:db8::/32)');
  if (prefix.family !== family) {
    place.error(
      'conflict',
      `${quoteValue(value)} is ${prefix.family}, and the ethertype is ${family}: both must be one family`,
    );
    return undefined;
  }
  if (isMappedAddress(prefix)) return place.badValue(value, 'matched by any packet: write the IPv4 address itself');
  return prefix.length === 0 ? { kind: 'any' } : { kind: 'prefix', prefix };
}

/** `10.0/8` is `10.0.0.0/8`, as Neutron reads it. */
function expandShortForm(text: string): string {
  const short = /^(\d{1,3}(?:\.\d{1,3}){0,2})(\/\d{1,2})$/.exec(text);
  if (short === null) return text;
  const [, head = '', length = ''] = short;
  const octets = head.split('.');
  return [...octets, ...Array<string>(4 - octets.length).fill('0')].join('.') + length;
}
