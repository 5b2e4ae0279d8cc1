/** A topology in Neutron's shapes -> records: for a store that begins with what another one has. */
import { z } from 'zod';
import { formatProblem, parsePrefix, parseTopology, type SourceDocument } from '../model/index.js';
import { isObject } from './neutron/attributes.js';
import { timestamp } from './neutron/resource.js';
import { DEFAULT_NAME } from './neutron/default-group.js';
import { ruleContent } from './neutron/rule-content.js';
import type { GroupRecord, RecordChange, RuleRecord } from './records.js';

/** A document that cannot be imported; one line. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
}

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const project = { project_id: z.string().optional(), tenant_id: z.string().optional() };

/** @param now for objects that do not say when they were made. */

function schemas(now: string) {
  const standard = {
    id: z.string(),
    description: text,
    ...project,
    created_at: z.string().default(now),
    updated_at: z.string().default(now),
    revision_number: z.number().int().default(1),
  };
  const common = { ...standard, name: text, tags: z.array(z.string()).default([]) };
  const rule = z.object({
    ...standard,
    description: z.string().nullable().default(''),
    security_group_id: z.string(),
    direction: z.enum(['ingress', 'egress']),
    ethertype: z.enum(['IPv4', 'IPv6']).default('IPv4'),
    protocol: z
      .union([z.string(), z.number()])
      .nullish()
      .transform((value) => (value === null || value === undefined ? null : value.toString())),
    port_range_min: z
      .number()
      .int()
      .nullish()
      .transform((value) => value ?? null),
    port_range_max: z
      .number()
      .int()
      .nullish()
      .transform((value) => value ?? null),
    remote_ip_prefix: z
      .string()
      .nullish()
      .transform((value) => value ?? null),
    remote_group_id: z
      .string()
      .nullish()
      .transform((value) => value ?? null),
    remote_address_group_id: z
      .string()
      .nullish()
      .transform((value) => value ?? null),
  });
  return {
    network: z.object({
      ...common,
      admin_state_up: z.boolean().default(true),
      mtu: z.number().int().default(1500),
      shared: z.boolean().default(false),
      'router:external': z.boolean().default(false),
      port_security_enabled: z.boolean().default(true),
      'provider:network_type': z.string().default('local'),
      'provider:physical_network': z.string().nullable().default(null),
      'provider:segmentation_id': z.number().nullable().default(null),
    }),
    subnet: z.object({
      ...common,
      network_id: z.string(),
      cidr: z.string(),
      gateway_ip: z.string().nullable().default(null),
      allocation_pools: z.array(z.object({ start: z.string(), end: z.string() })).default([]),
      enable_dhcp: z.boolean().default(true),
      ipv6_ra_mode: z.string().nullable().default(null),
      ipv6_address_mode: z.string().nullable().default(null),
      dns_nameservers: z.array(z.string()).default([]),
      host_routes: z.array(z.object({ destination: z.string(), nexthop: z.string() })).default([]),
      service_types: z.array(z.string()).default([]),
    }),
    port: z.object({
      ...common,
      network_id: z.string(),
      mac_address: z.string(),
      admin_state_up: z.boolean().default(true),
      device_id: text,
      device_owner: text,
      fixed_ips: z.array(z.object({ subnet_id: z.string().default(''), ip_address: z.string() })).default([]),
      security_groups: z.array(z.string()).default([]),
      port_security_enabled: z.boolean().default(true),
      allowed_address_pairs: z
        .array(z.object({ mac_address: z.string().optional(), ip_address: z.string() }))
        .default([]),
      'binding:vnic_type': z.string().default('normal'),
      'binding:host_id': text,
    }),
    security_group: z.object({ ...common, stateful: z.boolean().default(true) }),
    rules_in_group: z.object({ id: z.string(), security_group_rules: z.array(z.looseObject({})).default([]) }),
    security_group_rule: rule,
    address_group: z.object({ ...standard, name: text, addresses: z.array(z.string()).default([]) }),
  };
}

/**
 * The records of a topology. Objects are named by id, as Neutron's API gives them.
 * @throws ImportError with the first thing that is wrong.
 */
export function recordsOf(documents: readonly SourceDocument[], now = timestamp()): readonly RecordChange[] {
  const { problems } = parseTopology(documents);
  const wrong = problems.find(({ severity }) => severity !== 'notice');
  if (wrong !== undefined) throw new ImportError(formatProblem(wrong));
  const shapes = schemas(now);
  const read = <S extends z.ZodType>(key: string, schema: S): readonly z.infer<S>[] =>
    documents.flatMap(({ file, content }) => {
      const items = isObject(content) ? (content[key] ?? []) : [];
      return (Array.isArray(items) ? (items as readonly unknown[]) : []).map((one, index) =>
        parsed(schema, one, `${file}: ${key}[${index.toString()}]`),
      );
    });
  const groups = read('security_groups', shapes.security_group);
  const rules = [
    ...read('security_groups', shapes.rules_in_group).flatMap((group) =>
      group.security_group_rules.map((one, index) =>
        parsed(
          shapes.security_group_rule,
          { ...one, security_group_id: group.id },
          `rule ${index.toString()} of security group ${group.id}`,
        ),
      ),
    ),
    ...read('security_group_rules', shapes.security_group_rule),
  ];
  return [
    ...read('networks', shapes.network).map((one): RecordChange => ({
      kind: 'network',
      id: one.id,
      record: owned(one),
    })),
    ...read('subnets', shapes.subnet).map((one): RecordChange => ({
      kind: 'subnet',
      id: one.id,
      record: { ...owned(one), ip_version: parsePrefix(one.cidr)?.family === 'IPv6' ? 6 : 4 },
    })),
    ...groups.map((one): RecordChange => ({ kind: 'security_group', id: one.id, record: owned(one) })),
    ...defaultsOf(groups.map(owned)),
    ...[...new Map(rules.map((one) => [one.id, one])).values()].map((one): RecordChange => ({
      kind: 'security_group_rule',
      id: one.id,
      record: ruleRecord(owned(one)),
    })),
    ...read('address_groups', shapes.address_group).map((one): RecordChange => ({
      kind: 'address_group',
      id: one.id,
      record: owned(one),
    })),
    ...read('ports', shapes.port).map((one): RecordChange => ({
      kind: 'port',
      id: one.id,
      record: {
        ...owned(one),
        allowed_address_pairs: one.allowed_address_pairs.map(({ mac_address: mac, ip_address: address }) => ({
          mac_address: mac ?? one.mac_address,
          ip_address: address,
        })),
        extra_dhcp_opts: [],
        'binding:profile': {},
      },
    })),
  ];
}

function parsed<S extends z.ZodType>(schema: S, value: unknown, where: string): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ImportError(`${where}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`);
}

function owned<T extends { readonly project_id?: string | undefined; readonly tenant_id?: string | undefined }>(
  one: T,
): Omit<T, 'project_id' | 'tenant_id'> & { readonly project_id: string } {
  const { project_id: id, tenant_id: older, ...rest } = one;
  return { ...rest, project_id: id ?? older ?? '' };
}

/** In the form that the API stores, `icmp` of IPv6 by its own name and so on. */
function ruleRecord(rule: RuleRecord): RuleRecord {
  return { ...rule, ...ruleContent(rule) };
}

function defaultsOf(groups: readonly Pick<GroupRecord, 'id' | 'name' | 'project_id'>[]): readonly RecordChange[] {
  return groups
    .filter(({ name }) => name === DEFAULT_NAME)
    .map(({ id, project_id: owner }) => ({
      kind: 'default_security_group',
      id: owner,
      record: { id: owner, security_group_id: id },
    }));
}
