/**
 * Whether records are such as the API itself would have made: each by the parsers of a create, all together by what they name, and
 * the topology that they are by the compiler's own parser. For what comes back from a backup, which anybody may have edited.
 */
import { z } from 'zod';
import { formatProblem, parseTopology } from '../../compiler/model/index.js';
import { ApiError } from './errors.js';
import { addressGroups } from './neutron/address-groups.js';
import type { Fields, Spec } from './neutron/attributes.js';
import { networks } from './neutron/networks.js';
import { ports } from './neutron/ports.js';
import { PARENT } from './neutron/default-group.js';
import { defaultRules } from './neutron/default-rules.js';
import { rbacPolicies } from './neutron/rbac.js';
import { ruleContent } from './neutron/rule-content.js';
import { rules } from './neutron/rules.js';
import { securityGroups } from './neutron/security-groups.js';
import { subnets } from './neutron/subnets.js';
import { QUOTA_NAMES, SHARED_TYPES, type Kind, type RecordChange, type Records } from './records.js';
import { keyOf, State, type View } from './state.js';
import { topologyDocument } from './topology/lines.js';

const id = z.string().min(1).max(255);
const text = z.string().max(1024);
const texts = z.array(text);
const nullableText = text.nullable();
const standard = { id, project_id: text, created_at: text, updated_at: text, revision_number: z.int().min(0) };
const named = { ...standard, name: text, description: text };
const content = {
  direction: z.enum(['ingress', 'egress']),
  ethertype: z.enum(['IPv4', 'IPv6']),
  protocol: nullableText,
  port_range_min: z.int().nullable(),
  port_range_max: z.int().nullable(),
  remote_ip_prefix: nullableText,
  remote_group_id: nullableText,
  remote_address_group_id: nullableText,
};

const SHAPES: { readonly [K in Kind]: z.ZodType<Records[K]> } = {
  network: z.strictObject({
    ...named,
    admin_state_up: z.boolean(),
    mtu: z.int(),
    shared: z.boolean(),
    'router:external': z.boolean(),
    port_security_enabled: z.boolean(),
    'provider:network_type': text,
    'provider:physical_network': nullableText,
    'provider:segmentation_id': z.int().nullable(),
    tags: texts,
  }),
  subnet: z.strictObject({
    ...named,
    network_id: id,
    ip_version: z.union([z.literal(4), z.literal(6)]),
    cidr: text,
    gateway_ip: nullableText,
    allocation_pools: z.array(z.strictObject({ start: text, end: text })),
    enable_dhcp: z.boolean(),
    ipv6_ra_mode: nullableText,
    ipv6_address_mode: nullableText,
    dns_nameservers: texts,
    host_routes: z.array(z.strictObject({ destination: text, nexthop: text })),
    service_types: texts,
    tags: texts,
  }),
  port: z.strictObject({
    ...named,
    network_id: id,
    mac_address: text,
    admin_state_up: z.boolean(),
    device_id: text,
    device_owner: text,
    fixed_ips: z.array(z.strictObject({ subnet_id: text, ip_address: text })),
    security_groups: z.array(id),
    port_security_enabled: z.boolean(),
    allowed_address_pairs: z.array(z.strictObject({ mac_address: text, ip_address: text })),
    extra_dhcp_opts: z.array(
      z.strictObject({ opt_name: text, opt_value: nullableText, ip_version: z.union([z.literal(4), z.literal(6)]) }),
    ),
    'binding:vnic_type': text,
    'binding:host_id': text,
    'binding:profile': z.record(z.string(), z.unknown()),
    tags: texts,
  }),
  security_group: z.strictObject({ ...named, stateful: z.boolean(), tags: texts }),
  security_group_rule: z.strictObject({ ...standard, ...content, security_group_id: id, description: nullableText }),
  address_group: z.strictObject({ ...named, addresses: texts }),
  default_security_group_rule: z.strictObject({
    id,
    ...content,
    description: text,
    used_in_default_sg: z.boolean(),
    used_in_non_default_sg: z.boolean(),
  }),
  default_security_group: z.strictObject({ id: text, security_group_id: id }),
  revoked_token: z.strictObject({ id }),
  quota: z.strictObject({
    id: text,
    limits: z.partialRecord(z.enum([...QUOTA_NAMES, 'instances']), z.int().min(-1)),
  }),
  rbac_policy: z.strictObject({
    id,
    project_id: text,
    object_type: z.enum(SHARED_TYPES),
    object_id: id,
    action: z.literal('access_as_shared'),
    target_tenant: text,
  }),
  server: z.strictObject({
    id,
    name: text,
    project_id: text,
    user_id: text,
    created: text,
    updated: text,
    flavor: text,
    image: text,
    host: text,
    availability_zone: text,
    key_name: nullableText,
    metadata: z.record(text, text),
    ports: z.array(id),
    kept_ports: z.array(id),
    fault: nullableText,
    requested_groups: z.array(id),
  }),
};

/** What a create reads, by kind. */
const SPECS: Readonly<Partial<Record<Kind, Spec>>> = {
  network: networks.spec,
  subnet: subnets.spec,
  port: ports.spec,
  security_group: securityGroups.spec,
  security_group_rule: rules.spec,
  address_group: addressGroups.spec,
  default_security_group_rule: defaultRules.spec,
  rbac_policy: rbacPolicies.spec,
};

/** @returns what is wrong, one line each; none when all may be stored. */
export function problemsOf(records: readonly RecordChange[]): readonly string[] {
  const problems = records.flatMap((change) => problemsOfOne(change));
  if (problems.length > 0) return problems;
  const state = new State();
  for (const change of records) state.apply(change);
  const together = [...records].flatMap((change) => danglingOf(state, change));
  if (together.length > 0) return together;
  const parsed = parseTopology([{ file: 'records', content: topologyDocument(state) }]);
  return parsed.problems.filter(({ severity }) => severity !== 'notice').map(formatProblem);
}

function problemsOfOne({ kind, id: key, record }: RecordChange): readonly string[] {
  const where = keyOf(kind, key);
  const shape = SHAPES[kind].safeParse(record);
  if (!shape.success) {
    return shape.error.issues.map(({ path, message }) => `${where}: ${path.join('.')}: ${message}`);
  }
  if (record?.id !== key) return [`${where}: id: ${String(record?.id)} is another one`];
  // By its shape it is an object whose values are JSON.
  const fields = record as unknown as Fields;
  const attributes = Object.entries(SPECS[kind] ?? {}).flatMap(([name, { onCreate }]) => {
    const value = fields[name];
    // Rules that were made with their group have none.
    if (value === undefined || (value === null && name === 'description')) return [];
    return chunksOf(value).flatMap((part) => refused(where, () => onCreate(part, name)));
  });
  if (attributes.length > 0) return attributes;
  if (kind === 'security_group_rule' || kind === 'default_security_group_rule') {
    return refused(where, () => ruleContent(record));
  }
  return [];
}

/** How long lists may be is asked of clients: what another Neutron had may be longer. */
function chunksOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length <= CHUNK) return [value];
  const items = value as readonly unknown[];
  return Array.from({ length: Math.ceil(items.length / CHUNK) }, (_, index) =>
    items.slice(index * CHUNK, (index + 1) * CHUNK),
  );
}

/** No list of an attribute is limited to less. */
const CHUNK = 5;

function refused(where: string, read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (error instanceof ApiError) return [`${where}: ${error.message}`];
    throw error;
  }
}

/** What a record names and what is not there, and addresses that two ports have. */
function danglingOf(view: View, change: RecordChange): readonly string[] {
  const { kind, id: key, record } = change;
  if (record === undefined) return [];
  const where = keyOf(kind, key);
  const missing = (what: Kind, name: string | null): readonly string[] =>
    name === null || view.get(what, name) !== undefined ? [] : [`${where}: ${keyOf(what, name)} is not there`];
  switch (change.kind) {
    case 'subnet':
      return missing('network', change.record?.network_id ?? null);
    case 'port':
      return change.record === undefined ? [] : portProblems(view, where, change.record, missing);
    case 'security_group_rule':
      return [
        ...missing('security_group', change.record?.security_group_id ?? null),
        ...missing('security_group', change.record?.remote_group_id ?? null),
        ...missing('address_group', change.record?.remote_address_group_id ?? null),
      ];
    case 'default_security_group_rule': {
      const remote = change.record?.remote_group_id ?? null;
      return [
        ...missing('security_group', remote === PARENT ? null : remote),
        ...missing('address_group', change.record?.remote_address_group_id ?? null),
      ];
    }
    case 'default_security_group': {
      const group = change.record?.security_group_id ?? null;
      const owner = group === null ? undefined : view.get('security_group', group)?.project_id;
      return owner === undefined || owner === key
        ? missing('security_group', group)
        : [`${where}: the group is of project ${owner}`];
    }
    case 'rbac_policy':
      return change.record === undefined ? [] : missing(change.record.object_type, change.record.object_id);
    default:
      return [];
  }
}

function portProblems(
  view: View,
  where: string,
  port: Records['port'],
  missing: (what: Kind, name: string | null) => readonly string[],
): readonly string[] {
  const { network_id: network, mac_address: mac, fixed_ips: ips } = port;
  const isTaken = (other: Records['port'] | undefined): boolean => other !== undefined && other.id !== port.id;
  return [
    ...missing('network', network),
    ...port.security_groups.flatMap((group) => missing('security_group', group)),
    ...(isTaken(view.portWithMac(network, mac)) ? [`${where}: ${mac} is another port's, too`] : []),
    ...ips.flatMap(({ ip_address: address }) =>
      isTaken(view.portWithAddress(network, address)) ? [`${where}: ${address} is another port's, too`] : [],
    ),
  ];
}
