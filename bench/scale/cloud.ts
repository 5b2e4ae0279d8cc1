/** A cloud by numbers: who is in which group and on which host, and its records. The same for the same numbers. */
import type { Writer } from '../../src/api/writer.js';
import type { GroupRecord, NetworkRecord, PortRecord, RuleRecord, SubnetRecord } from '../../src/api/records.js';

export interface CloudShape {
  readonly hosts: number;
  /** Of each host. */
  readonly ports: number;
  readonly groupSizes: readonly GroupSize[];
  readonly seed: number;
}

/** `share` of all ports are in groups of `size`; shares are relative to each other. */
export interface GroupSize {
  readonly size: number;
  readonly share: number;
}

/**
 * Each group has these: out over both families, in from its own members, in to one port from a prefix. A port has one group, as most have,
 * and each group a network of its own with one subnet, as a project has.
 */
export const RULES_OF_GROUP = 4;

/** Numbers from 0 to below 1, the same for the same seed: a linear congruential generator with Numerical Recipes' constants. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export class Cloud {
  /** By number of the port. */
  readonly groupOf: Int32Array;
  readonly hostOf: Int32Array;
  /** By number of the group. */
  readonly sizes: readonly number[];
  readonly firstPortOf: readonly number[];

  constructor(readonly shape: CloudShape) {
    const { hosts, ports, groupSizes, seed } = shape;
    const count = hosts * ports;
    this.groupOf = new Int32Array(count);
    this.hostOf = Int32Array.from({ length: count }, (_, port) => port % hosts);
    shuffle(this.hostOf, randomNumbers(seed));
    const all = groupSizes.reduce((sum, { share }) => sum + share, 0);
    const [sizes, first]: [number[], number[]] = [[], []];
    let [port, shares] = [0, 0];
    for (const { size, share } of groupSizes) {
      shares += share;
      for (const end = Math.round((count * shares) / all); port < end;) {
        const members = Math.min(size, end - port);
        this.groupOf.fill(sizes.length, port, port + members);
        first.push(port);
        sizes.push(members);
        port += members;
      }
    }
    this.sizes = sizes;
    this.firstPortOf = first;
  }

  get portCount(): number {
    return this.groupOf.length;
  }

  get groupCount(): number {
    return this.sizes.length;
  }

  /** The groups of each host's ports. */
  groupsByHost(): readonly ReadonlySet<number>[] {
    const groups = Array.from({ length: this.shape.hosts }, () => new Set<number>());
    for (const [port, host] of this.hostOf.entries()) groups[host]?.add(this.groupOf[port] ?? 0);
    return groups;
  }

  /** Everything of some groups and their ports. */
  putGroups(writer: Writer, from: number, to: number): void {
    for (let group = from; group < to; group++) {
      writer.put('network', networkRecord(group));
      writer.put('subnet', subnetRecord(group));
      writer.put('security_group', groupRecord(group));
      for (let rule = 0; rule < RULES_OF_GROUP; rule++) {
        writer.put('security_group_rule', ruleRecord(group, rule));
      }
      const first = this.firstPortOf[group] ?? 0;
      for (let port = first; port < first + (this.sizes[group] ?? 0); port++) writer.put('port', this.portRecord(port));
    }
  }

  portRecord(port: number): PortRecord {
    return portRecord(port, this.groupOf[port] ?? 0, this.hostOf[port] ?? 0);
  }
}

function shuffle(list: Int32Array, random: () => number): void {
  for (let left = list.length; left > 1; left--) {
    const at = Math.floor(random() * left);
    const last = list[left - 1] ?? 0;
    list[left - 1] = list[at] ?? 0;
    list[at] = last;
  }
}

const STANDARD = {
  project_id: '8ea9e93328d2476bb46ff0ff81a9d1da',
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
  revision_number: 1,
};

const idOf = (kind: 'a' | 'b' | 'c' | 'd' | 'e', number: number): string =>
  `${number.toString(16).padStart(8, '0')}-0000-4000-8000-00000000000${kind}`;
const networkId = (group: number): string => idOf('a', group);
const subnetId = (group: number): string => idOf('b', group);
export const groupId = (group: number): string => idOf('c', group);
export const ruleId = (group: number, rule: number): string => idOf('d', group * 16 + rule);
export const portId = (port: number): string => idOf('e', port);

export function hostName(host: number): string {
  return `compute-${host.toString().padStart(5, '0')}`;
}

export function addressOf(number: number): string {
  return ['10', number >> 16, (number >> 8) & 255, number & 255].join('.');
}

function networkRecord(group: number): NetworkRecord {
  return {
    ...{ ...STANDARD, id: networkId(group), name: `net-${group}`, description: '', admin_state_up: true, mtu: 1500 },
    ...{ shared: false, 'router:external': false, port_security_enabled: true, tags: [] },
    ...{ 'provider:network_type': 'vxlan', 'provider:physical_network': null, 'provider:segmentation_id': group },
  };
}

function subnetRecord(group: number): SubnetRecord {
  return {
    ...{ ...STANDARD, id: subnetId(group), name: `sub-${group}`, description: '', network_id: networkId(group) },
    ...{ ip_version: 4, cidr: '10.0.0.0/8', gateway_ip: null, enable_dhcp: true, tags: [], service_types: [] },
    ...{ allocation_pools: [{ start: '10.0.0.2', end: '10.255.255.254' }], dns_nameservers: [], host_routes: [] },
    ...{ ipv6_ra_mode: null, ipv6_address_mode: null },
  };
}

export function groupRecord(group: number): GroupRecord {
  return { ...STANDARD, id: groupId(group), name: `group-${group}`, description: '', stateful: true, tags: [] };
}

/** @param rule from {@link RULES_OF_GROUP} on: one that a change brings. */
export function ruleRecord(group: number, rule: number): RuleRecord {
  const common = { ...STANDARD, id: ruleId(group, rule), security_group_id: groupId(group), description: null };
  const any = { protocol: null, port_range_min: null, port_range_max: null };
  const remote = { remote_ip_prefix: null, remote_group_id: null, remote_address_group_id: null };
  if (rule === 0) return { ...common, direction: 'egress', ethertype: 'IPv4', ...any, ...remote };
  if (rule === 1) return { ...common, direction: 'egress', ethertype: 'IPv6', ...any, ...remote };
  const ingress = { ...common, direction: 'ingress', ethertype: 'IPv4' } as const;
  if (rule === 2) return { ...ingress, ...any, ...remote, remote_group_id: groupId(group) };
  const port = { protocol: 'tcp', port_range_min: 20 + rule, port_range_max: 20 + rule };
  return { ...ingress, ...port, ...remote, remote_ip_prefix: '192.0.2.0/24' };
}

export function portRecord(port: number, group: number, host: number): PortRecord {
  const bytes = [16, 8, 0].map((shift) => ((port >> shift) & 255).toString(16).padStart(2, '0'));
  return {
    ...{ ...STANDARD, id: portId(port), name: '', description: '', network_id: networkId(group), tags: [] },
    ...{ mac_address: `fa:16:3e:${bytes.join(':')}`, admin_state_up: true, device_owner: 'compute:nova' },
    device_id: portId(port),
    fixed_ips: [{ subnet_id: subnetId(group), ip_address: addressOf(port) }],
    ...{ security_groups: [groupId(group)], port_security_enabled: true, allowed_address_pairs: [] },
    ...{ extra_dhcp_opts: [], 'binding:vnic_type': 'normal', 'binding:host_id': hostName(host), 'binding:profile': {} },
  };
}
