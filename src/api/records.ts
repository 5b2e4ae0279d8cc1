/**
 * What is stored: one record for each object, as Neutron's and Nova's APIs show it, less what follows from other records.
 *
 * The store's keys are `KIND/ID`. Records are never changed in place. Whoever changes a shape here raises SCHEMA (store/schema.ts).
 */
import type { Family } from '../../compiler/model/index.js';

/** What Neutron calls standard attributes. */
export interface Standard {
  readonly id: string;
  readonly project_id: string;
  /** `YYYY-MM-DDTHH:MM:SSZ`. */
  readonly created_at: string;
  readonly updated_at: string;
  readonly revision_number: number;
}

export interface NetworkRecord extends Standard {
  readonly name: string;
  readonly description: string;
  readonly admin_state_up: boolean;
  readonly mtu: number;
  readonly shared: boolean;
  readonly 'router:external': boolean;
  readonly port_security_enabled: boolean;
  readonly 'provider:network_type': string;
  readonly 'provider:physical_network': string | null;
  readonly 'provider:segmentation_id': number | null;
  readonly tags: readonly string[];
}

export interface AllocationPool {
  readonly start: string;
  readonly end: string;
}

export interface SubnetRecord extends Standard {
  readonly name: string;
  readonly description: string;
  readonly network_id: string;
  readonly ip_version: 4 | 6;
  readonly cidr: string;
  readonly gateway_ip: string | null;
  readonly allocation_pools: readonly AllocationPool[];
  readonly enable_dhcp: boolean;
  readonly ipv6_ra_mode: string | null;
  readonly ipv6_address_mode: string | null;
  readonly dns_nameservers: readonly string[];
  readonly host_routes: readonly { readonly destination: string; readonly nexthop: string }[];
  readonly service_types: readonly string[];
  readonly tags: readonly string[];
}

export interface FixedIp {
  readonly subnet_id: string;
  readonly ip_address: string;
}

export interface AddressPair {
  readonly mac_address: string;
  readonly ip_address: string;
}

export interface DhcpOption {
  readonly opt_name: string;
  /** Null, in a request, for one that goes. */
  readonly opt_value: string | null;
  readonly ip_version: 4 | 6;
}

export interface PortRecord extends Standard {
  readonly name: string;
  readonly description: string;
  readonly network_id: string;
  readonly mac_address: string;
  readonly admin_state_up: boolean;
  readonly device_id: string;
  readonly device_owner: string;
  readonly fixed_ips: readonly FixedIp[];
  readonly security_groups: readonly string[];
  readonly port_security_enabled: boolean;
  readonly allowed_address_pairs: readonly AddressPair[];
  readonly extra_dhcp_opts: readonly DhcpOption[];
  readonly 'binding:vnic_type': string;
  /** '' where it is bound to no host. */
  readonly 'binding:host_id': string;
  readonly 'binding:profile': Readonly<Record<string, unknown>>;
  readonly tags: readonly string[];
}

export interface GroupRecord extends Standard {
  readonly name: string;
  readonly description: string;
  readonly stateful: boolean;
  readonly tags: readonly string[];
}

export type RuleDirection = 'ingress' | 'egress';

/** What a rule and a template of a rule have in common. */
export interface RuleContent {
  readonly direction: RuleDirection;
  readonly ethertype: Family;
  readonly protocol: string | null;
  readonly port_range_min: number | null;
  readonly port_range_max: number | null;
  readonly remote_ip_prefix: string | null;
  readonly remote_group_id: string | null;
  readonly remote_address_group_id: string | null;
}

export interface RuleRecord extends Standard, RuleContent {
  readonly security_group_id: string;
  /** Null in rules that were made with their group. */
  readonly description: string | null;
}

export interface AddressGroupRecord extends Standard {
  readonly name: string;
  readonly description: string;
  /** Prefixes in network form, `10.0.0.0/24`, `10.0.0.1/32`. */
  readonly addresses: readonly string[];
}

export interface DefaultRuleRecord extends RuleContent {
  readonly id: string;
  readonly description: string;
  readonly used_in_default_sg: boolean;
  readonly used_in_non_default_sg: boolean;
}

/** Which group is the project's `default`; its id is the project's. */
export interface DefaultGroupRecord {
  readonly id: string;
  readonly security_group_id: string;
}

export const QUOTA_NAMES = [
  'network',
  'subnet',
  'subnetpool',
  'port',
  'rbac_policy',
  'security_group',
  'security_group_rule',
] as const;
export type QuotaName = (typeof QUOTA_NAMES)[number];

/** A project's own limits; its id is the project's. -1 stands for no limit. */
export interface QuotaRecord {
  readonly id: string;
  readonly limits: Readonly<Partial<Record<QuotaName | 'instances', number>>>;
}

/** A token of the file of users that was given back: of no use any more, as long as there is this record. Its id is a digest. */
export interface RevokedTokenRecord {
  readonly id: string;
}

/** Kinds of objects that policies share. */
export const SHARED_TYPES = ['security_group', 'address_group', 'network'] as const satisfies readonly string[];

export interface RbacRecord {
  readonly id: string;
  readonly project_id: string;
  readonly object_type: (typeof SHARED_TYPES)[number];
  readonly object_id: string;
  readonly action: 'access_as_shared';
  /** A project's id, or `*` for all. */
  readonly target_tenant: string;
}

/** A server as far as it owns ports. */
export interface ServerRecord {
  readonly id: string;
  readonly name: string;
  readonly project_id: string;
  readonly user_id: string;
  readonly created: string;
  readonly updated: string;
  readonly flavor: string;
  readonly image: string;
  readonly host: string;
  readonly availability_zone: string;
  readonly key_name: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  /** Ports that were made for it or given to it, in order. One that names it otherwise is not its. */
  readonly ports: readonly string[];
  /** Those of them that were there before: they stay when it goes. */
  readonly kept_ports: readonly string[];
  /** Why it could not get its ports; null for one that did. */
  readonly fault: string | null;
  /** Of one that has no ports for that reason: the groups that they would have. */
  readonly requested_groups: readonly string[];
}

export interface Records {
  readonly network: NetworkRecord;
  readonly subnet: SubnetRecord;
  readonly port: PortRecord;
  readonly security_group: GroupRecord;
  readonly security_group_rule: RuleRecord;
  readonly address_group: AddressGroupRecord;
  readonly default_security_group_rule: DefaultRuleRecord;
  readonly default_security_group: DefaultGroupRecord;
  readonly quota: QuotaRecord;
  readonly revoked_token: RevokedTokenRecord;
  readonly rbac_policy: RbacRecord;
  readonly server: ServerRecord;
}

export type Kind = keyof Records;

export const KINDS: readonly Kind[] = [
  'network',
  'subnet',
  'port',
  'security_group',
  'security_group_rule',
  'address_group',
  'default_security_group_rule',
  'default_security_group',
  'quota',
  'revoked_token',
  'rbac_policy',
  'server',
];

/** A change of one record; `record` is undefined for one that goes. */
export type RecordChange = {
  readonly [K in Kind]: { readonly kind: K; readonly id: string; readonly record: Records[K] | undefined };
}[Kind];
