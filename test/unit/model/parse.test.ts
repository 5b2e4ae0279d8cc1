import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatProblem,
  parseTopology,
  type ParsedTopology,
  type Port,
  type Problem,
  type Topology,
} from '../../../compiler/model/index.js';

type Fields = Readonly<Record<string, unknown>>;

function parse(content: unknown): ParsedTopology {
  return parseTopology([{ file: 't.yaml', content }]);
}

/** Without the name of the object, which has a test of its own. */
function line({ severity, code, file, path, message }: Problem): string {
  return formatProblem({ severity, code, file, path, message });
}

function linesOf(content: unknown): readonly string[] {
  return parse(content).problems.map(line);
}

function withRule(rule: Fields): Fields {
  return {
    security_groups: [{ id: 'g', name: 'web', security_group_rules: [{ id: 'r', direction: 'ingress', ...rule }] }],
  };
}

function ruleOf(rule: Fields): unknown {
  const { topology, problems } = parse(withRule(rule));
  expect(problems.filter(({ severity }) => severity === 'error').map(line)).toEqual([]);
  return topology.securityGroups.get('g')?.rules[0];
}

/** Ports of which something is in force. */
function openPorts({ ports }: Topology): readonly Port[] {
  return [...ports.values()].filter(({ filtering }) => filtering !== 'closed');
}

const AT = 't.yaml: security_groups[0].security_group_rules[0]';

describe('a rule', () => {
  it.each<[string, Fields, string]>([
    ['a direction that is none', { direction: 'inwards' }, `${AT}.direction: "inwards" is not "ingress" or "egress"`],
    ['an ethertype that is none', { ethertype: 'ip4' }, `${AT}.ethertype: "ip4" is not "IPv4" or "IPv6"`],
    [
      'a port above 65535',
      { protocol: 'tcp', port_range_min: 80, port_range_max: 70000 },
      `${AT}.port_range_max: 70000 is not a port (1-65535)`,
    ],
    [
      'port 0',
      { protocol: 'tcp', port_range_min: 0, port_range_max: 80 },
      `${AT}.port_range_min: 0 is not a port (1-65535)`,
    ],
    ['one end of a range', { protocol: 'tcp', port_range_min: 80 }, `${AT}.port_range_max: missing: a port (1-65535)`],
    [
      'a range the wrong way round',
      { protocol: 'tcp', port_range_min: 81, port_range_max: 80 },
      `${AT}.port_range_min: 81 is above port_range_max 80: port_range_min must be <= port_range_max`,
    ],
    [
      'ports without a protocol',
      { port_range_min: 80, port_range_max: 80 },
      `${AT}.port_range_min: 80 needs a protocol: ports go with tcp, udp, sctp, dccp and udplite, type and code with icmp`,
    ],
    [
      'ports of a protocol that has none',
      { protocol: 'vrrp', port_range_min: 80, port_range_max: 80 },
      `${AT}.port_range_min: 80 is given for protocol vrrp, which has no ports: valid with tcp, udp, sctp, dccp and udplite`,
    ],
    [
      'an ICMP type above 255',
      { protocol: 'icmp', port_range_min: 256 },
      `${AT}.port_range_min: 256 is not an ICMP type (0-255)`,
    ],
    [
      'an ICMP code without a type',
      { protocol: 'icmp', port_range_max: 0 },
      `${AT}.port_range_max: 0 is an ICMP code, and the ICMP type (port_range_min) is missing: valid are type alone, or type and code`,
    ],
    [
      'an IPv6 protocol with IPv4',
      { protocol: 'ipv6-icmp' },
      `${AT}.protocol: "ipv6-icmp" is a protocol of IPv6 only, and the ethertype is IPv4: valid with ethertype IPv6`,
    ],
    [
      'a prefix of the other family',
      { remote_ip_prefix: 'fd00::/8' },
      `${AT}.remote_ip_prefix: "fd00::/8" is IPv6, and the ethertype is IPv4: both must be one family`,
    ],
    [
      'leading zeros',
      { remote_ip_prefix: '010.0.0.1' },
      `${AT}.remote_ip_prefix: "010.0.0.1" is not an address or prefix (192.0.2.0/24, 2001:db8::/32)`,
    ],
    [
      'two remotes',
      { remote_ip_prefix: '10.0.0.0/8', remote_group_id: 'g' },
      `${AT}: remote_ip_prefix and remote_group_id exclude each other: valid is one of remote_ip_prefix, remote_group_id, remote_address_group_id, or none`,
    ],
    [
      'a mapped address',
      { ethertype: 'IPv6', remote_ip_prefix: '::ffff:10.0.0.1' },
      `${AT}.remote_ip_prefix: "::ffff:10.0.0.1" is not matched by any packet: write the IPv4 address itself`,
    ],
  ])('with %s is refused in one line and allows nothing', (_what, rule, expected) => {
    expect(linesOf(withRule(rule))).toEqual([expected]);
    expect(parse(withRule(rule)).topology.securityGroups.get('g')?.rules).toEqual([]);
  });

  it.each<[string, Fields, Fields]>([
    ['TCP is tcp', { protocol: 'TCP' }, { service: { kind: 'protocol', protocol: 6 } }],
    ['a number as text is a number', { protocol: '6' }, { service: { kind: 'protocol', protocol: 6 } }],
    ['0 and ip are any protocol', { protocol: 0 }, { service: { kind: 'any' } }],
    ['hopopt is protocol 0', { protocol: 'hopopt' }, { service: { kind: 'protocol', protocol: 0 } }],
    [
      '1-65535 is the whole protocol',
      { protocol: 'udp', port_range_min: 1, port_range_max: 65535 },
      { service: { kind: 'protocol', protocol: 17 } },
    ],
    [
      'icmp under IPv6 is ICMPv6',
      { protocol: 'icmp', ethertype: 'ipv6', port_range_min: 128 },
      { family: 'IPv6', service: { kind: 'icmp', protocol: 58, type: 128, code: undefined } },
    ],
    [
      'type 0 code 0 is not nothing',
      { protocol: 'icmp', port_range_min: 0, port_range_max: 0 },
      { service: { kind: 'icmp', protocol: 1, type: 0, code: 0 } },
    ],
    ['0.0.0.0/0 is anywhere', { remote_ip_prefix: '0.0.0.0/0' }, { remote: { kind: 'any' } }],
    [
      'a short prefix is filled up',
      { remote_ip_prefix: '10.0/8' },
      { remote: { kind: 'prefix', prefix: { text: '10.0.0.0/8' } } },
    ],
    [
      'host bits are cut',
      { remote_ip_prefix: '10.0.0.34/24' },
      { remote: { kind: 'prefix', prefix: { text: '10.0.0.0/24' } } },
    ],
  ])('%s', (_what, rule, expected) => {
    expect(ruleOf(rule)).toMatchObject(expected);
  });

  it('with an unknown group matches nothing, and says so', () => {
    const content = withRule({ remote_group_id: 'gone' });
    expect(linesOf(content)).toEqual([
      `${AT}.remote_group_id: "gone" is no security group of this topology: it matches nothing`,
    ]);
    expect(parse(content).topology.securityGroups.get('g')?.rules[0]?.remote).toEqual({
      kind: 'unknown',
      reference: 'gone',
    });
  });

  it('that is bad does not stop the others', () => {
    const rules = [
      { id: 'bad', direction: 'ingress', protocol: 'tcp/ip' },
      { id: 'good', direction: 'ingress' },
    ];
    const { topology, problems } = parse({ security_groups: [{ id: 'g', security_group_rules: rules }] });
    expect(problems).toHaveLength(1);
    expect(topology.securityGroups.get('g')?.rules.map(({ id }) => id)).toEqual(['good']);
  });

  it('that repeats another of its group is noticed, and one of them is used', () => {
    const rules = [
      { id: 'a', direction: 'ingress', protocol: 'tcp' },
      { id: 'b', direction: 'ingress', protocol: 6 },
    ];
    const noticed =
      't.yaml: security_groups[0].security_group_rules[1]: rule "b" means the same as rule "a": one of them is used';
    expect(linesOf({ security_groups: [{ id: 'g', security_group_rules: rules }] })).toEqual([noticed]);
    for (const order of [rules, rules.toReversed()]) {
      const { topology, problems } = parse({ security_groups: [{ id: 'g', security_group_rules: order }] });
      expect(problems.map(({ severity }) => severity)).toEqual(['notice']);
      expect(topology.securityGroups.get('g')?.rules.map(({ id }) => id)).toEqual(['a']);
    }
  });
});

const PORT: Fields = { id: 'port-0000-0001', mac_address: 'fa:16:3e:00:00:01', network_id: 'n', security_groups: [] };

describe('a port', () => {
  it('may have a MAC with the group bit, as in Neutron, and pairs with that one', () => {
    const mac = '11:22:33:44:55:66';
    const pairs = [{ ip_address: '10.0.0.9', mac_address: '11-22-33-44-55-66' }, { ip_address: '10.0.0.8' }];
    const { topology, problems } = parse({ ports: [{ ...PORT, mac_address: mac, allowed_address_pairs: pairs }] });
    expect(problems).toEqual([]);
    expect(topology.ports.get('port-0000-0001')?.allowedAddressPairs.map((pair) => pair.mac)).toEqual([mac, mac]);
  });

  it.each<[string, Fields, string]>([
    [
      'no MAC',
      { mac_address: undefined },
      't.yaml: ports[0].mac_address: missing: a MAC address of a port (fa:16:3e:00:00:01)',
    ],
    [
      'the broadcast MAC',
      { mac_address: 'ff:ff:ff:ff:ff:ff' },
      't.yaml: ports[0].mac_address: "ff:ff:ff:ff:ff:ff" is not a MAC address of a port (fa:16:3e:00:00:01)',
    ],
    [
      'the MAC of a group in a pair',
      { allowed_address_pairs: [{ ip_address: '10.0.0.9', mac_address: '01:00:5e:00:00:01' }] },
      't.yaml: ports[0].allowed_address_pairs[0].mac_address: "01:00:5e:00:00:01" is not a unicast MAC address (fa:16:3e:00:00:01)',
    ],
    [
      'a fixed IP that is a prefix',
      { fixed_ips: [{ ip_address: '10.0.0.0/24' }] },
      't.yaml: ports[0].fixed_ips[0].ip_address: "10.0.0.0/24" is not an address (192.0.2.1, 2001:db8::1)',
    ],
    [
      'a device name of 16 bytes',
      { device: 'tap4567890123456' },
      't.yaml: ports[0].device: "tap4567890123456" is not a device name (1-15 printable ASCII characters, none of " * \\ / : or space)',
    ],
    [
      'a device name that is syntax',
      { device: 'a" accept' },
      't.yaml: ports[0].device: "a\\" accept" is not a device name (1-15 printable ASCII characters, none of " * \\ / : or space)',
    ],
    [
      'groups without port security',
      { port_security_enabled: false, security_groups: ['g'] },
      't.yaml: ports[0].security_groups: ["g"] on a port without port security: valid is an empty list',
    ],
    [
      'a multicast pair',
      { allowed_address_pairs: [{ ip_address: '224.0.0.1' }] },
      't.yaml: ports[0].allowed_address_pairs[0].ip_address: "224.0.0.1" is not a unicast address',
    ],
  ])('with %s is refused in one line, and its device stays closed', (_what, fields, expected) => {
    const content = { ports: [{ ...PORT, ...fields }] };
    expect(linesOf(content)).toEqual([expected]);
    const { topology } = parse(content);
    expect(openPorts(topology)).toEqual([]);
    expect([...topology.ports.values()].map(({ filtering }) => filtering)).toEqual(['closed']);
  });

  it('gets its device from the first 11 characters of its id', () => {
    expect(parse({ ports: [PORT] }).topology.ports.get('port-0000-0001')?.device).toBe('tapport-0000-0');
  });

  it('may have a device name of 15 bytes', () => {
    expect(linesOf({ ports: [{ ...PORT, device: 'tap456789012345' }] })).toEqual([]);
  });

  it('is the same however its MAC is spelled', () => {
    expect(
      parse({ ports: [{ ...PORT, mac_address: 'FA-16-3E-00-00-01' }] }).topology.ports.get('port-0000-0001')?.mac,
    ).toBe('fa:16:3e:00:00:01');
  });

  it('that shares its device with another of its host is left out, and so is the other', () => {
    const { topology, problems } = parse({
      ports: [
        { ...PORT, device: 'tap0' },
        { ...PORT, id: 'other', device: 'tap0' },
      ],
    });
    expect(openPorts(topology)).toEqual([]);
    expect(problems.map(line)).toEqual(
      [
        't.yaml: ports[1]: device "tap0" is that of ports other and port-0000-0001: a device belongs to one port of a host, none of them is used',
      ].map((one) => one.replace('ports[1]', 'ports[0]')),
    );
  });

  it('that mixes stateful and stateless groups is refused', () => {
    const groups = [{ id: 'a' }, { id: 'b', stateful: false }];
    expect(linesOf({ security_groups: groups, ports: [{ ...PORT, security_groups: ['a', 'b'] }] })).toEqual([
      't.yaml: ports[0].security_groups: ["a","b"] mixes stateful and stateless groups: valid is one kind on a port',
    ]);
  });
});

describe('a topology', () => {
  it('may name groups by a unique name, and not by an ambiguous one', () => {
    const groups = [
      { id: 'a', name: 'web' },
      { id: 'b', name: 'web' },
      { id: 'c', name: 'database' },
    ];
    const { topology, problems } = parse({
      security_groups: groups,
      ports: [{ ...PORT, security_groups: ['web', 'database'] }],
    });
    expect(problems.map(line)).toEqual([
      't.yaml: ports[0].security_groups[0]: "web" is the name of 2 security groups: use an id (a, b)',
    ]);
    expect(openPorts(topology)).toEqual([]);
  });

  it('takes no id of a group that is not there for a name of another one', () => {
    const id = '5eb1d0a2-8c1e-4b7e-9d55-6f0f3a6c2b11';
    const groups = [{ id: 'a', name: id, security_group_rules: [] }];
    const { topology, problems } = parse({ security_groups: groups, ports: [{ ...PORT, security_groups: [id] }] });
    expect(problems.map(line)).toEqual([
      `t.yaml: ports[0].security_groups[0]: "${id}" is no security group of this topology: it matches nothing`,
    ]);
    expect([...topology.ports.values()].map(({ securityGroupIds }) => securityGroupIds)).toEqual([[]]);
  });

  it('reports all its errors at once', () => {
    const lines = linesOf({
      ports: [{ ...PORT, mac_address: 'x' }, { id: '' }],
      security_groups: [{ id: 'g', stateful: 'maybe' }],
      networks: 3,
    });
    expect(lines).toHaveLength(6);
    expect(new Set(lines).size).toBe(6);
  });

  it('with one id twice uses neither object', () => {
    const { topology, problems } = parse({ security_groups: [{ id: 'g' }, { id: 'g' }] });
    expect(topology.securityGroups.size).toBe(0);
    expect(problems.map(line)).toEqual([
      't.yaml: security_groups[1].id: "g" is the id of another security group too (t.yaml: security_groups[0]): ids must be unique, neither is used',
    ]);
  });

  it('read from a real Neutron has no problems', () => {
    const documents = ['ports', 'security-groups', 'address-groups', 'networks', 'subnets'].map((name) => {
      const file = `examples/neutron-dump/${name}.json`;
      return { file, content: JSON.parse(readFileSync(file, 'utf8')) as unknown };
    });
    const { topology, problems } = parseTopology(documents);
    expect(problems).toEqual([]);
    expect([topology.ports.size, topology.securityGroups.size]).toEqual([20, 8]);
  });

  it('of any JSON at all is parsed without an exception, and nothing is inherited from prototypes', () => {
    const value = fc.jsonValue();
    const known = fc.record(
      Object.fromEntries(
        ['ports', 'security_groups', 'address_groups', 'networks', 'subnets', 'security_group_rules'].map((key) => [
          key,
          fc.oneof(
            value,
            fc.array(
              fc.dictionary(
                fc.constantFrom(
                  'id',
                  'name',
                  'mac_address',
                  'security_group_rules',
                  'direction',
                  'fixed_ips',
                  'network_id',
                  '__proto__',
                ),
                value,
              ),
            ),
          ),
        ]),
      ),
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(value, known), (content) => {
        expect(() => parse(content)).not.toThrow();
      }),
    );
  });
});

describe('what nobody knows', () => {
  const port = {
    id: 'port-0000-0001',
    name: 'web 1',
    network_id: 'n',
    mac_address: 'fa:16:3e:00:00:01',
    fixed_ips: [],
  };

  it.each<[string, Fields, string]>([
    ['remote_ip', { remote_ip: '10.0.0.0/8' }, 'remote_ip_prefix'],
    ['port_range', { protocol: 'tcp', port_range: '80:80' }, 'port_range_m'],
    ['portrange_min', { protocol: 'tcp', portrange_min: 80 }, 'port_range_min'],
    ['remote_group', { remote_group: 'g' }, 'remote_group_id'],
    ['ether_type', { ether_type: 'IPv6' }, 'ethertype'],
    ['source_ip_prefix', { source_ip_prefix: '10.0.0.0/8' }, ''],
  ])('in a rule (%s) is an error, and the rule allows nothing', (name, rule, meant) => {
    const { topology, problems } = parse(withRule(rule));
    expect(problems.map(({ severity, code, path }) => [severity, code, path])).toEqual([
      ['error', 'unknown-field', `${AT.slice('t.yaml: '.length)}.${name}`],
    ]);
    if (meant !== '') expect(problems[0]?.message).toContain(`did you mean ${meant}`);
    expect(topology.securityGroups.get('g')?.rules).toEqual([]);
  });

  it.each([
    ['security_group', ['g'], 'security_groups'],
    ['fixed_ip', ['10.0.0.1'], 'fixed_ips'],
    ['port_security_enable', true, 'port_security_enabled'],
    ['binding_host_id', 'h', 'binding:host_id'],
    ['host_id', 'h', 'binding:host_id'],
    ['Mac_Address', 'x', 'mac_address'],
  ])('in a port (%s) is an error, and the port is closed', (name, value, meant) => {
    const { topology, problems } = parse({ ports: [{ ...port, [name]: value }] });
    expect(problems.map(formatProblem)).toEqual([
      `t.yaml: ports[0].${name}: "${name}" is no field of a port: did you mean ${meant}? (in "web 1")`,
    ]);
    expect(openPorts(topology)).toEqual([]);
  });

  it('in a pair, a fixed IP, an address group or a group is an error, and of the object nothing is in force', () => {
    const { topology, problems } = parse({
      ports: [{ ...port, allowed_address_pairs: [{ ip: '10.0.0.9', ip_address: '10.0.0.8' }] }],
      security_groups: [{ id: 'g', rules: [] }],
      address_groups: [{ id: 'a', address: ['10.0.0.0/8'] }],
    });
    expect(problems.map(({ severity, path }) => [severity, path])).toEqual([
      ['error', 'address_groups[0].address'],
      ['error', 'security_groups[0].rules'],
      ['error', 'ports[0].allowed_address_pairs[0].ip'],
    ]);
    expect([openPorts(topology), topology.securityGroups.size, topology.addressGroups.size]).toEqual([[], 0, 0]);
  });

  it('on networks and subnets is a notice', () => {
    const { topology, problems } = parse({
      networks: [{ id: 'n', colour: 'blue' }],
      subnets: [{ id: 's', network_id: 'n', cidr: '10.0.0.0/24', colour: 'red' }],
    });
    expect(problems.map(({ severity }) => severity)).toEqual(['notice', 'notice']);
    expect([topology.networks.size, topology.subnets.size]).toEqual([1, 1]);
  });

  it('at the top is an error, with what was meant', () => {
    expect(linesOf({ ports: [], security_group: [] })).toEqual([
      't.yaml: security_group: "security_group" is no key of a topology: did you mean security_groups?; valid are ' +
        'networks, subnets, address_groups, security_groups, security_group_rules, ports',
    ]);
  });

  it('twenty-one times is told twenty times, and counted', () => {
    const ports = Array.from({ length: 30 }, (_none, n) => ({ ...port, id: `port-0000-00${n.toString()}`, x: 1 }));
    const lines = linesOf({ ports });
    expect([lines.length, lines.at(-1)]).toEqual([21, 't.yaml: ports[].x: 10 more like these']);
  });
});

describe('absence', () => {
  it.each([
    ['nothing', undefined],
    ['null', null],
    ['an empty object', {}],
    ['a list', []],
    ['a key without a value', { ports: null }],
    ['one page of several', { ports: [], ports_links: [{ rel: 'next', href: 'http://x' }] }],
  ])('(%s) is an error and no empty topology', (_what, content) => {
    expect(parse(content).problems.map(({ severity }) => severity)).toEqual(['error']);
  });

  it('is told by empty lists', () => {
    expect(parse({ ports: [] }).problems).toEqual([]);
    expect(parse({ ports: [], ports_links: [{ rel: 'previous', href: 'http://x' }] }).problems).toEqual([]);
  });
});
