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
import { ApiError, forbidden, invalidInput } from '../errors.js';
import type { AllocationPool, SubnetRecord } from '../records.js';
import type { View } from '../state.js';
import { bumpNetwork, canSeeNetwork, isNetworkShared, networkNotFound } from './networks.js';
import {
  asTruth,
  defaulted,
  fixed,
  integer,
  isObject,
  list,
  nullable,
  oneOf,
  optional,
  required,
  shown,
  text,
  truth,
  uuid,
  type Parser,
} from './attributes.js';
import { reserve } from './quota.js';
import { revised, type Resource } from './resource.js';

const address: Parser<string> = (value, name) => {
  const parsed = typeof value === 'string' ? parseAddress(value) : undefined;
  if (parsed === undefined) throw invalidInput(name, `'${shown(value)}' is not a valid IP address`);
  return parsed.text;
};

const cidr: Parser<string> = (value, name) => {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined;
  if (prefix === undefined) throw invalidInput(name, `'${shown(value)}' is not a valid IP subnet`);
  return prefix.text.includes('/') ? prefix.text : `${prefix.text}/${prefix.length.toString()}`;
};

const pool: Parser<AllocationPool> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  return { start: address(value['start'], name), end: address(value['end'], name) };
};

const route: Parser<SubnetRecord['host_routes'][number]> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  return { destination: cidr(value['destination'], name), nexthop: address(value['nexthop'], name) };
};

const MODES = ['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'] as const;

const SPEC = {
  name: defaulted(text(255), ''),
  description: defaulted(text(255), ''),
  network_id: fixed(required(uuid)),
  ip_version: fixed(optional(integer(4, 6))),
  cidr: fixed(required(cidr)),
  gateway_ip: optional(nullable(address)),
  allocation_pools: optional(list(pool, 100)),
  enable_dhcp: defaulted(truth, true),
  ipv6_ra_mode: fixed(defaulted(nullable(oneOf(MODES)), null)),
  ipv6_address_mode: fixed(defaulted(nullable(oneOf(MODES)), null)),
  dns_nameservers: defaulted(list(address, 5), []),
  host_routes: defaulted(list(route, 20), []),
  service_types: defaulted(list(text(255), 20), []),
};

function subnetNotFound(id: string): ApiError {
  return new ApiError('SubnetNotFound', `Subnet ${id} could not be found.`);
}

export const subnets: Resource<'subnet', typeof SPEC> = {
  kind: 'subnet',
  singular: 'subnet',
  plural: 'subnets',
  path: 'subnets',
  spec: SPEC,
  readOnly: ['id', 'subnetpool_id', 'tags', 'created_at', 'updated_at', 'revision_number', 'segment_id'],
  isOwned: true,
  notFound: subnetNotFound,
  canSee: (subnet, view, caller) => {
    const network = view.get('network', subnet.network_id);
    return isOwn(caller, subnet) || (network !== undefined && canSeeNetwork(network, view, caller));
  },
  show: (subnet) => ({
    id: subnet.id,
    name: subnet.name,
    tenant_id: subnet.project_id,
    network_id: subnet.network_id,
    ip_version: subnet.ip_version,
    subnetpool_id: null,
    enable_dhcp: subnet.enable_dhcp,
    ipv6_ra_mode: subnet.ipv6_ra_mode,
    ipv6_address_mode: subnet.ipv6_address_mode,
    gateway_ip: subnet.gateway_ip,
    cidr: subnet.cidr,
    allocation_pools: subnet.allocation_pools,
    host_routes: subnet.host_routes,
    dns_nameservers: subnet.dns_nameservers,
    description: subnet.description,
    service_types: subnet.service_types,
    tags: subnet.tags,
    created_at: subnet.created_at,
    updated_at: subnet.updated_at,
    revision_number: subnet.revision_number,
    project_id: subnet.project_id,
  }),
  hidden: (subnet, view, caller) => {
    const network = view.get('network', subnet.network_id);
    return { shared: network !== undefined && isNetworkShared(network, view, caller) };
  },
  filters: {
    shared: (item, values) => values.some((text) => asTruth(text) === item.value('shared')),
  },
  candidates: (view, filters) => {
    const networks = filters.get('network_id');
    return networks === undefined ? undefined : [...new Set(networks)].flatMap((id) => [...view.subnetsOf(id)]);
  },
  create: (writer, { values, projectId, caller, now }) => {
    const network = writer.view.get('network', values.network_id);
    if (network === undefined || !canSeeNetwork(network, writer.view, caller)) throw networkNotFound(values.network_id);
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
      name: values.name,
      description: values.description,
      network_id: values.network_id,
      ip_version: isIpv4 ? 4 : 6,
      cidr: values.cidr,
      gateway_ip: gateway,
      allocation_pools: checkedPools(prefix, values.allocation_pools) ?? defaultPools(prefix, gateway),
      enable_dhcp: values.enable_dhcp,
      ipv6_ra_mode: raMode,
      ipv6_address_mode: addressMode,
      dns_nameservers: values.dns_nameservers,
      host_routes: values.host_routes,
      service_types: values.service_types,
      tags: [],
      created_at: now,
      updated_at: now,
      revision_number: 0,
    };
    writer.put('subnet', subnet);
    bumpNetwork(writer, values.network_id, now);
    return subnet;
  },
  update: (writer, subnet, { values, now }) => {
    const prefix = subnetPrefix(subnet.cidr, undefined);
    if (values.gateway_ip !== undefined) checkGateway(prefix, values.gateway_ip);
    const pools = checkedPools(prefix, values.allocation_pools);
    // The IP version is fixed, and no longer among the values.
    const changes = { ...values, ...(pools === undefined ? {} : { allocation_pools: pools }) } as Partial<SubnetRecord>;
    const after = revised(subnet, changes, now);
    if (after !== subnet) writer.put('subnet', after);
    return after;
  },
  remove: (writer, subnet, { now }) => {
    for (const port of writer.view.portsOf(subnet.network_id)) {
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
  for (const other of view.subnetsOf(networkId)) {
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
