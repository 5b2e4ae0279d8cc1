/** Networks: as much of them as ports need. */
import { randomUUID } from 'node:crypto';
import { isAdmin, type Caller } from '../caller.js';
import type { Writer } from '../database.js';
import { ApiError, forbidden } from '../errors.js';
import type { NetworkRecord } from '../records.js';
import { isAny, type View } from '../state.js';
import { defaulted, fixed, integer, nullable, oneOf, text, truth } from './attributes.js';
import { ensureDefaultGroup } from './default-group.js';
import { reserve } from './quota.js';
import { revised, type Resource } from './resource.js';
import { isSharedWith, isUsable } from './sharing.js';

/** 24 bits, as VXLAN has (RFC 7348); of a network of type vlan 12 (IEEE 802.1Q). */
const MOST_SEGMENT = 16_777_215;
const MOST_VLAN = 4094;

const SPEC = {
  name: defaulted(text(255), ''),
  description: defaulted(text(255), ''),
  admin_state_up: defaulted(truth, true),
  mtu: defaulted(integer(68, 65_535), 1500),
  shared: defaulted(truth, false),
  'router:external': defaulted(truth, false),
  port_security_enabled: defaulted(truth, true),
  'provider:network_type': fixed(
    defaulted(oneOf(['local', 'flat', 'vlan', 'vxlan', 'gre', 'geneve'] as const), 'local'),
  ),
  'provider:physical_network': fixed(defaulted(nullable(text(64)), null)),
  'provider:segmentation_id': fixed(defaulted(nullable(integer(1, MOST_SEGMENT)), null)),
};

const ADMIN_ONLY = [
  'shared',
  'router:external',
  'provider:network_type',
  'provider:physical_network',
  'provider:segmentation_id',
];

export function networkNotFound(id: string): ApiError {
  return new ApiError('NetworkNotFound', `Network ${id} could not be found.`);
}

export function canSeeNetwork(network: NetworkRecord, view: View, caller: Caller): boolean {
  return isAdmin(caller) || network.shared || network['router:external'] || isUsable(network, view, caller);
}

/** What `shared` says of a network, and of its subnets. */
export function isNetworkShared(network: NetworkRecord, view: View, caller: Caller): boolean {
  return network.shared || isSharedWith(view, network.id, caller.projectId);
}

export const networks: Resource<'network', typeof SPEC> = {
  kind: 'network',
  singular: 'network',
  plural: 'networks',
  path: 'networks',
  spec: SPEC,
  readOnly: [
    'id',
    'status',
    'subnets',
    'availability_zone_hints',
    'availability_zones',
    'ipv4_address_scope',
    'ipv6_address_scope',
    'is_default',
    'tags',
    'created_at',
    'updated_at',
    'revision_number',
  ],
  adminOnly: ['provider:network_type', 'provider:physical_network', 'provider:segmentation_id'],
  isOwned: true,
  notFound: networkNotFound,
  canSee: canSeeNetwork,
  show: (network, view, caller) => ({
    id: network.id,
    name: network.name,
    tenant_id: network.project_id,
    admin_state_up: network.admin_state_up,
    mtu: network.mtu,
    status: network.admin_state_up ? 'ACTIVE' : 'DOWN',
    subnets: [...view.subnetsOf(network.id)].map(({ id }) => id),
    shared: isNetworkShared(network, view, caller),
    availability_zone_hints: [],
    availability_zones: [],
    ipv4_address_scope: null,
    ipv6_address_scope: null,
    'router:external': network['router:external'],
    is_default: false,
    description: network.description,
    port_security_enabled: network.port_security_enabled,
    tags: network.tags,
    created_at: network.created_at,
    updated_at: network.updated_at,
    revision_number: network.revision_number,
    project_id: network.project_id,
    'provider:network_type': network['provider:network_type'],
    'provider:physical_network': network['provider:physical_network'],
    'provider:segmentation_id': network['provider:segmentation_id'],
  }),
  create: (writer, { values, projectId, caller, now, named }) => {
    refuseAdminOnly(named, caller, 'create');
    refuseLargeMtu(values.mtu);
    if (values['provider:network_type'] === 'vlan')
      integer(1, MOST_VLAN)(values['provider:segmentation_id'], 'provider:segmentation_id');
    ensureDefaultGroup(writer, projectId, { now });
    reserve(writer.view, projectId, { network: 1 });
    const network: NetworkRecord = {
      id: randomUUID(),
      project_id: projectId,
      name: values.name,
      description: values.description,
      admin_state_up: values.admin_state_up,
      mtu: values.mtu,
      shared: values.shared,
      'router:external': values['router:external'],
      port_security_enabled: values.port_security_enabled,
      'provider:network_type': values['provider:network_type'],
      'provider:physical_network': values['provider:physical_network'],
      'provider:segmentation_id': values['provider:segmentation_id'],
      tags: [],
      created_at: now,
      updated_at: now,
      revision_number: 1,
    };
    writer.put('network', network);
    return network;
  },
  update: (writer, network, { values, caller, now }) => {
    refuseAdminOnly(new Set(Object.keys(values)), caller, 'update');
    if (values.mtu !== undefined && values.mtu !== network.mtu) refuseLargeMtu(values.mtu);
    const after = revised(network, values, now);
    if (after !== network) writer.put('network', after);
    return after;
  },
  remove: (writer, network) => {
    if (isAny(writer.view.portsOf(network.id))) {
      throw new ApiError(
        'NetworkInUse',
        `Unable to complete operation on network ${network.id}. There are one or more ports still in use on the network.`,
      );
    }
    for (const { id } of [...writer.view.subnetsOf(network.id)]) writer.delete('subnet', id);
    for (const policy of [...writer.view.policiesOf(network.id)]) writer.delete('rbac_policy', policy.id);
    writer.delete('network', network.id);
  },
};

/** Neutron's `global_physnet_mtu`, as it is where nobody says otherwise. */
const MOST_MTU = 1500;

function refuseLargeMtu(mtu: number): void {
  if (mtu <= MOST_MTU) return;
  throw new ApiError(
    'InvalidInput',
    `Invalid input for operation: Requested MTU is too big, maximum is ${MOST_MTU.toString()}.`,
  );
}

function refuseAdminOnly(named: ReadonlySet<string>, caller: Caller, action: 'create' | 'update'): void {
  const refused = isAdmin(caller) ? undefined : ADMIN_ONLY.find((name) => named.has(name));
  if (refused !== undefined) throw forbidden(`rule:${action}_network:${refused}`);
}

/** A network's revision counts its subnets, too. */
export function bumpNetwork(writer: Writer, id: string, now: string): void {
  const network = writer.view.get('network', id);
  if (network === undefined) return;
  writer.put('network', { ...network, revision_number: network.revision_number + 1, updated_at: now });
}
