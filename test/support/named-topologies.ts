/** Small topologies, each about one thing. Their compiled rules are in test/golden, for people to read. */
import type { CompileOptions } from '../../compiler/index.js';

interface Named {
  readonly about: string;
  readonly document: Readonly<Record<string, unknown>>;
  readonly options?: Partial<CompileOptions>;
}

type Fields = Readonly<Record<string, unknown>>;

const NETWORK = 'net00001-0000';

function port(number: number, fields: Fields = {}): Fields {
  return {
    id: `port000${String(number)}-0000`,
    name: `port-${String(number)}`,
    project_id: 'project',
    network_id: NETWORK,
    mac_address: `fa:16:3e:00:00:0${String(number)}`,
    fixed_ips: [{ ip_address: `10.0.0.${String(number)}` }, { ip_address: `fd00::${String(number)}` }],
    security_groups: ['web'],
    ...fields,
  };
}

function group(name: string, rules: readonly Fields[], fields: Fields = {}): Fields {
  return { id: `${name}-group-id`, name, project_id: 'project', security_group_rules: rules, ...fields };
}

const ingress = (fields: Fields): Fields => ({ direction: 'ingress', ...fields });
const tcp = (first: number, last = first): Fields => ({ protocol: 'tcp', port_range_min: first, port_range_max: last });

const oneGroup = (rules: readonly Fields[], fields: Fields = {}): Fields => ({
  security_groups: [group('web', rules, fields)],
  ports: [port(1)],
});

export const NAMED_TOPOLOGIES: Readonly<Record<string, Named>> = {
  empty: { about: 'nothing at all: every tap is closed', document: { ports: [] } },
  'no-groups': {
    about: 'a port in no group passes service traffic only',
    document: { ports: [port(1, { security_groups: [] })] },
  },
  'new-group': {
    about: 'a group that lists no rules has those of a new one',
    document: { security_groups: [{ id: 'web-group-id', name: 'web' }], ports: [port(1)] },
  },
  'default-group': {
    about: 'a port that names no groups gets the default group, which admits itself',
    document: { ports: [port(1, { security_groups: undefined }), port(2, { security_groups: undefined })] },
  },
  'one-port': { about: 'a single port needs no set', document: oneGroup([ingress(tcp(80))]) },
  'merged-ports': {
    about: 'overlapping and adjacent ranges become one',
    document: oneGroup([
      ingress(tcp(80, 90)),
      ingress(tcp(85, 99)),
      ingress(tcp(100)),
      ingress({ ...tcp(443), ethertype: 'IPv6' }),
    ]),
  },
  'shadowed-rules': {
    about: 'what a wider rule allows is not repeated',
    document: oneGroup([
      ingress({ protocol: 'tcp' }),
      ingress(tcp(22)),
      ingress({ ...tcp(80), remote_ip_prefix: '10.0.0.0/8' }),
      ingress({ protocol: 'udp', remote_ip_prefix: '10.1.0.0/16' }),
    ]),
  },
  prefixes: {
    about: 'prefixes and hosts in sets of their own',
    document: oneGroup([
      ingress({ remote_ip_prefix: '10.0.0.0/9' }),
      ingress({ remote_ip_prefix: '10.128.0.0/9' }),
      ingress({ remote_ip_prefix: '192.0.2.1' }),
      ingress({ remote_ip_prefix: '192.0.2.3' }),
      ingress({ remote_ip_prefix: '172.16.0.0/12' }),
    ]),
  },
  'nested-prefixes': {
    about: 'boxes that overlap go to layers',
    document: oneGroup([
      ingress({ ...tcp(1, 1000), remote_ip_prefix: '10.0.0.0/8' }),
      ingress({ ...tcp(500, 2000), remote_ip_prefix: '10.1.0.0/16' }),
      ingress({ ...tcp(500, 600), remote_ip_prefix: '10.1.1.0/24' }),
      ingress({ ...tcp(7000, 7001), remote_ip_prefix: '10.1.0.0/16' }),
    ]),
  },
  ranges: {
    about: 'many ranges and boxes of prefix and ports are looked up in sets, in layers where they overlap',
    document: oneGroup([
      ...[1000, 2000, 3000].flatMap((port) => [
        ingress(tcp(port, port + 9)),
        ingress({ ...tcp(port, port + 9), ethertype: 'IPv6' }),
      ]),
      ...[10, 13, 16, 19, 22].flatMap((net) => [
        ingress({ ...tcp(1, 100), remote_ip_prefix: `${net.toString()}.0.0.0/8` }),
        ingress({ ...tcp(50, 200), remote_ip_prefix: `${net.toString()}.1.0.0/16` }),
      ]),
    ]),
  },
  'host-bits': {
    about: 'host bits of a prefix are cut',
    document: oneGroup([
      ingress({ ...tcp(80), remote_ip_prefix: '10.0.0.34/24' }),
      ingress({ ...tcp(80), ethertype: 'IPv6', remote_ip_prefix: 'fd00::34/64' }),
    ]),
  },
  icmp: {
    about:
      'types and codes, type 0 and code 0 among them; codes of nested prefixes, of which either has some and both have one',
    document: oneGroup([
      ingress({ protocol: 'icmp', port_range_min: 0, port_range_max: 0 }),
      ingress({ protocol: 'icmp', port_range_min: 8 }),
      ingress({ protocol: 'icmp', port_range_min: 3, port_range_max: 4 }),
      ingress({ protocol: 'icmp', ethertype: 'IPv6', port_range_min: 128, port_range_max: 0 }),
      ...[
        ['10.0.0.0/8', 0],
        ['10.0.0.0/8', 1],
        ['10.0.0.0/24', 1],
        ['10.0.0.0/24', 2],
        ['192.0.2.0/24', 0],
        ['198.51.100.0/24', 2],
      ].map(([remote_ip_prefix, port_range_max]) =>
        ingress({ protocol: 'icmp', port_range_min: 3, port_range_max, remote_ip_prefix }),
      ),
    ]),
  },
  protocols: {
    about: 'names and numbers of protocols',
    document: oneGroup([
      ingress({ protocol: 'vrrp' }),
      ingress({ protocol: '47' }),
      ingress({ protocol: 'esp', remote_ip_prefix: '192.0.2.0/24' }),
      ingress({ protocol: 'sctp', port_range_min: 5000, port_range_max: 5000 }),
      ingress({ protocol: 'udplite', port_range_min: 1, port_range_max: 9 }),
    ]),
  },
  'remote-group': {
    about: 'a remote group is a set of addresses',
    document: {
      security_groups: [group('web', []), group('database', [ingress({ ...tcp(3306), remote_group_id: 'web' })])],
      ports: [port(1), port(2), port(3, { security_groups: ['database'] })],
    },
  },
  'self-referring-group': {
    about: 'a group that admits its own members',
    document: oneGroup([ingress({ remote_group_id: 'web' }), ingress({ ethertype: 'IPv6', remote_group_id: 'web' })]),
  },
  'empty-remote-group': {
    about: 'a remote group without members matches nothing',
    document: {
      security_groups: [group('web', [ingress({ remote_group_id: 'nobody' })]), group('nobody', [])],
      ports: [port(1)],
    },
  },
  'unknown-remote-group': {
    about: 'a rule with an unknown group is not there',
    document: oneGroup([ingress({ remote_group_id: 'gone' }), ingress(tcp(80))]),
  },
  'address-group': {
    about: 'an address group with overlapping prefixes',
    document: {
      address_groups: [
        {
          id: 'offices-id',
          name: 'offices',
          addresses: ['192.0.2.0/24', '192.0.2.128/25', '198.51.100.7', '2001:db8::/32'],
        },
      ],
      ...oneGroup([
        ingress({ ...tcp(22), remote_address_group_id: 'offices' }),
        ingress({ ...tcp(22), ethertype: 'IPv6', remote_address_group_id: 'offices' }),
      ]),
    },
  },
  'address-pairs': {
    about: 'pairs with a prefix and with a MAC of their own',
    document: {
      security_groups: [group('web', [ingress({ remote_group_id: 'web' })])],
      ports: [
        port(1, {
          allowed_address_pairs: [
            { ip_address: '10.9.0.0/24' },
            { ip_address: '10.0.0.100', mac_address: '00:00:5e:00:01:01' },
            { ip_address: 'fd09::/64' },
          ],
        }),
      ],
    },
  },
  'wide-address-pair': {
    about: 'a pair of 0.0.0.0/0 may send from anywhere and opens no rule',
    document: {
      security_groups: [group('web', [ingress({ remote_group_id: 'web' })])],
      ports: [port(1, { allowed_address_pairs: [{ ip_address: '0.0.0.0/0' }] })],
    },
  },
  stateless: {
    about: 'each direction needs its own rule',
    document: oneGroup([ingress(tcp(80)), { direction: 'egress' }], { stateful: false }),
  },
  'one-family': {
    about: 'a family without an address is closed',
    document: {
      security_groups: [group('web', [ingress({}), ingress({ ethertype: 'IPv6' })])],
      ports: [
        port(1, { fixed_ips: [{ ip_address: '10.0.0.1' }] }),
        port(2, { fixed_ips: [{ ip_address: 'fd00::2' }] }),
      ],
    },
  },
  'unfiltered-ports': {
    about: 'port security off, a trusted owner, a port that is down',
    document: {
      ports: [
        port(1, { security_groups: [], port_security_enabled: false }),
        port(2, { security_groups: [], device_owner: 'network:dhcp' }),
        port(3, { security_groups: [], admin_state_up: false }),
      ],
    },
  },
  'hostile-names': {
    about: 'names cannot leave their place',
    document: {
      ports: [port(1, { security_groups: ['web-group-id'] })],
      security_groups: [
        group('web', [{ ...ingress(tcp(80)), description: '"; flush ruleset' }], {
          id: 'web-group-id',
          name: 'web" }\n; flush ruleset; # {$x} \\ 🔥 Büro',
        }),
      ],
    },
  },
  'overlapping-networks': {
    about: 'one address in two networks, routed: the second gets a zone',
    document: {
      security_groups: [group('web', [])],
      ports: [port(1), port(2, { network_id: 'net00002-0000', fixed_ips: [{ ip_address: '10.0.0.1' }] })],
    },
  },
  bridge: {
    about: 'taps on a Linux bridge',
    document: {
      security_groups: [group('web', [ingress(tcp(80))])],
      ports: [port(1), port(2, { network_id: 'net00002-0000' })],
    },
    options: { datapath: 'bridge' },
  },
  'vlan-bridge': {
    about: 'two networks on one VLAN-aware bridge: zones by device and by VLAN',
    document: {
      networks: [{ id: 'net00002-0000', 'provider:network_type': 'vlan', 'provider:segmentation_id': 102 }],
      security_groups: [group('web', [ingress(tcp(80))])],
      ports: [
        port(1, { 'binding:vif_type': 'bridge', 'binding:vif_details': { bridge_name: 'brvlan', vlan: '101' } }),
        port(2, {
          network_id: 'net00002-0000',
          'binding:vif_type': 'bridge',
          'binding:vif_details': { bridge_name: 'brvlan' },
        }),
      ],
    },
    options: { datapath: 'bridge' },
  },
  'bridge-netfilter': {
    about: 'taps on a Linux bridge of a kernel that tracks no connections there',
    document: {
      security_groups: [group('web', [ingress(tcp(80))])],
      ports: [port(1), port(2, { network_id: 'net00002-0000' })],
    },
    options: { datapath: 'bridge-netfilter' },
  },
  'many-ports': {
    about: 'more ports than one rule of iptables asks, in both families',
    document: oneGroup(
      Array.from({ length: 16 }, (_, index) => tcp(1000 + 2 * index)).flatMap((ports) => [
        ingress(ports),
        ingress({ ...ports, ethertype: 'IPv6' }),
      ]),
    ),
  },
};
