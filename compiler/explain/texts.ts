/** Reasons, rules and what about a rule did not match, in words. */
import {
  protocolName,
  quoteValue,
  type Direction,
  type IpPacket,
  type SecurityGroup,
  type SecurityGroupRule,
  type Topology,
} from '../model/index.js';
import { members, type JudgeContext, type Judgement, type Mismatch } from '../semantics/index.js';

export interface RuleReference {
  readonly groupId: string;
  readonly groupName: string;
  readonly ruleId: string;
  /** The rule in words. */
  readonly text: string;
}

export function becauseOf({ reason }: Judgement, direction: Direction): string {
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

export function reference({ topology }: JudgeContext, group: SecurityGroup, rule: SecurityGroupRule): RuleReference {
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

export function mismatchText(
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
