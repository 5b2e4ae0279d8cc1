/**
 * Documents from outside -> the topology that is in force and everything that is wrong with them.
 *
 * Parsing never stops at a problem and never throws. An object that is invalid is isolated: its last good version stays, or nothing is
 * in force of it, and that only ever closes.
 */
import { comparePrefixes, parsePrefix, type Prefix } from '../address.js';
import { EMPTY_TOPOLOGY } from '../changes.js';
import type { Isolation } from '../isolation.js';
import type { Problem } from '../problem.js';
import type { AddressGroup, Network, Port, SecurityGroup, Subnet, Topology } from '../topology.js';
import { anyPrefix, distinct } from './addresses.js';
import { collect } from './documents.js';
import { reportUnknownFields } from './fields.js';
import { DefaultGroups, namesOf, readHeads, readRules } from './groups.js';
import { isolationsOf } from './isolations.js';
import { fatesOf, hasSameName, inForce, read, sortOut, type Fate, type Sorted } from './last-good.js';
import { portsInForce } from './port-fates.js';
import { parsePort, vlanId, wasThatPort, type PortContext } from './port.js';
import { Directory } from './references.js';
import { SharedValues } from './shared.js';
import {
  booleanIn,
  field,
  idIn,
  listIn,
  newSink,
  problemsIn,
  projectIn,
  textIn,
  type Fields,
  type Place,
  type SourceDocument,
} from './report.js';

export interface ParseOptions {
  /** Pairs with a shorter prefix are noticed: they stay out of member sets. */
  readonly widestPairLength?: Readonly<Record<Prefix['family'], number>>;
  /** What is in force: bad objects keep their versions of it. None where nothing is. */
  readonly lastGood?: Topology;
  /** Of what was read before, where some of it is kept. */
  readonly shared?: SharedValues;
}

export interface ParsedTopology {
  /** What is in force: good objects, and what stands in for bad ones. */
  readonly topology: Topology;
  readonly problems: readonly Problem[];
  /** Of the bad objects. */
  readonly isolations: readonly Isolation[];
  /** False where a document as a whole is at fault: nothing of it is to be relied on. */
  readonly isUsable: boolean;
}

/** Reads documents in Neutron's API shape; several make one topology. */
export function parseTopology(documents: readonly SourceDocument[], options: ParseOptions = {}): ParsedTopology {
  const lastGood = withoutClosedPorts(options.lastGood ?? EMPTY_TOPOLOGY);
  const sink = newSink();
  const items = collect(documents, sink);

  const sortedNetworks = sortOut(read(items.networks, parseNetwork));
  const networkFates = fatesOf(sortedNetworks, lastGood.networks, hasSameName);
  const networks = inForce(sortedNetworks, networkFates);
  const sortedSubnets = sortOut(read(items.subnets, parseSubnet));
  const subnetFates = fatesOf(sortedSubnets, lastGood.subnets, hasSameName);
  const subnets = inForce(sortedSubnets, subnetFates);
  const sortedAddressGroups = sortOut(read(items.address_groups, parseAddressGroup));
  const addressGroupFates = fatesOf(sortedAddressGroups, lastGood.addressGroups, hasSameName);
  const addressGroups = inForce(sortedAddressGroups, addressGroupFates);

  const heads = readHeads(items.security_groups, lastGood.securityGroups);
  const defaults = new DefaultGroups(heads.good, heads.fates);
  // Ports are what asks for default groups, so the groups of their projects are made before any reference is followed.
  for (const { fields, place } of items.ports) {
    if (field(fields, 'security_groups') === undefined) defaults.of(projectIn(fields, place.unheard()));
  }
  const directories = {
    groups: new Directory('security group', namesOf(heads.good.values(), heads.fates)),
    addressGroups: new Directory('address group', namesOf(sortedAddressGroups.good.values(), addressGroupFates)),
  };
  const { groups, badRules } = readRules(heads, items.security_group_rules, directories, lastGood.securityGroups);

  const namesOfClosed = new Map<string, string[]>();
  const context: PortContext = {
    groups: directories.groups,
    networks: new Directory('network', namesOfNetworks(sortedNetworks, networkFates)),
    networksById: networks,
    groupsById: groups,
    defaultGroup: (projectId) => defaults.of(projectId),
    onClosedGroup: (groupId, portId) => {
      const ids = namesOfClosed.get(groupId);
      if (ids === undefined) namesOfClosed.set(groupId, [portId]);
      else ids.push(portId);
    },
    widestPairLength: options.widestPairLength ?? { IPv4: 8, IPv6: 32 },
    shared: options.shared ?? new SharedValues(),
  };
  const sortedPorts = sortOut(read(items.ports, (fields, place) => parsePort(fields, place, context)));
  const badPorts = fatesOf(sortedPorts, lastGood.ports, wasThatPort);
  keepDefaults(groups, badPorts, lastGood);
  const { ports, fates: portFates } = portsInForce(sortedPorts, badPorts, items.ports, lastGood.ports, groups);
  const topology = { ports, securityGroups: withoutClosed(groups, addressGroups), addressGroups, networks, subnets };
  const isolations = isolationsOf(topology, {
    network: networkFates,
    subnet: subnetFates,
    'address group': addressGroupFates,
    'security group': heads.fates,
    port: portFates,
    rules: badRules,
    namesOfClosed,
  });
  return { topology, problems: problemsIn(sink.findings), isolations, isUsable: sink.documentErrors === 0 };
}

/** What closes a device is nobody's last good version. */
function withoutClosedPorts(topology: Topology): Topology {
  const isAnyClosed = [...topology.ports.values()].some(({ filtering }) => filtering === 'closed');
  if (!isAnyClosed) return topology;
  return { ...topology, ports: new Map([...topology.ports].filter(([, { filtering }]) => filtering !== 'closed')) };
}

/** The default group that was made for a port's project, as long as the port's last good version is in force. */
function keepDefaults(groups: Map<string, SecurityGroup>, fates: readonly Fate<Port>[], lastGood: Topology): void {
  for (const { kept } of fates) {
    const id = `default-${kept?.projectId ?? ''}`;
    const group = lastGood.securityGroups.get(id);
    if (kept?.securityGroupIds.includes(id) === true && group !== undefined && !groups.has(id)) groups.set(id, group);
  }
}

function namesOfNetworks(
  { good }: Sorted<Network>,
  fates: readonly Fate<Network>[],
): readonly { readonly id: string | undefined; readonly name: string; readonly projectId: string }[] {
  const bad = fates.map(({ id, kept }) => ({ id, name: kept?.name ?? '', projectId: '' }));
  return [...[...good.values()].map(({ id, name }) => ({ id, name, projectId: '' })), ...bad];
}

/** A rule that names what is not in force matches nothing. */
function withoutClosed(
  groups: ReadonlyMap<string, SecurityGroup>,
  addressGroups: ReadonlyMap<string, AddressGroup>,
): ReadonlyMap<string, SecurityGroup> {
  const isClosed = ({ remote }: SecurityGroup['rules'][number]): boolean =>
    (remote.kind === 'security-group' && !groups.has(remote.id)) ||
    (remote.kind === 'address-group' && !addressGroups.has(remote.id));
  const closed = [...groups.values()].filter(({ rules }) => rules.some(isClosed));
  if (closed.length === 0) return groups;
  const changed = closed.map((group): [string, SecurityGroup] => [
    group.id,
    {
      ...group,
      rules: group.rules.map((rule) =>
        isClosed(rule) && 'id' in rule.remote
          ? { ...rule, remote: { kind: 'unknown', reference: rule.remote.id } }
          : rule,
      ),
    },
  ]);
  return new Map([...groups, ...changed]);
}

// Networks, subnets, address groups

function parseNetwork(fields: Fields, place: Place): Network | undefined {
  reportUnknownFields('network', fields, place);
  const id = idIn(fields, place);
  if (id === undefined) return undefined;
  const portSecurityEnabled = booleanIn(fields, 'port_security_enabled', place) ?? true;
  const name = textIn(fields, 'name', place);
  const isVlan = field(fields, 'provider:network_type') === 'vlan';
  const segment = isVlan ? field(fields, 'provider:segmentation_id') : undefined;
  const vlan = vlanId(segment, place.key('provider:segmentation_id'));
  return { id, name, portSecurityEnabled, vlan };
}

function parseSubnet(fields: Fields, place: Place): Subnet | undefined {
  reportUnknownFields('subnet', fields, place);
  const id = idIn(fields, place);
  const value = field(fields, 'cidr');
  const cidr = typeof value === 'string' ? parsePrefix(value) : undefined;
  const networkId = field(fields, 'network_id');
  if (cidr === undefined) return place.key('cidr').badValue(value, 'a prefix (192.0.2.0/24, 2001:db8::/64)');
  if (typeof networkId !== 'string') return place.key('network_id').badValue(networkId, 'the id of a network');
  return id === undefined ? undefined : { id, name: textIn(fields, 'name', place), networkId, cidr };
}

function parseAddressGroup(fields: Fields, place: Place): AddressGroup | undefined {
  reportUnknownFields('address group', fields, place);
  const id = idIn(fields, place);
  const at = place.key('addresses');
  const prefixes = listIn(field(fields, 'addresses'), at).flatMap(
    (value, index) => anyPrefix(value, at.at(index)) ?? [],
  );
  if (id === undefined) return undefined;
  const name = textIn(fields, 'name', place);
  return { id, name, projectId: projectIn(fields, place), prefixes: [...distinct(prefixes)].sort(comparePrefixes) };
}
