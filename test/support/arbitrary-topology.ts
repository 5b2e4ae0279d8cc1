/** Random topologies, as documents in Neutron's API shape, and frames that are likely to meet their rules. */
import fc from 'fast-check';
import {
  makePrefix,
  parseAddress,
  parseTopology,
  type FlowState,
  type Frame,
  type Port,
  type Prefix,
  type Topology,
  type Transport,
} from '../../compiler/model/index.js';

const NETWORKS = ['11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002'];
const PROJECT = 'project';

/** Few addresses, ports and prefixes, so that packets and rules meet often. */
const V4 = ['10.0.0.1', '10.0.0.2', '10.0.0.5', '10.1.0.1', '192.0.2.7'];
const V6 = ['fd00::1', 'fd00::2', 'fd00::5', 'fd01::1', '2001:db8::7'];
const PREFIXES4 = [
  '10.0.0.0/24',
  '10.0.0.0/30',
  '10.0.0.4/31',
  '10.0.0.5',
  '10.0.0.0/8',
  '0.0.0.0/0',
  '192.0.2.0/24',
  '10.0.0.77/28',
];
const PREFIXES6 = ['fd00::/64', 'fd00::/126', 'fd00::5', 'fd00::/16', '::/0', '2001:db8::/32'];
const PAIRS = ['10.0.0.0/30', '10.9.0.9', '0.0.0.0/0', '0.0.0.0/1', 'fd00::/120', 'fd09::9', '::/0', '10.0.0.1'];
const PORTS = [1, 22, 23, 67, 68, 80, 81, 443, 546, 547, 5000, 65535];
const MACS = ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02', 'fa:16:3e:00:00:03', 'fa:16:3e:00:00:04', '02:00:00:00:00:99'];
const ICMP_TYPES = [0, 3, 8, 11, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143];

const index = (limit: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: limit - 1 });

function arbitraryRule(groupIds: readonly string[]): fc.Arbitrary<object> {
  const family = fc.constantFrom<'IPv4' | 'IPv6'>('IPv4', 'IPv6');
  return family.chain((ethertype) => {
    const service = fc.oneof(
      fc.constant({}),
      fc.record({ protocol: fc.constantFrom('tcp', 'udp', 'icmp', 'gre', 'sctp', '6', 'vrrp', 'ip') }),
      fc
        .tuple(
          fc.constantFrom('tcp', 'udp', 'sctp', 'udplite', 'dccp'),
          fc.constantFrom(...PORTS),
          fc.constantFrom(...PORTS),
        )
        .map(([protocol, a, b]) => ({ protocol, port_range_min: Math.min(a, b), port_range_max: Math.max(a, b) })),
      fc
        .tuple(fc.constantFrom(...ICMP_TYPES), fc.option(fc.constantFrom(0, 1, 4), { nil: null }))
        .map(([type, code]) => ({ protocol: 'icmp', port_range_min: type, port_range_max: code })),
    );
    const remote = fc.oneof(
      fc.constant({}),
      fc.record({ remote_ip_prefix: fc.constantFrom(...(ethertype === 'IPv4' ? PREFIXES4 : PREFIXES6)) }),
      fc.record({ remote_group_id: fc.constantFrom(...groupIds, 'unknown-group') }),
      fc.constant({ remote_address_group_id: 'offices' }),
    );
    return fc
      .tuple(fc.constantFrom('ingress', 'egress'), service, remote)
      .map(([direction, what, where]) => ({ direction, ethertype, ...what, ...where }));
  });
}

/** Ranges that nothing joins: from here on they are looked up in a set (group-chain.ts). Some meet those of {@link arbitraryRule}. */
const RANGES = [
  [1, 2],
  [22, 23],
  [67, 68],
  [80, 81],
  [546, 547],
  [5000, 5005],
] as const;

/** Rules of one remote, protocol and direction, one for most of the ranges. */
function arbitraryRanges(): fc.Arbitrary<readonly object[]> {
  const remote = fc.constantFrom({}, { remote_ip_prefix: '10.0.0.0/24' }, { remote_address_group_id: 'offices' });
  return fc
    .tuple(
      fc.subarray([...RANGES], { minLength: 4 }),
      fc.constantFrom('tcp', 'udp'),
      fc.constantFrom('ingress', 'egress'),
      remote,
    )
    .map(([ranges, protocol, direction, where]) =>
      ranges.map(([port_range_min, port_range_max]) => ({
        direction,
        ethertype: 'IPv4',
        protocol,
        port_range_min,
        port_range_max,
        ...where,
      })),
    );
}

function arbitraryRules(groupIds: readonly string[]): fc.Arbitrary<readonly object[]> {
  const single = fc.array(arbitraryRule(groupIds), { maxLength: 12 });
  return fc
    .tuple(single, fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, arbitraryRanges()))
    .map((all) => all.flat());
}

function arbitraryPort(number: number, groupIds: readonly string[]): fc.Arbitrary<object> {
  const stateless = fc.boolean();
  return fc
    .record({
      network: index(2),
      addresses: fc.subarray([...V4.slice(0, 3), ...V6.slice(0, 3)], { maxLength: 3 }),
      pairs: fc.array(
        fc.record({ ip: fc.constantFrom(...PAIRS), mac: fc.option(fc.constantFrom(...MACS), { nil: undefined }) }),
        { maxLength: 2 },
      ),
      groups: fc.subarray([...groupIds]),
      mode: fc.constantFrom('filtered', 'filtered', 'filtered', 'filtered', 'off', 'trusted', 'down'),
      stateless,
      vlan: fc.constantFrom(undefined, undefined, 101, 102),
    })
    .map(({ network, addresses, pairs, groups, mode, stateless: wantStateless, vlan }) => {
      const filtered = mode === 'filtered' || mode === 'down';
      return {
        id: `${String(number).padStart(8, '0')}-0000-4000-8000-000000000000`,
        name: `port-${String(number)}`,
        project_id: PROJECT,
        network_id: NETWORKS[network],
        mac_address: MACS[number % 4],
        fixed_ips: addresses.map((ip_address) => ({ ip_address })),
        allowed_address_pairs: filtered
          ? pairs.map(({ ip, mac }) => (mac === undefined ? { ip_address: ip } : { ip_address: ip, mac_address: mac }))
          : [],
        security_groups: filtered ? groups.filter((id) => id.startsWith('stateless') === wantStateless) : [],
        port_security_enabled: mode !== 'off',
        device_owner: mode === 'trusted' ? 'network:dhcp' : 'compute:nova',
        admin_state_up: mode !== 'down',
        'binding:host_id': number % 3 === 2 ? 'host-2' : 'host-1',
        // On one bridge for all networks, or on its network's own.
        ...(vlan === undefined
          ? {}
          : { 'binding:vif_type': 'bridge', 'binding:vif_details': { bridge_name: 'brvlan', vlan } }),
      };
    });
}

/** A document with up to six ports on two hosts, four groups and an address group. Valid but for unknown references. */
export function arbitraryDocument(): fc.Arbitrary<Record<string, unknown>> {
  const groupIds = ['web-group-id', 'web-group-two', 'stateless-group', 'database-id'];
  const groups = fc.tuple(...groupIds.map((id) => arbitraryRules(groupIds).map((rules) => ({ id, rules }))));
  const ports = fc.tuple(...[0, 1, 2, 3, 4, 5].map((number) => arbitraryPort(number, groupIds)));
  const addresses = fc.subarray([
    '10.0.0.0/30',
    '10.0.0.0/24',
    '10.0.0.5',
    '192.0.2.0/24',
    'fd00::/126',
    'fd00::5',
    '0.0.0.0/0',
  ]);
  return fc
    .record({ groups, ports: fc.tuple(ports, index(7)), addresses })
    .map(({ groups: parts, ports: [all, count], addresses: list }) => ({
      networks: NETWORKS.map((id) => ({ id, name: id.slice(0, 4) })),
      address_groups: [{ id: 'offices', name: 'offices', addresses: list }],
      security_groups: parts.map(({ id, rules }) => ({
        id,
        name: id,
        project_id: PROJECT,
        stateful: !id.startsWith('stateless'),
        security_group_rules: rules,
      })),
      ports: all.slice(0, count),
    }));
}

/** Random topologies. Duplicate rules, which the generator makes now and then, are reported and harmless. */
export function arbitraryTopology(): fc.Arbitrary<Topology> {
  return arbitraryDocument().map((content) => parseTopology([{ file: 'random', content }]).topology);
}

function arbitraryTransport(family: Prefix['family']): fc.Arbitrary<Transport> {
  const protocol = family === 'IPv4' ? (1 as const) : (58 as const);
  const target = fc.option(fc.constantFrom(...V6, 'fe80::f816:3eff:fe00:1', 'fe80::1', 'fd09::9'), { nil: undefined });
  return fc.oneof(
    fc.record({
      kind: fc.constant('ports' as const),
      protocol: fc.constantFrom(6 as const, 17 as const, 17 as const, 33 as const, 132 as const, 136 as const),
      sourcePort: fc.constantFrom(...PORTS),
      destinationPort: fc.constantFrom(...PORTS),
    }),
    fc
      .tuple(fc.constantFrom(...ICMP_TYPES), fc.constantFrom(0, 1, 4), target)
      .map(([type, code, address]): Transport => {
        const base = { kind: 'icmp' as const, protocol, type, code };
        const parsed = address === undefined ? undefined : parseAddress(address);
        return parsed !== undefined && family === 'IPv6' && (type === 135 || type === 136)
          ? { ...base, target: parsed }
          : base;
      }),
    fc.record({ kind: fc.constant('other' as const), protocol: fc.constantFrom(47, 112, family === 'IPv4' ? 58 : 1) }),
  );
}

const V4_ALL = [...V4, '0.0.0.0', '255.255.255.255', '10.9.0.9', '224.0.0.1'];
const V6_ALL = [
  ...V6,
  '::',
  'ff02::1',
  'ff02::16',
  'ff05::1',
  'fe80::f816:3eff:fe00:1',
  'fe80::f816:3eff:fe00:2',
  'fe80::1',
  'fd09::9',
];

function address(text: string): Prefix {
  return parseAddress(text) ?? makePrefix('IPv4', 0n, 32);
}

/** Random frames of every kind, from and to addresses that the random topologies use. */
export function arbitraryFrame(): fc.Arbitrary<Frame> {
  const ip = fc.constantFrom<'IPv4' | 'IPv6'>('IPv4', 'IPv6').chain((family) => {
    const any = fc.constantFrom(...(family === 'IPv4' ? V4_ALL : V6_ALL)).map(address);
    return fc.record({
      kind: fc.constant('ip' as const),
      source: any,
      destination: any,
      transport: arbitraryTransport(family),
    });
  });
  const arp = fc.record({
    kind: fc.constant('arp' as const),
    operation: fc.constantFrom(1, 2, 3),
    senderMac: fc.constantFrom(...MACS),
    senderIp: fc.constantFrom(...V4_ALL).map(address),
    targetIp: fc.constantFrom(...V4).map(address),
  });
  return fc.record({
    sourceMac: fc.constantFrom(...MACS),
    vlanTags: fc.oneof(
      { weight: 20, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.constantFrom([0], [7], [1, 2]) },
    ),
    snap: fc.oneof({ weight: 20, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    payload: fc.oneof(
      { weight: 12, arbitrary: ip },
      { weight: 3, arbitrary: arp },
      { weight: 1, arbitrary: fc.constant({ kind: 'rarp' as const }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'other' as const, etherType: 0x88cc }) },
    ),
  });
}

/** A frame as a port would send it, or with one thing about it foreign. */
export function frameOf(port: Port, frame: Frame): Frame {
  const { payload } = frame;
  if (payload.kind === 'arp') {
    const own = port.fixedIps.find(({ family }) => family === 'IPv4');
    return {
      ...frame,
      sourceMac: port.mac,
      payload: { ...payload, senderMac: port.mac, senderIp: own ?? payload.senderIp },
    };
  }
  if (payload.kind !== 'ip') return { ...frame, sourceMac: port.mac };
  const own = port.fixedIps.find(({ family }) => family === payload.source.family);
  return { ...frame, sourceMac: port.mac, payload: { ...payload, source: own ?? payload.source } };
}

export function arbitraryState(): fc.Arbitrary<FlowState> {
  return fc.constantFrom('new', 'new', 'new', 'established', 'related', 'unadmitted', 'invalid', 'revoked');
}
