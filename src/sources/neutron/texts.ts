/** Neutron's objects as a host keeps them (feed/scopes.ts): what matters there and nothing else, the same thing always in the same text. */
import { isObject, type Fields } from '../../openstack/answer.js';
import type { NeutronObject } from '../../openstack/neutron.js';
import { scopeOf, type Scope } from '../feed/scopes.js';

export type Entries = ReadonlyMap<string, string>;

/** What is asked of a port. */
export const PORT_FIELDS = [
  ...['id', 'revision_number', 'name', 'project_id', 'network_id', 'mac_address', 'admin_state_up', 'device_owner'],
  ...['security_groups', 'fixed_ips', 'allowed_address_pairs', 'port_security_enabled'],
  ...['binding:host_id', 'binding:profile'],
] as const;
const OWN_GROUP_FIELDS = ['id', 'name', 'project_id', 'stateful'];
export const GROUP_FIELDS = [...OWN_GROUP_FIELDS, 'revision_number', 'security_group_rules'];
export const GROUP_NAME_FIELDS = ['id', 'name', 'project_id'];
export const ADDRESS_GROUP_FIELDS = ['id', 'name', 'project_id', 'addresses'];
export const NETWORK_FIELDS = [
  ...['id', 'name', 'project_id', 'port_security_enabled', 'provider:network_type', 'provider:segmentation_id'],
];
export const SUBNET_FIELDS = ['id', 'name', 'project_id', 'network_id', 'cidr', 'ip_version'];

const RULE_FIELDS = [
  ...[
    'id',
    'security_group_id',
    'project_id',
    'direction',
    'ethertype',
    'protocol',
    'port_range_min',
    'port_range_max',
  ],
  ...['remote_ip_prefix', 'remote_group_id', 'remote_address_group_id', 'description'],
];
const MEMBER_FIELDS = [
  ...['id', 'project_id', 'network_id', 'mac_address', 'admin_state_up', 'device_owner', 'port_security_enabled'],
  ...['fixed_ips', 'allowed_address_pairs', 'binding:host_id'],
];

/** 0 where a Neutron has none: then everything counts as changed. */
export function revisionOf(object: Fields): number {
  const revision = object['revision_number'];
  return typeof revision === 'number' ? revision : 0;
}

export function groupsOf(port: Fields): readonly string[] {
  const groups = port['security_groups'];
  return Array.isArray(groups) ? groups.filter((one): one is string => typeof one === 'string') : [];
}

/** Of its active binding, '' for an unbound port; undefined for a port without an active one, and for a user who is not shown it. */
export function hostOf(port: Fields): string | undefined {
  const host = port['binding:host_id'];
  return typeof host === 'string' ? host : undefined;
}

/** False where none of some ports has it. */
export function haveHosts(ports: readonly Fields[]): boolean {
  return ports.length === 0 || ports.some((port) => hostOf(port) !== undefined);
}

/** @throws Error where none has it: what a user is told who is not shown where ports are looks like hosts without ports. */
export function checkHosts(ports: readonly Fields[]): void {
  if (haveHosts(ports)) return;
  throw new Error('ports come without binding:host_id: the user of clouds.yaml must have the role admin');
}

/**
 * @param host that has a binding of it: one that is not in force is of a port on its way there, whatever its profile says, which may be
 * what is left of another migration.
 */
export function ownPortText(port: NeutronObject, host: string): string {
  const profile = port['binding:profile'];
  const named = isObject(profile) ? profile['migrating_to'] : undefined;
  const target = hostOf(port) === host ? (named ?? undefined) : host;
  return textOf({
    ...chosen(port, PORT_FIELDS),
    security_groups: [...groupsOf(port)].sort(),
    'binding:profile': target === undefined ? {} : { migrating_to: target },
    revision_number: undefined,
  });
}

export function memberText(port: NeutronObject): string {
  const addresses = port['fixed_ips'];
  return textOf({
    ...chosen(port, MEMBER_FIELDS),
    fixed_ips: Array.isArray(addresses)
      ? addresses.map((one: unknown) => (isObject(one) ? { ip_address: one['ip_address'] } : one))
      : addresses,
  });
}

export function groupEntries(group: NeutronObject): Entries {
  const rules = group['security_group_rules'];
  const entries = new Map([['group', textOf(chosen(group, OWN_GROUP_FIELDS))]]);
  for (const rule of Array.isArray(rules) ? (rules as readonly unknown[]) : []) {
    const id = isObject(rule) ? rule['id'] : undefined;
    if (!isObject(rule) || typeof id !== 'string') throw new Error(`security group ${group.id}: a rule without an id`);
    entries.set(`rule/${id}`, textOf(chosen(rule, RULE_FIELDS)));
  }
  return entries;
}

export function groupNameText(group: NeutronObject): string {
  return textOf(chosen(group, GROUP_NAME_FIELDS));
}

export function addressGroupEntries(group: NeutronObject): Entries {
  const addresses = group['addresses'];
  return new Map([
    ['group', textOf(chosen(group, ['id', 'name', 'project_id']))],
    ...(Array.isArray(addresses) ? (addresses as readonly unknown[]) : []).map((one): [string, string] => [
      `address/${encodeURIComponent(String(one))}`,
      JSON.stringify(one),
    ]),
  ]);
}

export function networkEntries(network: NeutronObject, subnets: readonly NeutronObject[]): Entries {
  return new Map([
    ['network', textOf(chosen(network, NETWORK_FIELDS))],
    ...subnets
      .filter((subnet) => subnet['network_id'] === network.id)
      .map((subnet): [string, string] => [`subnet/${subnet.id}`, textOf(chosen(subnet, SUBNET_FIELDS))]),
  ]);
}

/** The ids of scopes of one kind, as `scopeOf` made them. */
export function idsOf(
  scopes: Iterable<Scope>,
  kind: 'network' | 'group' | 'members' | 'addressGroup',
): readonly string[] {
  const prefix = scopeOf[kind]('').slice(0, -1);
  return [...scopes].flatMap((scope) => (scope.startsWith(prefix) ? [scope.slice(prefix.length, -1)] : []));
}

function chosen(object: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(names.map((name) => [name, object[name]]));
}

/** Lists of objects are sets to Neutron: it gives them in any order. */
function textOf(object: Fields): string {
  return JSON.stringify(object, (_, value: unknown) =>
    Array.isArray(value) ? [...(value as readonly unknown[])].sort(byText) : value,
  );
}

function byText(one: unknown, other: unknown): number {
  const [a, b] = [JSON.stringify(one), JSON.stringify(other)];
  return a < b ? -1 : a > b ? 1 : 0;
}
