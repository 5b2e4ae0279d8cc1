/**
 * The types of a topology: everything known about ports, groups, address groups, networks and subnets.
 *
 * Values of these types are made by the parser (`parse.ts`) alone. They are valid by construction: ids are resolved,
 * Neutron's defaults are filled in, addresses are normalised. Names follow Neutron's API.
 */
import type { Family, Prefix } from './address.js';
import type { Mac } from './mac.js';

export interface Topology {
  /** By id, in no particular order. */
  readonly ports: ReadonlyMap<string, Port>;
  readonly securityGroups: ReadonlyMap<string, SecurityGroup>;
  readonly addressGroups: ReadonlyMap<string, AddressGroup>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly subnets: ReadonlyMap<string, Subnet>;
}

/**
 * What the host does with a port's packets.
 * - `filtered`: port security is on, groups and anti-spoofing apply.
 * - `port-security-off`: not filtered at all.
 * - `trusted`: not filtered; `device_owner` starts with `network:`.
 * - `down`: `admin_state_up` is false; nothing passes.
 * - `closed`: what the source says of it is not valid, and was not before; nothing passes. See isolation.ts.
 */
export type Filtering = 'filtered' | 'port-security-off' | 'trusted' | 'down' | 'closed';

/** True for a port whose packets are not judged: without port security, or trusted. */
export function isUnfiltered({ filtering }: Pick<Port, 'filtering'>): boolean {
  return filtering === 'port-security-off' || filtering === 'trusted';
}

export interface Port {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly networkId: string;
  readonly mac: Mac;
  /** Exact addresses, without duplicates, sorted. */
  readonly fixedIps: readonly Prefix[];
  /** Without duplicates, sorted. The MAC is the port's own where the pair named none. */
  readonly allowedAddressPairs: readonly AllowedAddressPair[];
  /** Ids of groups that exist in the topology, sorted, without duplicates. */
  readonly securityGroupIds: readonly string[];
  readonly filtering: Filtering;
  readonly deviceOwner: string;
  /** `binding:host_id`; undefined when the port is unbound or the field is absent. */
  readonly host: string | undefined;
  /** `binding:profile.migrating_to`: the host that it is on the way to, where its device may be before the binding is. */
  readonly migratingTo: string | undefined;
  /** The network device: explicit `device`, or `tap` + first 11 characters of the id. At most 15 bytes. */
  readonly device: string;
  /** The Linux bridge that the device is plugged into: explicit, or `brq` + first 11 characters of the network's id. */
  readonly bridge: string;
  /** The VLAN that the port's frames are in on a VLAN-aware bridge (1-4094), where it is known. */
  readonly vlan: number | undefined;
}

export interface AllowedAddressPair {
  readonly mac: Mac;
  readonly prefix: Prefix;
}

export interface SecurityGroup {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly stateful: boolean;
  /** Sorted by id. */
  readonly rules: readonly SecurityGroupRule[];
}

export type Direction = 'ingress' | 'egress';

export const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

export interface SecurityGroupRule {
  readonly id: string;
  readonly direction: Direction;
  readonly family: Family;
  readonly service: Service;
  readonly remote: Remote;
  readonly description: string;
}

/** Protocols whose rules may name destination ports (tcp, udp, sctp, dccp, udplite), by IANA number. */
export type PortProtocol = 6 | 17 | 33 | 132 | 136;

/** What a rule says about the transport. */
export type Service =
  | { readonly kind: 'any' }
  /** Every packet of one IP protocol (0-255, IANA). */
  | { readonly kind: 'protocol'; readonly protocol: number }
  /** Destination ports `first`-`last`, both included, 1-65535. Never the full range: that is `protocol`. */
  | { readonly kind: 'ports'; readonly protocol: PortProtocol; readonly first: number; readonly last: number }
  /** ICMP (1) or ICMPv6 (58) of one type; `code` undefined stands for every code. */
  | {
      readonly kind: 'icmp';
      readonly protocol: 1 | 58;
      readonly type: number;
      readonly code: number | undefined;
    };

/** What a rule says about the other end. */
export type Remote =
  | { readonly kind: 'any' }
  /** Never of length 0: that is `any`. */
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'security-group'; readonly id: string }
  | { readonly kind: 'address-group'; readonly id: string }
  /** A group that is not in the topology: the rule matches nothing. */
  | { readonly kind: 'unknown'; readonly reference: string };

export interface AddressGroup {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  /** Sorted, without duplicates; may overlap. */
  readonly prefixes: readonly Prefix[];
}

export interface Network {
  readonly id: string;
  readonly name: string;
  readonly portSecurityEnabled: boolean;
  /** `provider:segmentation_id` of a network of type vlan, 1-4094. */
  readonly vlan: number | undefined;
}

export interface Subnet {
  readonly id: string;
  readonly name: string;
  readonly networkId: string;
  readonly cidr: Prefix;
}

/** A device of a host; no two ports have one. */
export interface DevicePlace {
  readonly device: string;
  /** Undefined where the port is on no host, or nobody can say on which. */
  readonly host: string | undefined;
}

/** Where a port's device is, or may be. */
export function devicePlaces({ device, host, migratingTo }: Port): readonly DevicePlace[] {
  if (migratingTo === undefined) return [{ device, host }];
  return [...new Set([host ?? migratingTo, migratingTo])].map((name) => ({ device, host: name }));
}

/** The same for the same place. */
export function placeKey({ device, host }: DevicePlace): string {
  return `${device} ${host ?? ''}`;
}

/**
 * True when a host enforces the port: it is bound there, or on the way there. What closes a device of which nobody can say where it is
 * closes it everywhere.
 */
export function isOnHost({ host, migratingTo, filtering }: Port, name: string): boolean {
  return host === name || migratingTo === name || (filtering === 'closed' && host === undefined);
}
