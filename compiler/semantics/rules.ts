/** Rules of security groups: whether one matches a packet, and what of it does not. */
import {
  covers,
  type Direction,
  type Family,
  type IpPacket,
  type Port,
  type Prefix,
  type SecurityGroup,
  type SecurityGroupRule,
  type Topology,
} from '../model/index.js';

export interface JudgeContext {
  readonly topology: Topology;
  /** Allowed address pairs with a shorter prefix are no members of remote groups. */
  readonly widestPairLength: Readonly<Record<Family, number>>;
  /**
   * Where the host routes: the fixed IPs of its filtered ports, as text. A port without port security may not send from them,
   * unless they are its own.
   */
  readonly addressesOfPorts?: ReadonlySet<string>;
  /** Ethertypes that are permitted on bridges, beside those of IP, ARP and RARP. */
  readonly ethertypes?: readonly number[];
  /** A faster answer than a walk over all ports, for who judges many packets; undefined: not known. */
  readonly isMember?: (kind: 'security-group' | 'address-group', id: string, address: Prefix) => boolean | undefined;
}

/** The groups of a port, by id. */
export function groupsOf({ topology }: JudgeContext, port: Port): readonly SecurityGroup[] {
  return port.securityGroupIds.flatMap((id) => topology.securityGroups.get(id) ?? []);
}

/** Which condition of a rule a packet does not meet; empty when the rule matches. */
export type Mismatch = 'direction' | 'ethertype' | 'protocol' | 'ports' | 'icmp' | 'remote';

export function ruleMismatches(
  context: JudgeContext,
  rule: SecurityGroupRule,
  direction: Direction,
  packet: IpPacket,
): readonly Mismatch[] {
  const mismatches: Mismatch[] = [];
  if (rule.direction !== direction) mismatches.push('direction');
  if (rule.family !== packet.source.family) mismatches.push('ethertype');
  const service = serviceMismatch(rule, packet);
  if (service !== undefined) mismatches.push(service);
  if (!remoteMatches(context, rule, direction === 'ingress' ? packet.source : packet.destination))
    mismatches.push('remote');
  return mismatches;
}

function serviceMismatch({ family, service }: SecurityGroupRule, { transport }: IpPacket): Mismatch | undefined {
  if (service.kind === 'any') return undefined;
  if (isExtensionHeader(family, service.protocol)) return 'protocol';
  if (service.protocol !== transport.protocol) return 'protocol';
  switch (service.kind) {
    case 'protocol':
      return undefined;
    case 'ports': {
      if (transport.kind !== 'ports') return 'ports';
      const port = transport.destinationPort;
      return service.first <= port && port <= service.last ? undefined : 'ports';
    }
    case 'icmp': {
      if (transport.kind !== 'icmp' || transport.type !== service.type) return 'icmp';
      return service.code === undefined || service.code === transport.code ? undefined : 'icmp';
    }
  }
}

/** IPv6 has these as headers before its protocol (RFC 8200): no packet is of such a protocol. */
function isExtensionHeader(family: Family, protocol: number): boolean {
  return family === 'IPv6' && [0, 43, 44, 51, 60].includes(protocol);
}

function remoteMatches(context: JudgeContext, { remote, family }: SecurityGroupRule, address: Prefix): boolean {
  switch (remote.kind) {
    case 'any':
      return true;
    case 'prefix':
      return covers(remote.prefix, address);
    case 'security-group':
      if (address.family !== family) return false;
      return (
        context.isMember?.(remote.kind, remote.id, address) ??
        members(context, remote.id, family).some((prefix) => covers(prefix, address))
      );
    case 'address-group':
      return (context.topology.addressGroups.get(remote.id)?.prefixes ?? []).some((prefix) => covers(prefix, address));
    case 'unknown':
      return false;
  }
}

/** Addresses and prefixes that a remote group stands for, of one family. */
export function members(
  { topology, widestPairLength }: JudgeContext,
  groupId: string,
  family: Family,
): readonly Prefix[] {
  return [...topology.ports.values()]
    .filter((port) => port.securityGroupIds.includes(groupId))
    .flatMap((port) => [
      ...port.fixedIps,
      ...port.allowedAddressPairs
        .map((pair) => pair.prefix)
        .filter((prefix) => prefix.length >= widestPairLength[prefix.family]),
    ])
    .filter((prefix) => prefix.family === family);
}
