/** Addresses for ports. */
import { randomInt } from 'node:crypto';
import {
  covers,
  eui64LinkLocalNumber,
  formatAddress,
  lastAddress,
  parseAddress,
  parsePortMac,
  parsePrefix,
  type Prefix,
} from '../../../compiler/model/index.js';
import { BoundedMap } from '../bounded-map.js';
import { ApiError } from '../errors.js';
import type { FixedIp, NetworkRecord, SubnetRecord } from '../records.js';
import type { View } from '../state.js';

/** What a client asks of one address: a subnet, an address, or both. */
export interface WantedIp {
  readonly subnet_id: string | undefined;
  readonly ip_address: string | undefined;
}

/**
 * Where the search for a free address goes on, by subnet: addresses are given in turn, so that one that was given back rests.
 * A hint and no more: what is taken is what the view says.
 */
export const nextCandidates = new BoundedMap<string, bigint>(10_000);

/**
 * @param wanted undefined for what the network gives by itself: one IPv4 and one IPv6 address, and one of each SLAAC subnet.
 * @param portId of a port that has addresses already, which are not in its way.
 * @throws ApiError
 */
export function allocate(
  view: View,
  network: NetworkRecord,
  mac: string,
  wanted: readonly WantedIp[] | undefined,
  portId: string | undefined,
): readonly FixedIp[] {
  const subnets = [...view.by('subnet', 'network_id', network.id)];
  const isFree = (address: string): boolean => {
    const owner = view.portWithAddress(network.id, address);
    return owner === undefined || owner.id === portId;
  };
  const given: FixedIp[] = [];
  const add = (ip: FixedIp): void => {
    if (given.some(({ ip_address: address }) => address === ip.ip_address)) {
      throw new ApiError('InvalidInput', `Duplicate fixed IP address ${ip.ip_address}`);
    }
    given.push(ip);
  };
  if (wanted === undefined) {
    for (const version of [4, 6] as const) {
      const candidates = subnets.filter((subnet) => subnet.ip_version === version && !isAutomatic(subnet));
      const ip = firstFree(candidates, isFree);
      if (ip !== undefined) add(ip);
      else if (candidates.length > 0) throw exhausted(network.id);
    }
  } else for (const one of wanted) add(wantedIp(one, subnets, network.id, mac, isFree, given));
  if (wanted === undefined || wanted.length > 0) {
    for (const subnet of subnets.filter(isAutomatic)) {
      if (!given.some(({ subnet_id: id }) => id === subnet.id)) add(automaticIp(subnet, mac, isFree));
    }
  }
  return given;
}

/** Addresses there come from the port's MAC (RFC 4862). */
function isAutomatic({ ipv6_address_mode: mode }: SubnetRecord): boolean {
  return mode === 'slaac' || mode === 'dhcpv6-stateless';
}

function eui64Address(subnet: SubnetRecord, mac: string): string {
  const prefix = parsePrefix(subnet.cidr);
  const parsed = parsePortMac(mac);
  if (prefix === undefined || parsed === undefined)
    throw new ApiError('InvalidInput', `${mac} gives no address in ${subnet.cidr}`);
  const host = eui64LinkLocalNumber(parsed) & 0xffff_ffff_ffff_ffffn;
  return formatAddress('IPv6', prefix.network | host);
}

/** @throws ApiError (409) when somebody chose that address for another port. */
function automaticIp(subnet: SubnetRecord, mac: string, isFree: (address: string) => boolean): FixedIp {
  const address = eui64Address(subnet, mac);
  if (!isFree(address)) throw taken(address, subnet);
  return { subnet_id: subnet.id, ip_address: address };
}

function taken(address: string, { id }: SubnetRecord): ApiError {
  return new ApiError('IpAddressAlreadyAllocated', `IP address ${address} already allocated in subnet ${id}`);
}

function exhausted(networkId: string): ApiError {
  return new ApiError('IpAddressGenerationFailure', `No more IP addresses available on network ${networkId}.`);
}

function firstFree(subnets: readonly SubnetRecord[], isFree: (address: string) => boolean): FixedIp | undefined {
  for (const subnet of subnets) {
    const address = freeAddress(subnet, isFree);
    if (address !== undefined) return { subnet_id: subnet.id, ip_address: address };
  }
  return undefined;
}

function freeAddress(subnet: SubnetRecord, isFree: (address: string) => boolean): string | undefined {
  const family = subnet.ip_version === 4 ? 'IPv4' : 'IPv6';
  const pools = subnet.allocation_pools.map(({ start, end }) => [numberOf(start), numberOf(end)] as const);
  const hint = nextCandidates.get(subnet.id) ?? 0n;
  // From the hint on, then from the beginning.
  const ranges = [
    ...pools.map(([from, to]) => [from > hint ? from : hint, to] as const),
    ...pools.map(([from, to]) => [from, to < hint ? to : hint - 1n] as const),
  ];
  for (const [from, to] of ranges) {
    for (let number = from; number <= to; number++) {
      const address = formatAddress(family, number);
      if (!isFree(address)) continue;
      nextCandidates.set(subnet.id, number + 1n);
      return address;
    }
  }
  return undefined;
}

function numberOf(address: string): bigint {
  return parseAddress(address)?.network ?? 0n;
}

function wantedIp(
  { subnet_id: subnetId, ip_address: address }: WantedIp,
  subnets: readonly SubnetRecord[],
  networkId: string,
  mac: string,
  isFree: (address: string) => boolean,
  given: readonly FixedIp[],
): FixedIp {
  const subnet = subnetId === undefined ? undefined : subnets.find(({ id }) => id === subnetId);
  if (subnetId !== undefined && subnet === undefined) {
    throw new ApiError(
      'InvalidInput',
      `Invalid input for operation: Failed to create port on network ${networkId}, because fixed_ips included invalid subnet ${subnetId}.`,
    );
  }
  if (address === undefined) {
    if (subnet === undefined)
      throw new ApiError(
        'InvalidInput',
        'Invalid input for operation: IP allocation requires subnet_id or ip_address.',
      );
    if (isAutomatic(subnet)) return automaticIp(subnet, mac, isFree);
    const others = new Set(given.map(({ ip_address: one }) => one));
    const ip = firstFree([subnet], (one) => isFree(one) && !others.has(one));
    if (ip === undefined) throw exhausted(networkId);
    return ip;
  }
  const parsed = parseAddress(address);
  const home = (subnet === undefined ? subnets : [subnet]).find((one) => {
    const prefix = parsePrefix(one.cidr);
    return (
      parsed !== undefined && prefix !== undefined && covers(prefix, parsed) && !isReserved(prefix, parsed.network)
    );
  });
  if (parsed === undefined || home === undefined) {
    throw new ApiError(
      subnet === undefined ? 'InvalidIpForNetwork' : 'InvalidIpForSubnet',
      subnet === undefined
        ? `IP address ${address} is not a valid IP for any of the subnets on the specified network.`
        : `IP address ${address} is not a valid IP for the specified subnet.`,
    );
  }
  if (!isFree(parsed.text)) throw taken(parsed.text, home);
  return { subnet_id: home.id, ip_address: parsed.text };
}

/** The network's own address, and IPv4's broadcast (RFC 919), unless the subnet is too small to have them (RFC 3021, RFC 6164). */
function isReserved(prefix: Prefix, address: bigint): boolean {
  const last = lastAddress(prefix);
  if (last - prefix.network < 2n) return false;
  return address === prefix.network || (prefix.family === 'IPv4' && address === last);
}

/** Neutron's `base_mac`, and three bytes that no port of the network has. */
export function generateMac(view: View, networkId: string): string {
  for (let tries = 0; tries < 1000; tries++) {
    const tail = randomInt(1 << 24)
      .toString(16)
      .padStart(6, '0');
    const mac = `fa:16:3e:${tail.slice(0, 2)}:${tail.slice(2, 4)}:${tail.slice(4)}`;
    if (view.portWithMac(networkId, mac) === undefined) return mac;
  }
  throw new ApiError('MacAddressGenerationFailure', `Unable to generate unique mac on network ${networkId}.`);
}
