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
import { didYouMean, quoteKey, reportUnknownFields } from './fields.js';
import {
  booleanIn,
  field,
  idIn,
  isFields,
  listIn,
  newSink,
  objectsIn,
  Place,
  problemsIn,
  projectIn,
  textIn,
  type Fields,
  type ProblemSink,
  type SourceDocument,
} from './report.js';
import { duplicateKey, parseRule } from './rule.js';

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
  const sink = newSink();
  const items = collect(documents, sink);
  const networks = uniqueById('network', items.networks.flatMap(withObject(parseNetwork)));
  const subnets = uniqueById('subnet', items.subnets.flatMap(withObject(parseSubnet)));
  const addressGroups = uniqueById('address group', items.address_groups.flatMap(withObject(parseAddressGroup)));
  const heads = uniqueById('security group', items.security_groups.flatMap(withObject(parseGroupHead)));
  const defaults = new DefaultGroups(heads);
  // Ports are what asks for default groups, so the groups of their projects are made before any reference is followed.
  for (const { fields, place } of items.ports) {
    if (field(fields, 'security_groups') === undefined) defaults.of(projectIn(fields, place.unheard()));
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
  return { topology: { ports, securityGroups: groups, addressGroups, networks, subnets }, problems: problemsIn(sink) };
}

// Documents

function collect(documents: readonly SourceDocument[], sink: ProblemSink): Readonly<Record<Collection, Item[]>> {
  const items: Record<Collection, Item[]> = {
    networks: [],
    subnets: [],
    address_groups: [],
    security_groups: [],
    security_group_rules: [],
    ports: [],
  };
  for (const document of documents) {
    const { content } = document;
    const place = new Place(document, '', sink);
    if (!isFields(content)) {
      // What is empty says nothing, and least of all that there are no ports.
      place.badValue(
        content ?? null,
        `a topology: an object with ${COLLECTIONS.join(', ')}; an empty one has empty lists`,
      );
      continue;
    }
    const known = COLLECTIONS.filter((name) => Object.hasOwn(content, name));
    reportUnknownKeys(content, place);
    if (known.length === 0 && Object.keys(content).every(isLinks)) {
      place.error('shape', `no key of a topology: valid are ${COLLECTIONS.join(', ')}; an empty one has empty lists`);
    }
    for (const name of known) {
      if (content[name] === null) place.key(name).error('shape', 'missing: a list; that there are none is said by []');
      for (const item of objectsIn(content[name], place.key(name))) items[name].push(item);
    }
  }
  return items;
}

/** What a dump of Neutron holds beside: of no meaning for what a host admits. */
const BESIDE: readonly string[] = ['rbac_policies', 'quotas', 'default_security_group_rules'];

function reportUnknownKeys(content: Fields, place: Place): void {
  for (const [name, value] of Object.entries(content)) {
    if (isCollection(name) || BESIDE.includes(name)) continue;
    const at = place.key(quoteKey(name));
    if (!isLinks(name)) {
      const valid = `valid are ${COLLECTIONS.join(', ')}`;
      at.error(
        'unknown-field',
        `${quoteValue(name)} is no key of a topology${didYouMean(name, COLLECTIONS)}; ${valid}`,
      );
    } else if (objectsIn(value, at).some(({ fields }) => field(fields, 'rel') === 'next')) {
      at.error('shape', 'this is one page of several: valid is all of it');
    }
  }
}

function isCollection(name: string): boolean {
  return (COLLECTIONS as readonly string[]).includes(name);
}

/** Neutron's answers name the pages before and after, as `ports_links`. */
function isLinks(name: string): boolean {
  return name.endsWith('_links') && isCollection(name.slice(0, -'_links'.length));
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
  reportUnknownFields('network', fields, place);
  const id = idIn(fields, place);
  if (id === undefined) return undefined;
  const portSecurityEnabled = booleanIn(fields, 'port_security_enabled', place) ?? true;
  const isVlan = field(fields, 'provider:network_type') === 'vlan';
  const segment = isVlan ? field(fields, 'provider:segmentation_id') : undefined;
  const vlan = vlanId(segment, place.key('provider:segmentation_id'));
  return { id, name: textIn(fields, 'name', place), portSecurityEnabled, vlan };
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
  const errorsBefore = place.errorCount();
  reportUnknownFields('security group', fields, place);
  const hasUnknown = place.errorCount() > errorsBefore;
  const id = idIn(fields, place);
  const stateful = booleanIn(fields, 'stateful', place) ?? true;
  const rules = field(fields, 'security_group_rules');
  if (id === undefined) return undefined;
  return {
    id,
    name: textIn(fields, 'name', place),
    projectId: projectIn(fields, place),
    stateful,
    // The unknown field may have been meant for its rules: then it has none.
    rules: rules === undefined && !hasUnknown ? undefined : objectsIn(rules, place.key('security_group_rules')),
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
    // The same one whatever their order: that with the smaller id.
    if (other === undefined || object.id < other.id) first.set(key, object);
    if (other !== undefined && other.id !== object.id) {
      place.report(
        'notice',
        'duplicate',
        `rule ${quoteValue(object.id)} means the same as rule ${quoteValue(other.id)}: one of them is used`,
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
