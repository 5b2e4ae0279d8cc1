/**
 * The oracle: a plain reading of the semantics, written apart from the compiler, with which compiled rulesets and the
 * kernel are compared. `explain` asks it why.
 *
 * It judges one half: a frame that a port's device sends into the host (egress), or one that the host is about to give to
 * the port's device (ingress). A packet between two ports passes when both halves accept it.
 */
import {
  covers,
  makePrefix,
  parsePrefix,
  type Direction,
  type FlowState,
  type Frame,
  type IpPacket,
  type Port,
  type SecurityGroup,
  type SecurityGroupRule,
} from '../model/index.js';
import { hasFamily, isOwnMac, isOwnSource, isOwnTarget } from './own-addresses.js';
import { groupsOf, ruleMismatches, type JudgeContext } from './rules.js';

export interface Judgement {
  readonly verdict: 'accept' | 'drop';
  readonly reason: Reason;
}

export type Reason =
  | { readonly kind: 'rule'; readonly group: SecurityGroup; readonly rule: SecurityGroupRule }
  | { readonly kind: Exclude<ReasonKind, 'rule'> };

export type ReasonKind =
  | 'rule'
  | 'no-rule'
  | 'no-groups'
  | 'unknown-device'
  | 'port-security-off'
  | 'trusted'
  | 'port-down'
  | 'port-closed'
  | 'tagged'
  | 'ethertype'
  | 'permitted-ethertype'
  | 'own-rarp'
  | 'own-arp'
  | 'arp'
  | 'spoofed-rarp'
  | 'spoofed-arp'
  | 'spoofed-source'
  | 'spoofed-target'
  | 'family-closed'
  | 'dhcp'
  | 'dhcp-server'
  | 'router'
  | 'neighbour-discovery'
  | 'established'
  | 'related'
  | 'invalid'
  | 'revoked';

/** Judges a frame that the device of `port` sends; `port` undefined is a managed device that no port is known for. */
export function judgeEgress(context: JudgeContext, port: Port | undefined, frame: Frame, state: FlowState): Judgement {
  if (port?.filtering === 'port-security-off' && sendsAsOther(context, frame)) return drop('spoofed-source');
  return unfiltered(port) ?? (port === undefined ? drop('unknown-device') : egress(context, port, frame, state));
}

function sendsAsOther({ addressesOfPorts }: JudgeContext, { payload }: Frame): boolean {
  return payload.kind === 'ip' && addressesOfPorts?.has(payload.source.text) === true;
}

/** Judges a frame that is about to be given to the device of `port`. */
export function judgeIngress(context: JudgeContext, port: Port | undefined, frame: Frame, state: FlowState): Judgement {
  return unfiltered(port) ?? (port === undefined ? drop('unknown-device') : ingress(context, port, frame, state));
}

type PlainReason = Exclude<ReasonKind, 'rule'>;

function accept(kind: PlainReason): Judgement {
  return { verdict: 'accept', reason: { kind } };
}

function drop(kind: PlainReason): Judgement {
  return { verdict: 'drop', reason: { kind } };
}

function unfiltered(port: Port | undefined): Judgement | undefined {
  switch (port?.filtering) {
    case undefined:
    case 'filtered':
      return undefined;
    case 'port-security-off':
      return accept('port-security-off');
    case 'trusted':
      return accept('trusted');
    case 'down':
      return drop('port-down');
    case 'closed':
      return drop('port-closed');
  }
}

// Egress

function egress(context: JudgeContext, port: Port, frame: Frame, state: FlowState): Judgement {
  if (frame.vlanTags.length > 0 || frame.snap) return drop('tagged');
  const { payload } = frame;
  switch (payload.kind) {
    case 'other':
      if (!isPermitted(context, payload.etherType)) return drop('ethertype');
      return isOwnMac(port, frame.sourceMac) ? accept('permitted-ethertype') : drop('spoofed-source');
    case 'rarp':
      return isOwnMac(port, frame.sourceMac) ? accept('own-rarp') : drop('spoofed-rarp');
    case 'arp': {
      if (payload.operation !== 1 && payload.operation !== 2) return drop('spoofed-arp');
      const own = [payload.senderMac, frame.sourceMac].every((mac) => isOwnSource(port, mac, payload.senderIp));
      const probe =
        payload.senderIp.text === '0.0.0.0' &&
        hasFamily(port, 'IPv4') &&
        isOwnMac(port, payload.senderMac) &&
        isOwnMac(port, frame.sourceMac);
      return own || probe ? accept('own-arp') : drop('spoofed-arp');
    }
    case 'ip':
      return (
        sourceCheck(port, frame.sourceMac, payload) ??
        egressService(port, payload) ??
        flowState(context, port, payload, state) ??
        rules(context, port, 'egress', payload)
      );
  }
}

function isPermitted({ ethertypes = [] }: JudgeContext, etherType: number): boolean {
  return ethertypes.includes(etherType);
}

/** Undefined when the source is the port's own. */
function sourceCheck(port: Port, sourceMac: string, packet: IpPacket): Judgement | undefined {
  if (isOwnSource(port, sourceMac, packet.source)) return undefined;
  const { family } = packet.source;
  if (family === 'IPv4') {
    const isDiscover = packet.source.text === '0.0.0.0' && packet.destination.text === '255.255.255.255';
    // As Neutron: a port without an address may ask for one.
    if (isDiscover && isUdp(packet, 68, 67) && isOwnMac(port, sourceMac)) return accept('dhcp');
    return drop(hasFamily(port, 'IPv4') ? 'spoofed-source' : 'family-closed');
  }
  if (!isOwnMac(port, sourceMac)) return drop('spoofed-source');
  if (packet.source.text !== '::' || !covers(LINK_MULTICAST, packet.destination)) return drop('spoofed-source');
  switch (icmpv6Type(packet)) {
    case 131:
    case 143:
      return accept('neighbour-discovery');
    case 135:
      return isOwnTarget(port, packet) ? accept('neighbour-discovery') : drop('spoofed-target');
    default:
      return drop('spoofed-source');
  }
}

function egressService(port: Port, packet: IpPacket): Judgement | undefined {
  if (packet.source.family === 'IPv4') {
    if (isUdp(packet, 68, 67)) return accept('dhcp');
    return isUdp(packet, 67, 68) ? drop('dhcp-server') : undefined;
  }
  if (isUdp(packet, 546, 547)) return accept('dhcp');
  if (isUdp(packet, 547, 546)) return drop('dhcp-server');
  switch (icmpv6Type(packet)) {
    case 131:
    case 132:
    case 133:
    case 135:
    case 143:
      return accept('neighbour-discovery');
    case 134:
    case 137:
      return drop('router');
    case 136:
      return isOwnTarget(port, packet) ? accept('neighbour-discovery') : drop('spoofed-target');
    default:
      return undefined;
  }
}

// Ingress

function ingress(context: JudgeContext, port: Port, frame: Frame, state: FlowState): Judgement {
  if (frame.vlanTags.length > 0 || frame.snap) return drop('tagged');
  const { payload } = frame;
  switch (payload.kind) {
    case 'other':
      return isPermitted(context, payload.etherType) ? accept('permitted-ethertype') : drop('ethertype');
    case 'rarp':
    case 'arp':
      return accept('arp');
    case 'ip':
      return (
        closedFamily(port, payload) ??
        ingressService(payload) ??
        flowState(context, port, payload, state) ??
        rules(context, port, 'ingress', payload)
      );
  }
}

function closedFamily(port: Port, packet: IpPacket): Judgement | undefined {
  const { family } = packet.destination;
  if (hasFamily(port, family)) return undefined;
  if (family === 'IPv4' && isUdp(packet, 67, 68)) return accept('dhcp');
  const onLink = covers(LINK_LOCAL, packet.destination) || covers(LINK_MULTICAST, packet.destination);
  return family === 'IPv6' && onLink ? undefined : drop('family-closed');
}

function ingressService(packet: IpPacket): Judgement | undefined {
  if (packet.source.family === 'IPv4') return isUdp(packet, 67, 68) ? accept('dhcp') : undefined;
  if (isUdp(packet, 547, 546)) return accept('dhcp');
  const type = icmpv6Type(packet);
  return type !== undefined && [130, 134, 135, 136].includes(type) ? accept('neighbour-discovery') : undefined;
}

// State and rules

/** Undefined for packets of flows that the port did not admit, for those that the kernel does not track, and for stateless ports. */
function flowState(context: JudgeContext, port: Port, packet: IpPacket, state: FlowState): Judgement | undefined {
  const type = icmpv6Type(packet);
  if (type !== undefined && ((type >= 130 && type <= 136) || type === 143)) return undefined;
  if (!groupsOf(context, port).every((group) => group.stateful)) return undefined;
  switch (state) {
    case 'new':
    case 'unadmitted':
      return undefined;
    case 'established':
    case 'related':
      return accept(state);
    case 'invalid':
      // Linux calls UDP-Lite invalid as it is sent.
      return packet.transport.protocol === 136 ? undefined : drop(state);
    case 'revoked':
      return drop(state);
  }
}

function rules(context: JudgeContext, port: Port, direction: Direction, packet: IpPacket): Judgement {
  const groups = groupsOf(context, port);
  for (const group of groups) {
    const rule = group.rules.find((candidate) => ruleMismatches(context, candidate, direction, packet).length === 0);
    if (rule !== undefined) return { verdict: 'accept', reason: { kind: 'rule', group, rule } };
  }
  return drop(groups.length === 0 ? 'no-groups' : 'no-rule');
}

// Packets

const LINK_LOCAL = makePrefix('IPv6', 0xfe80n << 112n, 10);
const LINK_MULTICAST = parsePrefix('ff02::/16') ?? LINK_LOCAL;

function isUdp({ transport }: IpPacket, sourcePort: number, destinationPort: number): boolean {
  return (
    transport.kind === 'ports' &&
    transport.protocol === 17 &&
    transport.sourcePort === sourcePort &&
    transport.destinationPort === destinationPort
  );
}

function icmpv6Type({ source, transport }: IpPacket): number | undefined {
  return source.family === 'IPv6' && transport.kind === 'icmp' && transport.protocol === 58
    ? transport.type
    : undefined;
}
