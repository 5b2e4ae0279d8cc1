/**
 * Stage 1: what one host needs of a topology.
 *
 * Its ports, the groups these have, and the members of the remote groups and address groups that these groups' rules name.
 */
import {
  comparePrefixes,
  eui64LinkLocalNumber,
  isExact,
  makePrefix,
  type Family,
  type Mac,
  type Port,
  type Prefix,
  type SecurityGroup,
  type Topology,
} from './model/index.js';
import type { CompileOptions } from './options.js';
import { aggregatePrefixes } from './prefixes.js';
import { assignZones, type ZoneAssignment } from './zones.js';

export interface HostPolicy {
  /** The host's ports that have a device, sorted by device. */
  readonly ports: readonly Port[];
  /** Groups of the filtered ports, by id, in order of id. */
  readonly groups: ReadonlyMap<string, SecurityGroup>;
  /** Member sets by {@link memberKey}, sorted by key: those that the groups' rules name. */
  readonly memberSets: ReadonlyMap<string, MemberSet>;
  readonly zones: ZoneAssignment;
}

/** The addresses that a remote group or an address group stands for, of one family. */
export interface MemberSet {
  readonly kind: 'security-group' | 'address-group';
  readonly id: string;
  readonly family: Family;
  /** Exact addresses, sorted, without duplicates. */
  readonly addresses: readonly Prefix[];
  /** Prefixes, sorted, disjoint. May cover some of the addresses. */
  readonly prefixes: readonly Prefix[];
}

/** Key of a member set: kind, id and family. */
export function memberKey(kind: MemberSet['kind'], id: string, family: Family): string {
  return `${kind}/${id}/${family}`;
}

/** An address (or prefix) that a port may send from, with the MAC that goes with it. */
export interface OwnAddress {
  readonly mac: Mac;
  readonly prefix: Prefix;
}

/** Fixed IPs and allowed address pairs of a port, without its link-local addresses. */
export function ownAddresses(port: Port): readonly OwnAddress[] {
  return [...port.fixedIps.map((prefix) => ({ mac: port.mac, prefix })), ...port.allowedAddressPairs];
}

/** The port's MAC and those of its allowed address pairs, without duplicates. */
export function ownMacs(port: Port): readonly Mac[] {
  return [...new Set([port.mac, ...port.allowedAddressPairs.map((pair) => pair.mac)])];
}

/** The EUI-64 link-local address of a MAC. */
export function linkLocalAddress(mac: Mac): Prefix {
  return makePrefix('IPv6', eui64LinkLocalNumber(mac), 128);
}

/** Everything that a port may send from: its addresses, and the link-local ones of its MACs. */
export function sourcePrefixes(port: Port): readonly Prefix[] {
  return [...ownAddresses(port).map(({ prefix }) => prefix), ...ownMacs(port).map(linkLocalAddress)];
}

/** True when the port has a fixed IP or an allowed address pair of the family; its link-local address does not count. */
export function hasFamily(port: Port, family: Family): boolean {
  return ownAddresses(port).some(({ prefix }) => prefix.family === family);
}

/**
 * Selects what the host needs.
 * @param isLocal the ports of the host, by `binding:host_id` or whatever the caller knows.
 */
export function hostPolicy(topology: Topology, isLocal: (port: Port) => boolean, options: CompileOptions): HostPolicy {
  const ports = [...topology.ports.values()].filter(isLocal).sort((a, b) => compareText(a.device, b.device));
  const groups = groupsOf(topology, ports);
  return {
    ports,
    groups,
    memberSets: memberSetsOf(topology, groups, options),
    zones: assignZones(ports, options.datapath),
  };
}

function groupsOf(topology: Topology, ports: readonly Port[]): ReadonlyMap<string, SecurityGroup> {
  const ids = new Set(ports.filter((port) => port.filtering === 'filtered').flatMap((port) => port.securityGroupIds));
  const groups = new Map<string, SecurityGroup>();
  for (const id of [...ids].sort(compareText)) {
    const group = topology.securityGroups.get(id);
    if (group !== undefined) groups.set(id, group);
  }
  return groups;
}

interface MemberCollector {
  readonly set: Omit<MemberSet, 'addresses' | 'prefixes'>;
  readonly found: Map<string, Prefix>;
}

function memberSetsOf(
  topology: Topology,
  groups: ReadonlyMap<string, SecurityGroup>,
  options: CompileOptions,
): ReadonlyMap<string, MemberSet> {
  const collectors = namedMemberSets(groups);
  for (const port of topology.ports.values()) {
    for (const groupId of port.securityGroupIds) {
      const collect = (prefix: Prefix): void => {
        collectors.get(memberKey('security-group', groupId, prefix.family))?.found.set(prefix.text, prefix);
      };
      for (const prefix of port.fixedIps) collect(prefix);
      for (const { prefix } of port.allowedAddressPairs) {
        if (prefix.length >= options.widestPairLength[prefix.family]) collect(prefix);
      }
    }
  }
  const sets = new Map<string, MemberSet>();
  for (const [key, { set, found }] of [...collectors].sort(([a], [b]) => compareText(a, b))) {
    if (set.kind === 'address-group') {
      for (const prefix of topology.addressGroups.get(set.id)?.prefixes ?? []) {
        if (prefix.family === set.family) found.set(prefix.text, prefix);
      }
    }
    const all = [...found.values()];
    sets.set(key, {
      ...set,
      addresses: all.filter(isExact).sort(comparePrefixes),
      prefixes: aggregatePrefixes(all.filter((prefix) => !isExact(prefix))),
    });
  }
  return sets;
}

function namedMemberSets(groups: ReadonlyMap<string, SecurityGroup>): Map<string, MemberCollector> {
  const collectors = new Map<string, MemberCollector>();
  for (const group of groups.values()) {
    for (const { remote, family } of group.rules) {
      if (remote.kind !== 'security-group' && remote.kind !== 'address-group') continue;
      const key = memberKey(remote.kind, remote.id, family);
      if (!collectors.has(key)) {
        collectors.set(key, { set: { kind: remote.kind, id: remote.id, family }, found: new Map() });
      }
    }
  }
  return collectors;
}

/** Orders by UTF-16 code units: the same on every machine, whatever its locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
