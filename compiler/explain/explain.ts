/** Why a packet passes or does not: both halves, the deciding rule, and for a drop the rules that came nearest. */
import {
  FAMILIES,
  protocolName,
  quoteValue,
  type Direction,
  type Family,
  type FlowState,
  type Frame,
  type IpPacket,
  type Port,
  type Prefix,
  type SecurityGroup,
  type SecurityGroupRule,
  type Topology,
  type Transport,
} from '../../src/model/index.js';
import {
  groupsOf,
  judgeEgress,
  judgeIngress,
  macFor,
  members,
  ruleMismatches,
  type JudgeContext,
  type Judgement,
  type Mismatch,
} from './judge.js';

/** One end of a packet: a port, or an address that no port has. */
export interface End {
  readonly port: Port | undefined;
  readonly address: Prefix;
}

export interface Half {
  readonly direction: Direction;
  /** Undefined when the end is an address that no port has: nothing is filtered there. */
  readonly port: { readonly id: string; readonly name: string } | undefined;
  readonly verdict: 'accept' | 'drop';
  /** Why, in one sentence. */
  readonly because: string;
  /** The rule that lets the packet pass. */
  readonly rule: RuleReference | undefined;
  /** For a drop by the rules: those that came nearest, and what about each did not match. */
  readonly nearest: readonly { readonly rule: RuleReference; readonly mismatches: readonly string[] }[];
  readonly hints: readonly string[];
}

export interface RuleReference {
  readonly groupId: string;
  readonly groupName: string;
  readonly ruleId: string;
  /** The rule in words. */
  readonly text: string;
}

export interface Explanation {
  readonly family: Family;
  readonly from: string;
  readonly to: string;
  readonly verdict: 'accept' | 'drop';
  /** Egress of the sender, then ingress of the receiver. */
  readonly halves: readonly [Half, Half];
}

const MAX_NEAREST = 3;

/** Explains one packet from one address to another. Both addresses are of one family. */
export function explain(
  context: JudgeContext,
  from: End,
  to: End,
  transport: Transport,
  state: FlowState,
): Explanation {
  const packet: IpPacket = { kind: 'ip', source: from.address, destination: to.address, transport };
  const frame = frameFrom(from, packet);
  const halves = [
    half(context, 'egress', from, frame, packet, state),
    half(context, 'ingress', to, frame, packet, state),
  ] as const;
  return {
    family: from.address.family,
    from: from.address.text,
    to: to.address.text,
    verdict: halves.every(({ verdict }) => verdict === 'accept') ? 'accept' : 'drop',
    halves,
  };
}

/** True when a new connection from a port's first address of the family reaches another's; false without an address. */
export function reachability(
  context: JudgeContext,
  from: Port,
  to: Port,
  protocol: 6 | 17,
  destinationPort: number,
  family: Family,
): boolean {
  const [source, destination] = [firstAddress(from, family), firstAddress(to, family)];
  if (source === undefined || destination === undefined) return false;
  const transport: Transport = { kind: 'ports', protocol, sourcePort: EPHEMERAL_PORT, destinationPort };
  const ends = [
    { port: from, address: source },
    { port: to, address: destination },
  ] as const;
  return explain(context, ends[0], ends[1], transport, 'new').verdict === 'accept';
}

/** A source port that is nobody's service (RFC 6335, dynamic range). */
export const EPHEMERAL_PORT = 50_000;

/** The first fixed IP of a family. */
export function firstAddress(port: Port, family: Family): Prefix | undefined {
  return port.fixedIps.find((address) => address.family === family);
}

/** Families in which both ports have a fixed IP. */
export function commonFamilies(a: Port, b: Port): readonly Family[] {
  return FAMILIES.filter((family) => firstAddress(a, family) !== undefined && firstAddress(b, family) !== undefined);
}

function frameFrom({ port, address }: End, packet: IpPacket): Frame {
  const sourceMac = port === undefined ? '02:00:00:00:00:01' : macFor(port, address);
  return { sourceMac, vlanTags: [], snap: false, payload: packet };
}

function half(
  context: JudgeContext,
  direction: Direction,
  { port, address }: End,
  frame: Frame,
  packet: IpPacket,
  state: FlowState,
): Half {
  if (port === undefined) {
    const because = `${address.text} is no port of this topology: not filtered here`;
    return { direction, port, verdict: 'accept', because, rule: undefined, nearest: [], hints: [] };
  }
  const judgement = (direction === 'egress' ? judgeEgress : judgeIngress)(context, port, frame, state);
  const { reason } = judgement;
  const byRules = reason.kind === 'no-rule';
  return {
    direction,
    port: { id: port.id, name: port.name },
    verdict: judgement.verdict,
    because: becauseOf(judgement, direction),
    rule: reason.kind === 'rule' ? reference(context, reason.group, reason.rule) : undefined,
    nearest: byRules ? nearestRules(context, port, direction, packet) : [],
    hints: byRules ? hintsFor(context, port, direction, packet) : [],
  };
}

function becauseOf({ reason }: Judgement, direction: Direction): string {
  switch (reason.kind) {
    case 'rule':
      return 'a rule allows it';
    case 'no-rule':
      return `no ${direction} rule of its groups matches`;
    case 'no-groups':
      return 'the port has no security group: nothing but service traffic passes';
    case 'unknown-device':
      return 'the device belongs to no port';
    case 'port-security-off':
      return 'not filtered: port security is off';
    case 'trusted':
      return 'not filtered: the device owner is trusted (network:)';
    case 'port-down':
      return 'the port is administratively down';
    case 'port-closed':
      return 'the port is not valid, and closed';
    case 'tagged':
      return 'frames with VLAN tags or LLC/SNAP do not pass';
    case 'ethertype':
      return 'only IPv4, IPv6, ARP and RARP pass';
    case 'permitted-ethertype':
      return 'an ethertype that is permitted';
    case 'own-rarp':
    case 'own-arp':
      return 'service traffic: ARP from its own address';
    case 'arp':
      return 'service traffic: ARP';
    case 'spoofed-rarp':
    case 'spoofed-arp':
      return 'anti-spoofing: the ARP sender is not its own';
    case 'spoofed-source':
      return 'anti-spoofing: the source MAC and address are not its own';
    case 'spoofed-target':
      return 'anti-spoofing: the neighbour discovery target is not its own';
    case 'family-closed':
      return 'the port has no address of this family';
    case 'dhcp':
      return 'service traffic: DHCP';
    case 'dhcp-server':
      return 'a port may not act as DHCP server';
    case 'router':
      return 'a port may not send router advertisements or redirects';
    case 'neighbour-discovery':
      return 'service traffic: neighbour discovery or MLD';
    case 'established':
      return 'it belongs to a flow that the port admitted';
    case 'related':
      return 'it is related to a flow that the port admitted';
    case 'invalid':
      return 'connection tracking calls it invalid';
    case 'revoked':
      return 'the permission of its flow was revoked';
  }
}

function reference({ topology }: JudgeContext, group: SecurityGroup, rule: SecurityGroupRule): RuleReference {
  return { groupId: group.id, groupName: group.name, ruleId: rule.id, text: ruleInWords(topology, rule) };
}

/** "ingress IPv4 tcp 443 from group web". */
export function ruleInWords(
  topology: Pick<Topology, 'securityGroups' | 'addressGroups'>,
  rule: SecurityGroupRule,
): string {
  const named = (id: string, name: string | undefined): string =>
    name === undefined || name === '' ? id : quoteValue(name).slice(1, -1);
  const remote = ((): string => {
    switch (rule.remote.kind) {
      case 'any':
        return 'anywhere';
      case 'prefix':
        return rule.remote.prefix.text;
      case 'security-group':
        return `group ${named(rule.remote.id, topology.securityGroups.get(rule.remote.id)?.name)}`;
      case 'address-group':
        return `address group ${named(rule.remote.id, topology.addressGroups.get(rule.remote.id)?.name)}`;
      case 'unknown':
        return `unknown group ${quoteValue(rule.remote.reference)}`;
    }
  })();
  const side = rule.direction === 'ingress' ? 'from' : 'to';
  return `${rule.direction} ${rule.family} ${serviceText(rule)} ${side} ${remote}`;
}

function serviceText({ service }: SecurityGroupRule): string {
  switch (service.kind) {
    case 'any':
      return 'any protocol';
    case 'protocol':
      return protocolName(service.protocol);
    case 'ports':
      return `${protocolName(service.protocol)} ${service.first.toString()}${service.first === service.last ? '' : `-${service.last.toString()}`}`;
    case 'icmp':
      return `${protocolName(service.protocol)} type ${service.type.toString()}${service.code === undefined ? '' : ` code ${service.code.toString()}`}`;
  }
}

function nearestRules(context: JudgeContext, port: Port, direction: Direction, packet: IpPacket): Half['nearest'] {
  return groupsOf(context, port)
    .flatMap((group) => group.rules.map((rule) => ({ group, rule })))
    .filter(({ rule }) => rule.direction === direction)
    .map(({ group, rule }) => ({ group, rule, wrong: ruleMismatches(context, rule, direction, packet) }))
    .sort((a, b) => distance(a.wrong) - distance(b.wrong) || (a.rule.id < b.rule.id ? -1 : 1))
    .slice(0, MAX_NEAREST)
    .map(({ group, rule, wrong }) => ({
      rule: reference(context, group, rule),
      mismatches: wrong.map((mismatch) => mismatchText(context, rule, direction, packet, mismatch)),
    }));
}

/** A rule of the other family is never the one that was meant. */
function distance(mismatches: readonly Mismatch[]): number {
  return mismatches.length + (mismatches.includes('ethertype') ? 10 : 0);
}

function mismatchText(
  context: JudgeContext,
  rule: SecurityGroupRule,
  direction: Direction,
  packet: IpPacket,
  mismatch: Mismatch,
): string {
  const { transport } = packet;
  switch (mismatch) {
    case 'direction':
      return `it is an ${rule.direction} rule`;
    case 'ethertype':
      return `the packet is ${packet.source.family}, not ${rule.family}`;
    case 'protocol':
      return `the packet is ${protocolName(transport.protocol)}, not ${serviceText(rule)}`;
    case 'ports':
      return `port ${transport.kind === 'ports' ? transport.destinationPort.toString() : 'none'} is not in ${serviceText(rule)}`;
    case 'icmp':
      return `ICMP type ${transport.kind === 'icmp' ? `${transport.type.toString()} code ${transport.code.toString()}` : 'none'} is not ${serviceText(rule)}`;
    case 'remote':
      return remoteMismatch(context, rule, direction, packet);
  }
}

function remoteMismatch(
  context: JudgeContext,
  rule: SecurityGroupRule,
  direction: Direction,
  packet: IpPacket,
): string {
  const [word, address] = direction === 'ingress' ? ['source', packet.source] : ['destination', packet.destination];
  const { remote, family } = rule;
  switch (remote.kind) {
    case 'any':
      return `${word} ${address.text} matches`;
    case 'prefix':
      return `${word} ${address.text} is not in ${remote.prefix.text}`;
    case 'security-group': {
      const name = context.topology.securityGroups.get(remote.id)?.name ?? remote.id;
      const count = members(context, remote.id, family).length;
      return `${word} ${address.text} is no member of group ${quoteValue(name)} (${count.toString()} ${family} members)`;
    }
    case 'address-group': {
      const name = context.topology.addressGroups.get(remote.id)?.name ?? remote.id;
      return `${word} ${address.text} is not in address group ${quoteValue(name)}`;
    }
    case 'unknown':
      return `group ${quoteValue(remote.reference)} is not in the topology: the rule matches nothing`;
  }
}

function hintsFor(context: JudgeContext, port: Port, direction: Direction, packet: IpPacket): readonly string[] {
  const hints: string[] = [];
  const groups = groupsOf(context, port);
  if (groups.some((group) => !group.stateful)) hints.push('the groups are stateless: replies need rules of their own');
  const remote = direction === 'ingress' ? packet.source : packet.destination;
  for (const other of context.topology.ports.values()) {
    for (const { prefix } of other.allowedAddressPairs) {
      const limit = context.widestPairLength[prefix.family];
      if (prefix.family !== remote.family || prefix.length >= limit || other.securityGroupIds.length === 0) continue;
      const named = groups.some((group) =>
        group.rules.some(({ remote: end }) => end.kind === 'security-group' && other.securityGroupIds.includes(end.id)),
      );
      if (named) {
        hints.push(
          `pair ${prefix.text} of port ${other.id} is wider than /${limit.toString()} and so no member of its groups`,
        );
      }
    }
  }
  return hints;
}

/** Marks for a terminal; identity functions for plain text. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly dim: (text: string) => string;
}

/** An explanation as lines of text. */
export function renderExplanation(explanation: Explanation, paint: Paint): readonly string[] {
  const word = (verdict: 'accept' | 'drop'): string =>
    verdict === 'accept' ? paint.good('allowed') : paint.bad('dropped');
  return [
    `${explanation.family} ${explanation.from} -> ${explanation.to}: ${word(explanation.verdict)}`,
    ...explanation.halves.flatMap((side) => [
      `  ${side.direction}${side.port === undefined ? '' : ` of port ${portText(side.port)}`}: ${word(side.verdict)}: ${side.because}`,
      ...(side.rule === undefined ? [] : [`    ${ruleLine(side.rule)}`]),
      ...side.nearest.flatMap(({ rule, mismatches }) => [
        `    nearest: ${ruleLine(rule)}`,
        ...mismatches.map((text) => paint.dim(`      but ${text}`)),
      ]),
      ...side.hints.map((hint) => `    note: ${hint}`),
    ]),
  ];
}

function portText({ id, name }: { readonly id: string; readonly name: string }): string {
  return name === '' ? id : `${quoteValue(name)} (${id})`;
}

function ruleLine({ groupName, groupId, ruleId, text }: RuleReference): string {
  return `${text}  [group ${quoteValue(groupName)} ${groupId}, rule ${ruleId}]`;
}
