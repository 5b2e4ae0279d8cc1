/**
 * The fields of each kind of object: all that Neutron's API gives (neutron-lib, api/definitions, with its extensions), and ours.
 *
 * One that nobody knows is not passed over where it could have been a limit: a rule with `remote_ip` in place of
 * `remote_ip_prefix` would open its port to the world. On networks and subnets nothing hangs on them.
 */
import { didYouMean } from '../nearest.js';
import { quoteValue, type Severity } from '../problem.js';
import type { Fields, Place } from './report.js';

/** Of every object with Neutron's standard attributes. */
const STANDARD = [
  'id',
  'name',
  'description',
  'project_id',
  'tenant_id',
  'created_at',
  'updated_at',
  'revision_number',
  'standard_attr_id',
  'tags',
];

const PORT = [
  ...STANDARD,
  'admin_state_up',
  'allowed_address_pairs',
  'binding:host_id',
  'binding:profile',
  'binding:vif_details',
  'binding:vif_type',
  'binding:vnic_type',
  'data_plane_status',
  // Ours: the device of the port on its host, by either name.
  'device',
  'device_name',
  'device_id',
  'device_owner',
  'device_profile',
  'dns_assignment',
  'dns_domain',
  'dns_name',
  'extra_dhcp_opts',
  'fixed_ips',
  'hardware_offload_type',
  'hints',
  'ip_allocation',
  'mac_address',
  'mac_learning_enabled',
  'network_id',
  'numa_affinity_policy',
  'port_security_enabled',
  'propagate_uplink_status',
  'qos_network_policy_id',
  'qos_policy_id',
  'resource_request',
  'security_groups',
  'status',
  'trunk_details',
  'trusted',
];

const SECURITY_GROUP = [...STANDARD, 'is_default', 'security_group_rules', 'shared', 'stateful'];

const RULE = [
  ...STANDARD,
  'belongs_to_default_sg',
  'direction',
  'ethertype',
  'normalized_cidr',
  'port_range_max',
  'port_range_min',
  'protocol',
  'remote_address_group_id',
  'remote_group_id',
  'remote_ip_prefix',
  'security_group_id',
  // Of the templates of rules (security-groups-default-rules).
  'used_in_default_sg',
  'used_in_non_default_sg',
];

const ADDRESS_GROUP = [...STANDARD, 'addresses', 'shared'];

const NETWORK = [
  ...STANDARD,
  'admin_state_up',
  'availability_zone_hints',
  'availability_zones',
  'dns_domain',
  'ha',
  'ipv4_address_scope',
  'ipv6_address_scope',
  'is_default',
  'l2_adjacency',
  'mtu',
  'port_security_enabled',
  'provider:network_type',
  'provider:physical_network',
  'provider:segmentation_id',
  'qinq',
  'qos_policy_id',
  'router:external',
  'segments',
  'shared',
  'status',
  'subnets',
  'vlan_qinq',
  'vlan_transparent',
];

const SUBNET = [
  ...STANDARD,
  'allocation_pools',
  'cidr',
  'dns_nameservers',
  'dns_publish_fixed_ip',
  'enable_dhcp',
  'gateway_ip',
  'host_routes',
  'ip_version',
  'ipv6_address_mode',
  'ipv6_ra_mode',
  'network_id',
  'prefixlen',
  'router:external',
  'segment_id',
  'service_types',
  'shared',
  'subnetpool_id',
  'use_default_subnetpool',
];

interface Kind {
  readonly fields: ReadonlySet<string>;
  readonly severity: Severity;
}

function kind(fields: readonly string[], severity: Severity): Kind {
  return { fields: new Set(fields), severity };
}

export const KINDS = {
  port: kind(PORT, 'error'),
  'security group': kind(SECURITY_GROUP, 'error'),
  'security group rule': kind(RULE, 'error'),
  'address group': kind(ADDRESS_GROUP, 'error'),
  'fixed IP': kind(['ip_address', 'subnet_id'], 'error'),
  'allowed address pair': kind(['active', 'ip_address', 'mac_address'], 'error'),
  network: kind(NETWORK, 'notice'),
  subnet: kind(SUBNET, 'notice'),
} as const;

/** Reports the fields that an object of that kind does not have. */
export function reportUnknownFields(of: keyof typeof KINDS, fields: Fields, place: Place): void {
  const { fields: known, severity } = KINDS[of];
  for (const name of Object.keys(fields)) {
    if (known.has(name)) continue;
    const message = `${quoteValue(name)} is no field of a ${of}${didYouMean(name, known)}`;
    const at = place.key(quoteKey(name));
    if (severity === 'error') at.error('unknown-field', message);
    else at.report(severity, 'unknown-field', message);
  }
}

/** A key from outside, as part of a path on one line. */
export function quoteKey(name: string): string {
  return /^[\w:.-]{1,64}$/.test(name) ? name : quoteValue(name);
}
