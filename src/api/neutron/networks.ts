/** Networks: as much of them as ports need. */
import { randomUUID } from 'node:crypto';
import { isAdmin, type Caller } from '../caller.js';
import { deleteBy, type Writer } from '../writer.js';
import { ApiError, forbidden } from '../errors.js';
import type { NetworkRecord } from '../records.js';
import { isAny, type View } from '../state.js';
import { integer } from '../kinds/parsers.js';
import { ensureDefaultGroup } from './default-group.js';
import { reserve } from './quota.js';
import { madeAt, revised, type Resource } from './resource.js';
import { isSharedWith, isUsable } from './sharing.js';
import { specOf } from '../kinds/attribute.js';
import { NETWORK } from '../kinds/network.js';
import { shows } from './shows.js';

/** Of a segment of a network of type vlan: 12 bits (IEEE 802.1Q). */
const MOST_VLAN = 4094;

const SPEC = specOf(NETWORK);

const ADMIN_ONLY = [
  'shared',
  'router:external',
  'provider:network_type',
  'provider:physical_network',
  'provider:segmentation_id',
];

export function canSeeNetwork(network: NetworkRecord, view: View, caller: Caller): boolean {
  return isAdmin(caller) || network.shared || network['router:external'] || isUsable(network, view, caller);
}

/** What `shared` says of a network, and of its subnets. */
export function isNetworkShared(network: NetworkRecord, view: View, caller: Caller): boolean {
  return network.shared || isSharedWith(view, network.id, caller.projectId);
}

export const networks: Resource<'network', typeof SPEC> = {
  kind: 'network',
  spec: SPEC,
  shows: shows(
    NETWORK,
    [
      'id',
      'name',
      'tenant_id',
      'admin_state_up',
      'mtu',
      'status',
      'subnets',
      'shared',
      'availability_zone_hints',
      'availability_zones',
      'ipv4_address_scope',
      'ipv6_address_scope',
      'router:external',
      'is_default',
      'description',
      'port_security_enabled',
      'tags',
      'created_at',
      'updated_at',
      'revision_number',
      'project_id',
      'provider:network_type',
      'provider:physical_network',
      'provider:segmentation_id',
    ],
    {
      status: (network) => (network.admin_state_up ? 'ACTIVE' : 'DOWN'),
      subnets: ({ id }, { view }) => [...view.by('subnet', 'network_id', id)].map((subnet) => subnet.id),
      shared: (network, { view, caller }) => isNetworkShared(network, view, caller),
      availability_zone_hints: () => [],
      availability_zones: () => [],
      ipv4_address_scope: () => null,
      ipv6_address_scope: () => null,
      is_default: () => false,
    },
  ),
  adminOnly: ['provider:network_type', 'provider:physical_network', 'provider:segmentation_id'],
  notFound: (id) => new ApiError('NetworkNotFound', `Network ${id} could not be found.`),
  canSee: canSeeNetwork,
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
      ...values,
      tags: [],
      ...madeAt(now, 1),
    };
    writer.put('network', network);
    return network;
  },
  update: (writer, network, { values, caller, now }) => {
    refuseAdminOnly(new Set(Object.keys(values)), caller, 'update');
    if (values.mtu !== undefined && values.mtu !== network.mtu) refuseLargeMtu(values.mtu);
    const after = revised(network, { ...network, ...values }, now);
    if (after !== network) writer.put('network', after);
    return after;
  },
  remove: (writer, network) => {
    if (isAny(writer.view.by('port', 'network_id', network.id))) {
      throw new ApiError(
        'NetworkInUse',
        `Unable to complete operation on network ${network.id}. There are one or more ports still in use on the network.`,
      );
    }
    deleteBy(writer, 'subnet', 'network_id', network.id);
    deleteBy(writer, 'rbac_policy', 'object_id', network.id);
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
