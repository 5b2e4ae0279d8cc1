/** What a rule says, as clients write it: Neutron's reading, order of checks, names of errors and texts. */
import { ICMP, ICMPV6, IPV6_ONLY_PROTOCOLS, parsePrefix, PORT_PROTOCOLS } from '../../../compiler/model/index.js';
import { ApiError } from '../errors.js';
import { picked } from '../kinds/attribute.js';
import { CONTENT, NUMBERS } from '../kinds/rule.js';
import type { RuleContent } from '../records.js';

/** Checks what the values say together. @throws ApiError (400) */
export function ruleContent(values: RuleContent): RuleContent {
  const content = wholeRange(canonicalIcmp(values));
  const number = content.protocol === null ? undefined : protocolNumber(content.protocol);
  checkRange(content, number);
  checkFamily(content, number);
  const remotes = [content.remote_ip_prefix, content.remote_group_id, content.remote_address_group_id];
  if (remotes.filter((remote) => remote !== null).length > 1) {
    throw new ApiError(
      'SecurityGroupMultipleRemoteEntites',
      'Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.',
    );
  }
  return content;
}

/** Without whatever else the values hold. */
function canonicalIcmp(values: RuleContent): RuleContent {
  const content = picked(CONTENT, values);
  const { ethertype: family, protocol: name } = content;
  const canonical = new Map([
    ['icmp', 'ipv6-icmp'],
    ['icmpv6', 'ipv6-icmp'],
    ['1', '58'],
  ]);
  return { ...content, protocol: family === 'IPv6' && name !== null ? (canonical.get(name) ?? name) : name };
}

/** All ports are no condition. */
function wholeRange(content: RuleContent): RuleContent {
  const isWhole =
    (content.protocol === null || isPortProtocol(protocolNumber(content.protocol))) &&
    content.port_range_min === 1 &&
    content.port_range_max === 65535;
  return isWhole ? { ...content, port_range_min: null, port_range_max: null } : content;
}

function protocolNumber(name: string): number {
  return NUMBERS.get(name) ?? Number(name);
}

function isPortProtocol(number: number): boolean {
  return (PORT_PROTOCOLS as readonly number[]).includes(number);
}

/** By name or number: tcp, udp, sctp, dccp, udplite. */
export function isPortProtocolName(name: string): boolean {
  return isPortProtocol(protocolNumber(name));
}

function checkRange(
  { protocol: name, port_range_min: min, port_range_max: max }: RuleContent,
  number: number | undefined,
): void {
  if (min === null && max === null) return;
  if (name === null || number === undefined) {
    throw new ApiError('SecurityGroupProtocolRequiredWithPorts', 'Must also specify protocol if port range is given.');
  }
  if (isPortProtocol(number)) {
    if (min === 0 || max === 0) throw new ApiError('SecurityGroupInvalidPortValue', 'Invalid value for port 0');
    if (min === null || max === null || min > max) {
      throw new ApiError(
        'SecurityGroupInvalidPortRange',
        'For TCP/UDP protocols, port_range_min must be <= port_range_max',
      );
    }
    return;
  }
  if (number === ICMP || number === ICMPV6) checkIcmp(min, max);
  else {
    throw new ApiError(
      'SecurityGroupInvalidProtocolForPort',
      `Invalid protocol ${name} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.`,
    );
  }
}

function checkIcmp(type: number | null, code: number | null): void {
  for (const [field, attribute, value] of [
    ['type', 'port_range_min', type],
    ['code', 'port_range_max', code],
  ] as const) {
    if (value !== null && value > 255) {
      throw new ApiError(
        'SecurityGroupInvalidIcmpValue',
        `Invalid value for ICMP ${field} (${attribute}) ${value.toString()}. It must be 0 to 255.`,
      );
    }
  }
  if (type === null && code !== null) {
    throw new ApiError(
      'SecurityGroupMissingIcmpType',
      `ICMP code (port-range-max) ${code.toString()} is provided but ICMP type (port-range-min) is missing.`,
    );
  }
}

function checkFamily(
  { ethertype: family, remote_ip_prefix: cidr, protocol: name }: RuleContent,
  number: number | undefined,
): void {
  if (cidr !== null && parsePrefix(cidr)?.family !== family) {
    throw new ApiError('SecurityGroupRuleParameterConflict', `Conflicting value ethertype ${family} for CIDR ${cidr}`);
  }
  if (family === 'IPv4' && number !== undefined && IPV6_ONLY_PROTOCOLS.includes(number)) {
    throw new ApiError(
      'SecurityGroupEthertypeConflictWithProtocol',
      `Invalid ethertype ${family} for protocol ${name ?? ''}.`,
    );
  }
}

/** Rules of one group that agree in it are one rule: names and numbers are equal, and so are no prefix and all addresses. */
export function duplicateKey(content: RuleContent): string {
  const { remote_ip_prefix: cidr, protocol: name } = content;
  const prefix = cidr === '0.0.0.0/0' || cidr === '::/0' ? null : cidr;
  return JSON.stringify([
    content.direction,
    content.ethertype,
    name === null ? null : name === 'hopopt' ? name : protocolNumber(name),
    content.port_range_min,
    content.port_range_max,
    prefix,
    content.remote_group_id,
    content.remote_address_group_id,
  ]);
}

/** `normalized_cidr`: without host bits. */
export function normalisedCidr(cidr: string | null): string | null {
  if (cidr === null) return null;
  const prefix = parsePrefix(cidr);
  if (prefix === undefined) return null;
  return prefix.text.includes('/') ? prefix.text : `${prefix.text}/${prefix.length.toString()}`;
}
