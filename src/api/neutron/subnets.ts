/** Subnets: the addresses that ports get. */
import { randomUUID } from 'node:crypto';
import {
  covers,
  formatAddress,
  isExact,
  lastAddress,
  parseAddress,
  parsePrefix,
  type Prefix,
} from '../../../compiler/model/index.js';
import { isAdmin, isOwn } from '../caller.js';
import { ApiError, forbidden } from '../errors.js';
import type { AllocationPool, SubnetRecord } from '../records.js';
import type { View } from '../state.js';
import { bumpNetwork, canSeeNetwork, isNetworkShared, networks } from './networks.js';
import { asTruth } from '../kinds/parsers.js';
import { reserve } from './quota.js';
import { found, madeAt, revised, type Resource } from './resource.js';
import { specOf } from '../kinds/attribute.js';
import { SUBNET } from '../kinds/subnet.js';
import { shows } from './shows.js';

const SPEC = specOf(SUBNET);

export const subnets: Resource<'subnet', typeof SPEC> = {
  kind: 'subnet',
  spec: SPEC,
  shows: shows(
    SUBNET,
    [
      'id',
      'name',
      'tenant_id',
      'network_id',
      'ip_version',
      'subnetpool_id',
      'enable_dhcp',
      'ipv6_ra_mode',
      'ipv6_address_mode',
      'gateway_ip',
      'cidr',
      'allocation_pools',
      'host_routes',
      'dns_nameservers',
      'description',
      'service_types',
      'tags',
      'created_at',
      'updated_at',
      'revision_number',
      'project_id',
    ],
    { subnetpool_id: () => null },
  ),
  unused: ['segment_id'],
  notFound: (id) => new ApiError('SubnetNotFound', `Subnet ${id} could not be found.`),
  canSee: (subnet, view, caller) => {
    const network = view.get('network', subnet.network_id);
    return isOwn(caller, subnet) || (network !== undefined && canSeeNetwork(network, view, caller));
  },
  hidden: (subnet, view, caller) => {
    const network = view.get('network', subnet.network_id);
    return { shared: network !== undefined && isNetworkShared(network, view, caller) };
  },
  filters: {
    shared: (values) => {
      const wanted = new Set<unknown>(values.map(asTruth));
      return (item) => wanted.has(item.value('shared'));
    },
  },
  candidates: (view, filters) => {
    const within = filters.get('network_id');
    return within === undefined
      ? undefined
      : [...new Set(within)].flatMap((id) => [...view.by('subnet', 'network_id', id)]);
  },
  create: (writer, { values, projectId, caller, now }) => {
    const network = found(networks, writer.view, caller, values.network_id);
    if (!isAdmin(caller) && !isOwn(caller, network)) throw forbidden('rule:create_subnet');
    reserve(writer.view, projectId, { subnet: 1 });
    const prefix = subnetPrefix(values.cidr, values.ip_version);
    const isIpv4 = prefix.family === 'IPv4';
    const { ipv6_ra_mode: raMode, ipv6_address_mode: addressMode } = values;
    if (isIpv4 && (raMode !== null || addressMode !== null)) {
      throw new ApiError(
        'InvalidInput',
        'Invalid input for operation: ipv6_ra_mode and ipv6_address_mode are of IPv6 subnets only.',
      );
    }
    refuseOverlap(writer.view, values.network_id, prefix);
    const isAutomatic = addressMode === 'slaac' || addressMode === 'dhcpv6-stateless';
    if (isAutomatic && prefix.length !== 64) {
      throw new ApiError('InvalidInput', 'Invalid CIDR for subnet: SLAAC and stateless DHCPv6 need a length of 64.');
    }
    const gateway = values.gateway_ip === undefined ? defaultGateway(prefix, isAutomatic) : values.gateway_ip;
    checkGateway(prefix, gateway);
    const subnet: SubnetRecord = {
      id: randomUUID(),
      project_id: projectId,
      ...values,
      ip_version: isIpv4 ? 4 : 6,
      gateway_ip: gateway,
      allocation_pools: checkedPools(prefix, values.allocation_pools) ?? defaultPools(prefix, gateway),
      tags: [],
      ...madeAt(now, 0),
    };
    writer.put('subnet', subnet);
    bumpNetwork(writer, values.network_id, now);
    return subnet;
  },
  update: (writer, subnet, { values, now }) => {
    const prefix = subnetPrefix(subnet.cidr, undefined);
    if (values.gateway_ip !== undefined) checkGateway(prefix, values.gateway_ip);
    checkedPools(prefix, values.allocation_pools);
    const after = revised(subnet, { ...subnet, ...values }, now);
    if (after !== subnet) writer.put('subnet', after);
    return after;
  },
  remove: (writer, subnet, { now }) => {
    for (const port of writer.view.by('port', 'network_id', subnet.network_id)) {
      if (port.fixed_ips.some(({ subnet_id: id }) => id === subnet.id)) {
        throw new ApiError(
          'SubnetInUse',
          `Unable to complete operation on subnet ${subnet.id}: One or more ports have an IP allocation from this subnet.`,
        );
      }
    }
    writer.delete('subnet', subnet.id);
    bumpNetwork(writer, subnet.network_id, now);
  },
};

function subnetPrefix(text_: string, version: number | undefined): Prefix {
  const prefix = parsePrefix(text_);
  const isRight = prefix !== undefined && (version === undefined || (version === 4) === (prefix.family === 'IPv4'));
  if (!isRight || prefix.length === 0) {
    throw new ApiError(
      'InvalidInput',
      `Invalid input for operation: The cidr ${text_} is no subnet of IP version ${String(version ?? '4 or 6')}.`,
    );
  }
  return prefix;
}

function refuseOverlap(view: View, networkId: string, prefix: Prefix): void {
  for (const other of view.by('subnet', 'network_id', networkId)) {
    const known = parsePrefix(other.cidr);
    if (known !== undefined && (covers(known, prefix) || covers(prefix, known))) {
      throw new ApiError(
        'InvalidInput',
        `Invalid input for operation: Requested subnet with cidr: ${prefix.text} for network: ${networkId} overlaps with another subnet.`,
      );
    }
  }
}

function defaultGateway(prefix: Prefix, isAutomatic: boolean): string | null {
  if (isExact(prefix)) return null;
  return formatAddress(prefix.family, isAutomatic ? prefix.network : prefix.network + 1n);
}

function checkGateway(prefix: Prefix, gateway: string | null): void {
  const parsed = gateway === null ? undefined : parseAddress(gateway);
  if (gateway !== null && parsed?.family !== prefix.family) {
    throw new ApiError(
      'InvalidInput',
      `Invalid input for operation: Gateway ${gateway} is not of the subnet's IP version.`,
    );
  }
}

/** First and last address that a port may have: not the network's own, nor IPv4's broadcast (RFC 919). */
function hostRange(prefix: Prefix): readonly [bigint, bigint] {
  const last = lastAddress(prefix);
  const isSmall = last - prefix.network < 2n;
  if (isSmall) return [prefix.network, last];
  return [prefix.network + 1n, prefix.family === 'IPv4' ? last - 1n : last];
}

function defaultPools(prefix: Prefix, gateway: string | null): readonly AllocationPool[] {
  const [first, last] = hostRange(prefix);
  const taken = gateway === null ? undefined : parseAddress(gateway)?.network;
  const ranges: (readonly [bigint, bigint])[] =
    taken === undefined || taken < first || taken > last
      ? [[first, last]]
      : [
          [first, taken - 1n],
          [taken + 1n, last],
        ];
  return ranges
    .filter(([from, to]) => from <= to)
    .map(([from, to]) => ({ start: formatAddress(prefix.family, from), end: formatAddress(prefix.family, to) }));
}

function checkedPools(
  prefix: Prefix,
  pools: readonly AllocationPool[] | undefined,
): readonly AllocationPool[] | undefined {
  if (pools === undefined) return undefined;
  for (const { start, end } of pools) {
    const [from, to] = [parseAddress(start), parseAddress(end)];
    if (
      from === undefined ||
      to === undefined ||
      !covers(prefix, from) ||
      !covers(prefix, to) ||
      from.network > to.network
    ) {
      throw new ApiError(
        'InvalidAllocationPool',
        `The allocation pool ${start}-${end} is not valid for subnet ${prefix.text}.`,
      );
    }
  }
  return pools;
}
