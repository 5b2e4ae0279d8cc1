/**
 * Documents from outside -> a topology and everything that is wrong with them.
 *
 * Parsing never stops at a problem and never throws: what is invalid is left out, and leaving out only ever closes.
 */
import { comparePrefixes, FAMILIES, parsePrefix, type Prefix } from '../address.js';
import { quoteValue, type Problem } from '../problem.js';
import type { AddressGroup, Network, Port, SecurityGroup, SecurityGroupRule, Subnet, Topology } from '../topology.js';
import { anyPrefix, distinct } from './addresses.js';
import { parsePort, vlanId, type PortContext } from './port.js';
import { Directory } from './references.js';
import {
  booleanIn,
  field,
  idIn,
  isFields,
  listIn,
  objectsIn,
  Place,
  projectIn,
  textIn,
  type Fields,
} from './report.js';
import { duplicateKey, parseRule } from './rule.js';

export interface SourceDocument {
  /** As the user named it, for messages. */
  readonly file: string;
  /** What JSON or YAML made of it. */
  readonly content: unknown;
}

export interface ParseOptions {
  /** Pairs with a shorter prefix are noticed: they stay out of member sets. */
  readonly widestPairLength?: Readonly<Record<Prefix['family'], number>>;
}

export interface ParsedTopology {
  readonly topology: Topology;
  readonly problems: readonly Problem[];
}

const COLLECTIONS = [
  'networks',
  'subnets',
  'address_groups',
  'security_groups',
  'security_group_rules',
  'ports',
] as const;
type Collection = (typeof COLLECTIONS)[number];

interface Item {
  readonly fields: Fields;
  readonly place: Place;
}

/** Reads documents in Neutron's API shape; several make one topology. */
export function parseTopology(documents: readonly SourceDocument[], options: ParseOptions = {}): ParsedTopology {
  const problems: Problem[] = [];
  const items = collect(documents, problems);
  const networks = uniqueById('network', items.networks.flatMap(withObject(parseNetwork)));
  const subnets = uniqueById('subnet', items.subnets.flatMap(withObject(parseSubnet)));
  const addressGroups = uniqueById('address group', items.address_groups.flatMap(withObject(parseAddressGroup)));
  const heads = uniqueById('security group', items.security_groups.flatMap(withObject(parseGroupHead)));
  const defaults = new DefaultGroups(heads);
  // Ports are what asks for default groups, so the groups of their projects are made before any reference is followed.
  for (const { fields, place } of items.ports) {
    if (field(fields, 'security_groups') === undefined)
      defaults.of(projectIn(fields, new Place(place.file, place.path, [])));
  }
  const directory = new Directory('security group', heads.values());
  const groups = parseRules(
    heads,
    items.security_group_rules,
    directory,
    new Directory('address group', addressGroups.values()),
  );
  const context: PortContext = {
    groups: directory,
    networks: new Directory(
      'network',
      [...networks.values()].map((network) => ({ ...network, projectId: '' })),
    ),
    networksById: networks,
    groupsById: groups,
    defaultGroup: (projectId) => defaults.of(projectId),
    widestPairLength: options.widestPairLength ?? { IPv4: 8, IPv6: 32 },
  };
  const ports = uniqueDevices(
    uniqueById('port', items.ports.flatMap(withObject((fields, place) => parsePort(fields, place, context)))),
    items.ports,
  );
  return { topology: { ports, securityGroups: groups, addressGroups, networks, subnets }, problems };
}

// Documents

function collect(documents: readonly SourceDocument[], problems: Problem[]): Readonly<Record<Collection, Item[]>> {
  const items: Record<Collection, Item[]> = {
    networks: [],
    subnets: [],
    address_groups: [],
    security_groups: [],
    security_group_rules: [],
    ports: [],
  };
  for (const { file, content } of documents) {
    const place = new Place(file, '', problems);
    if (content === undefined || content === null) continue;
    if (!isFields(content)) {
      place.badValue(content, `a topology: an object with ${COLLECTIONS.join(', ')}`);
      continue;
    }
    const known = COLLECTIONS.filter((name) => Object.hasOwn(content, name));
    if (known.length === 0 && Object.keys(content).length > 0) {
      place.error(
        'shape',
        `${quoteValue(Object.keys(content).slice(0, 5))}: no key of a topology; valid: ${COLLECTIONS.join(', ')}`,
      );
    }
    for (const name of known) for (const item of objectsIn(content[name], place.key(name))) items[name].push(item);
  }
  return items;
}

interface Parsed<T> {
  readonly object: T;
  readonly place: Place;
}

function withObject<T>(parse: (fields: Fields, place: Place) => T | undefined): (item: Item) => readonly Parsed<T>[] {
  return ({ fields, place }) => {
    const object = parse(fields, place);
    return object === undefined ? [] : [{ object, place }];
  };
}

/** Objects by id. Of two with one id neither can be trusted: both are left out. */
function uniqueById<T extends { readonly id: string }>(kind: string, parsed: readonly Parsed<T>[]): Map<string, T> {
  const first = new Map<string, Parsed<T>>();
  const repeated = new Set<string>();
  for (const entry of parsed) {
    const other = first.get(entry.object.id);
    if (other === undefined) {
      first.set(entry.object.id, entry);
      continue;
    }
    repeated.add(entry.object.id);
    const where = [other.place.file, other.place.path].filter((part) => part !== '').join(': ');
    entry.place
      .key('id')
      .error(
        'duplicate',
        `${quoteValue(entry.object.id)} is the id of another ${kind} too (${where}): ids must be unique, neither is used`,
      );
  }
  return new Map([...first].filter(([id]) => !repeated.has(id)).map(([id, { object }]) => [id, object]));
}

// Networks, subnets, address groups

function parseNetwork(fields: Fields, place: Place): Network | undefined {
  const id = idIn(fields, place);
  if (id === undefined) return undefined;
  const portSecurityEnabled = booleanIn(fields, 'port_security_enabled', place) ?? true;
  const isVlan = field(fields, 'provider:network_type') === 'vlan';
  const segment = isVlan ? field(fields, 'provider:segmentation_id') : undefined;
  const vlan = vlanId(segment, place.key('provider:segmentation_id'));
  return { id, name: textIn(fields, 'name', place), portSecurityEnabled, vlan };
}

function parseSubnet(fields: Fields, place: Place): Subnet | undefined {
  const id = idIn(fields, place);
  const value = field(fields, 'cidr');
  const cidr = typeof value === 'string' ? parsePrefix(value) : undefined;
  const networkId = field(fields, 'network_id');
  if (cidr === undefined) return place.key('cidr').badValue(value, 'a prefix (192.0.2.0/24, 2001:db8::/64)');
  if (typeof networkId !== 'string') return place.key('network_id').badValue(networkId, 'the id of a network');
  return id === undefined ? undefined : { id, name: textIn(fields, 'name', place), networkId, cidr };
}

function parseAddressGroup(fields: Fields, place: Place): AddressGroup | undefined {
  const id = idIn(fields, place);
  const at = place.key('addresses');
  const prefixes = listIn(field(fields, 'addresses'), at).flatMap(
    (value, index) => anyPrefix(value, at.at(index)) ?? [],
  );
  if (id === undefined) return undefined;
  const name = textIn(fields, 'name', place);
  return { id, name, projectId: projectIn(fields, place), prefixes: [...distinct(prefixes)].sort(comparePrefixes) };
}

// Groups and rules

interface GroupHead {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly stateful: boolean;
  /** Undefined when the group does not say: Neutron's rules of a new group. */
  readonly rules: readonly Item[] | undefined;
}

const DEFAULT_NAME = 'default';

function parseGroupHead(fields: Fields, place: Place): GroupHead | undefined {
  const id = idIn(fields, place);
  const stateful = booleanIn(fields, 'stateful', place) ?? true;
  const rules = field(fields, 'security_group_rules');
  if (id === undefined) return undefined;
  return {
    id,
    name: textIn(fields, 'name', place),
    projectId: projectIn(fields, place),
    stateful,
    rules: rules === undefined ? undefined : objectsIn(rules, place.key('security_group_rules')),
  };
}

/** Each project's `default` group, made where the topology has none. */
class DefaultGroups {
  readonly #byProject = new Map<string, string>();

  constructor(private readonly heads: Map<string, GroupHead>) {
    for (const { id, name, projectId } of heads.values()) if (name === DEFAULT_NAME) this.#byProject.set(projectId, id);
  }

  of(projectId: string): string {
    const known = this.#byProject.get(projectId);
    if (known !== undefined) return known;
    const id = `default-${projectId}`;
    this.heads.set(id, { id, name: DEFAULT_NAME, projectId, stateful: true, rules: undefined });
    this.#byProject.set(projectId, id);
    return id;
  }
}

function parseRules(
  heads: ReadonlyMap<string, GroupHead>,
  topLevel: readonly Item[],
  groups: Directory,
  addressGroups: Directory,
): Map<string, SecurityGroup> {
  const listed = new Map<string, Item[]>();
  for (const item of topLevel) {
    const groupId = groups.find(field(item.fields, 'security_group_id'), '', item.place.key('security_group_id'));
    if (groupId === undefined) continue;
    const items = listed.get(groupId);
    if (items === undefined) listed.set(groupId, [item]);
    else items.push(item);
  }
  const parsed = [...heads.values()].map((head) => {
    const separate = listed.get(head.id);
    const items =
      head.rules === undefined && separate === undefined ? undefined : [...(head.rules ?? []), ...(separate ?? [])];
    const context = { groupId: head.id, projectId: head.projectId, groups, addressGroups };
    return {
      head,
      rules: items?.flatMap(withObject((fields, place) => parseRule(fields, place, context))),
    };
  });
  const ids = uniqueById('security group rule', onceEach(parsed.flatMap(({ rules }) => rules ?? [])));
  const result = new Map<string, SecurityGroup>();
  for (const { head, rules } of parsed) {
    const { id, name, projectId, stateful } = head;
    const valid =
      rules === undefined ? rulesOfNewGroup(head) : withoutDuplicates(rules.filter(({ object }) => ids.has(object.id)));
    result.set(id, { id, name, projectId, stateful, rules: [...valid].sort((a, b) => (a.id < b.id ? -1 : 1)) });
  }
  return result;
}

/** A dump may hold a rule twice, in its group and in the list of rules: equal ones count once. */
function onceEach(rules: readonly Parsed<SecurityGroupRule>[]): readonly Parsed<SecurityGroupRule>[] {
  const seen = new Map<string, Parsed<SecurityGroupRule>>();
  for (const rule of rules) seen.set(`${rule.object.id} ${duplicateKey(rule.object)}`, rule);
  return [...seen.values()];
}

function withoutDuplicates(rules: readonly Parsed<SecurityGroupRule>[]): readonly SecurityGroupRule[] {
  const first = new Map<string, SecurityGroupRule>();
  for (const { object, place } of rules) {
    const key = duplicateKey(object);
    const other = first.get(key);
    if (other === undefined) first.set(key, object);
    else if (other.id !== object.id) {
      place.error(
        'duplicate',
        `rule ${quoteValue(object.id)} says the same as rule ${quoteValue(other.id)}: rules of a group must differ`,
      );
    }
  }
  return [...first.values()];
}

/** Egress to anywhere; a `default` group admits its own members, too. */
function rulesOfNewGroup({ id, name }: GroupHead): readonly SecurityGroupRule[] {
  const common = { service: { kind: 'any' }, description: '' } as const;
  return FAMILIES.flatMap((family) => [
    { id: `${id}-egress-${family}`, direction: 'egress' as const, family, remote: { kind: 'any' } as const, ...common },
    ...(name === DEFAULT_NAME
      ? [
          {
            id: `${id}-ingress-${family}`,
            direction: 'ingress' as const,
            family,
            remote: { kind: 'security-group', id } as const,
            ...common,
          },
        ]
      : []),
  ]);
}

// Devices

/** Two ports of one host with one device: nobody can say whose packets these are, so both are left out. */
function uniqueDevices(ports: ReadonlyMap<string, Port>, items: readonly Item[]): Map<string, Port> {
  const byDevice = new Map<string, Port[]>();
  for (const port of ports.values()) {
    const key = `${port.device} ${port.host ?? ''}`;
    const same = byDevice.get(key);
    if (same === undefined) byDevice.set(key, [port]);
    else same.push(port);
  }
  const result = new Map(ports);
  for (const same of byDevice.values()) {
    if (same.length < 2) continue;
    const ids = same.map((port) => port.id).sort();
    for (const port of same) result.delete(port.id);
    const item = items.findLast(({ fields }) => field(fields, 'id') === ids.at(-1));
    item?.place.error(
      'duplicate',
      `device ${quoteValue(same[0]?.device)} is that of ports ${ids.join(' and ')}: a device belongs to one port of a host, none of them is used`,
    );
  }
  return result;
}
