/** The semantics by hand: for each, a packet that passes and its neighbour that does not, and why. */
import { describe, expect, it } from 'vitest';
import type { ArpPacket, Frame } from '../../../compiler/model/index.js';
import { exact, groupFields, icmp, icmpv6, macOf, packet, portFields, ports, world } from '../../support/world.js';

const ANY_EGRESS = [{ direction: 'egress' }, { direction: 'egress', ethertype: 'IPv6' }];
const TCP80 = { direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80 };

const open = world({
  security_groups: [groupFields('g', [...ANY_EGRESS, TCP80, { direction: 'ingress', protocol: 'icmp' }])],
  ports: [portFields(1, ['g']), portFields(2, ['g'])],
});

const verdict = ({ verdict: pass, reason }: ReturnType<typeof open.sends>): string => `${pass}: ${reason.kind}`;

function arp(fields: Partial<ArpPacket> = {}): ArpPacket {
  return {
    kind: 'arp',
    operation: 1,
    senderMac: macOf(1),
    senderIp: exact('10.0.0.1'),
    targetIp: exact('10.0.0.2'),
    ...fields,
  };
}

describe('any rule of any group passes', () => {
  const two = world({
    security_groups: [
      groupFields('a', [TCP80]),
      groupFields('b', [{ ...TCP80, port_range_min: 443, port_range_max: 443 }]),
    ],
    ports: [portFields(1, ['a', 'b']), portFields(2, ['a'])],
  });
  it.each([
    [1, 80, 'accept: rule'],
    [1, 443, 'accept: rule'],
    [2, 443, 'drop: no-rule'],
  ])('port %s, TCP %s: %s', (port, to, want) => {
    expect(verdict(two.gets(port, packet('192.0.2.1', `10.0.0.${String(port)}`, ports(6, to))))).toBe(want);
  });

  it('nothing matches: dropped, also to the outside', () => {
    expect(verdict(two.sends(1, packet('10.0.0.1', '192.0.2.1', ports(6, 80))))).toBe('drop: no-rule');
  });
});

describe('default rules', () => {
  const fresh = world({
    security_groups: [{ id: 'new', name: 'new' }],
    ports: [
      portFields(1, ['new']),
      portFields(2, [], { security_groups: undefined }),
      portFields(3, [], { security_groups: undefined }),
      portFields(4, []),
    ],
  });
  it.each([['IPv4'], ['IPv6']])(
    'a new group lets out and nothing in, a default group lets itself in (%s)',
    (family) => {
      const at = (number: number): string =>
        family === 'IPv4' ? `10.0.0.${String(number)}` : `fd00::${String(number)}`;
      const outside = family === 'IPv4' ? '192.0.2.1' : '2001:db8::1';
      expect(verdict(fresh.sends(1, packet(at(1), outside, ports(17, 53))))).toBe('accept: rule');
      expect(verdict(fresh.gets(1, packet(outside, at(1), ports(17, 53))))).toBe('drop: no-rule');
      expect(verdict(fresh.gets(2, packet(at(3), at(2), ports(6, 22))))).toBe('accept: rule');
      expect(verdict(fresh.gets(2, packet(at(1), at(2), ports(6, 22))))).toBe('drop: no-rule');
      expect(verdict(fresh.sends(4, packet(at(4), outside, ports(6, 22))))).toBe('drop: no-groups');
      expect(verdict(fresh.gets(4, packet(at(2), at(4), ports(6, 22))))).toBe('drop: no-groups');
    },
  );
});

describe('unfiltered ports', () => {
  const some = world({
    ports: [
      portFields(1, [], { port_security_enabled: false }),
      portFields(2, [], { device_owner: 'network:router_interface' }),
      portFields(3, [], { admin_state_up: false }),
      portFields(4, [], { device_owner: 'compute:network:' }),
    ],
  });
  it.each([
    [1, 'accept: port-security-off'],
    [2, 'accept: trusted'],
    [3, 'drop: port-down'],
    [4, 'drop: spoofed-source'],
  ])('port %s: %s', (port, want) => {
    expect(verdict(some.sends(port, packet('203.0.113.9', '192.0.2.1', ports(6, 1))))).toBe(want);
  });
});

describe('connection state', () => {
  const web = packet('192.0.2.1', '10.0.0.1', ports(6, 9999));
  it.each([
    ['new', 'drop: no-rule'],
    ['established', 'accept: established'],
    ['related', 'accept: related'],
    ['invalid', 'drop: invalid'],
    ['revoked', 'drop: revoked'],
    ['unadmitted', 'drop: no-rule'],
  ] as const)('stateful, %s: %s', (state, want) => {
    expect(verdict(open.gets(1, web, { state }))).toBe(want);
  });

  it('a spoofed source is dropped in an established flow, too', () => {
    const spoofed = packet('10.0.0.2', '192.0.2.1', ports(6, 80));
    expect(verdict(open.sends(1, spoofed, { state: 'established' }))).toBe('drop: spoofed-source');
  });

  const stateless = world({
    security_groups: [groupFields('s', [TCP80], { stateful: false })],
    ports: [portFields(1, ['s'])],
  });
  it.each(['new', 'established', 'invalid', 'revoked'] as const)('stateless, %s: the rules alone count', (state) => {
    expect(verdict(stateless.gets(1, web, { state }))).toBe('drop: no-rule');
    expect(verdict(stateless.gets(1, packet('192.0.2.1', '10.0.0.1', ports(6, 80)), { state }))).toBe('accept: rule');
    const reply = packet('10.0.0.1', '192.0.2.1', ports(6, 40_000, 80));
    expect(verdict(stateless.sends(1, reply, { state }))).toBe('drop: no-rule');
  });
});

describe('anti-spoofing', () => {
  const own = world({
    security_groups: [groupFields('g', ANY_EGRESS)],
    ports: [
      portFields(1, ['g'], {
        allowed_address_pairs: [
          { ip_address: '10.9.0.0/24' },
          { ip_address: '10.0.0.100', mac_address: '00:00:5e:00:01:01' },
        ],
      }),
    ],
  });
  it.each([
    ['its own address', '10.0.0.1', macOf(1), 'accept: rule'],
    ['the address of another', '10.0.0.2', macOf(1), 'drop: spoofed-source'],
    ['the MAC of another', '10.0.0.1', macOf(2), 'drop: spoofed-source'],
    ['the first address of its pair', '10.9.0.0', macOf(1), 'accept: rule'],
    ['the last address of its pair', '10.9.0.255', macOf(1), 'accept: rule'],
    ['the address behind its pair', '10.9.1.0', macOf(1), 'drop: spoofed-source'],
    ['a pair with the MAC of the pair', '10.0.0.100', '00:00:5e:00:01:01', 'accept: rule'],
    ['a pair with its own MAC instead', '10.0.0.100', macOf(1), 'drop: spoofed-source'],
    ['its own address with the MAC of a pair', '10.0.0.1', '00:00:5e:00:01:01', 'drop: spoofed-source'],
    ['its own IPv6 address', 'fd00::1', macOf(1), 'accept: rule'],
    ['the IPv6 address of another', 'fd00::2', macOf(1), 'drop: spoofed-source'],
    ['its link-local address', 'fe80::f816:3eff:fe00:1', macOf(1), 'accept: rule'],
    ['the link-local address of another', 'fe80::f816:3eff:fe00:2', macOf(1), 'drop: spoofed-source'],
    ['the link-local address of its pair', 'fe80::200:5eff:fe00:101', '00:00:5e:00:01:01', 'accept: rule'],
  ])('%s', (_what, source, sourceMac, want) => {
    const to = source.includes(':') ? '2001:db8::1' : '192.0.2.1';
    expect(verdict(own.sends(1, packet(source, to, ports(6, 80)), { sourceMac }))).toBe(want);
  });

  it.each<[string, Partial<ArpPacket>, Partial<Frame>, string]>([
    ['its own', {}, {}, 'accept: own-arp'],
    ['a probe', { senderIp: exact('0.0.0.0') }, {}, 'accept: own-arp'],
    ['an answer', { operation: 2 }, {}, 'accept: own-arp'],
    ['the sender address of another', { senderIp: exact('10.0.0.2') }, {}, 'drop: spoofed-arp'],
    ['the sender MAC of another', { senderMac: macOf(2) }, {}, 'drop: spoofed-arp'],
    ['the frame MAC of another', {}, { sourceMac: macOf(2) }, 'drop: spoofed-arp'],
    ['an operation that is neither', { operation: 3 }, {}, 'drop: spoofed-arp'],
  ])('ARP: %s', (_what, fields, more, want) => {
    expect(verdict(own.sends(1, arp(fields), more))).toBe(want);
  });

  it.each([
    ['its own address', 'fd00::1', 'accept: neighbour-discovery'],
    ['the target of another', 'fd00::2', 'drop: spoofed-target'],
    ['its link-local address', 'fe80::f816:3eff:fe00:1', 'accept: neighbour-discovery'],
  ])('neighbour advertisement: %s', (_what, target, want) => {
    expect(verdict(own.sends(1, packet('fd00::1', 'ff02::1', icmpv6(136, target))))).toBe(want);
  });

  it('a neighbour advertisement without a target is dropped', () => {
    expect(verdict(own.sends(1, packet('fd00::1', 'ff02::1', icmpv6(136))))).toBe('drop: spoofed-target');
  });
});

describe('service traffic without any rule', () => {
  const closed = world({ ports: [portFields(1, [])] });
  it.each([
    ['DHCP discover', '0.0.0.0', '255.255.255.255', ports(17, 67, 68), 'accept: dhcp'],
    ['DHCP renewal', '10.0.0.1', '10.0.0.250', ports(17, 67, 68), 'accept: dhcp'],
    ['DHCP from the address of another', '10.0.0.2', '10.0.0.250', ports(17, 67, 68), 'drop: spoofed-source'],
    ['DHCP server', '10.0.0.1', '10.0.0.2', ports(17, 68, 67), 'drop: dhcp-server'],
    ['UDP from nowhere', '0.0.0.0', '255.255.255.255', ports(17, 53), 'drop: spoofed-source'],
    ['DHCPv6', 'fe80::f816:3eff:fe00:1', 'ff02::1:2', ports(17, 547, 546), 'accept: dhcp'],
    ['DHCPv6 server', 'fe80::f816:3eff:fe00:1', 'fe80::2', ports(17, 546, 547), 'drop: dhcp-server'],
    ['duplicate address detection', '::', 'ff02::1:ff00:1', icmpv6(135, 'fd00::1'), 'accept: neighbour-discovery'],
    ['detection for another', '::', 'ff02::1:ff00:2', icmpv6(135, 'fd00::2'), 'drop: spoofed-target'],
    ['MLD report from nowhere', '::', 'ff02::16', icmpv6(143), 'accept: neighbour-discovery'],
    ['anything else from nowhere', '::', 'ff02::1', icmpv6(128), 'drop: spoofed-source'],
    ['router solicitation', 'fe80::f816:3eff:fe00:1', 'ff02::2', icmpv6(133), 'accept: neighbour-discovery'],
    ['router advertisement', 'fe80::f816:3eff:fe00:1', 'ff02::1', icmpv6(134), 'drop: router'],
    ['redirect', 'fe80::f816:3eff:fe00:1', 'fd00::2', icmpv6(137), 'drop: router'],
  ])('out: %s', (_what, source, destination, transport, want) => {
    expect(verdict(closed.sends(1, packet(source, destination, transport)))).toBe(want);
  });

  it.each([
    ['DHCP answer', '10.0.0.250', '255.255.255.255', ports(17, 68, 67), 'accept: dhcp'],
    ['DHCP request of another', '10.0.0.2', '255.255.255.255', ports(17, 67, 68), 'drop: no-groups'],
    ['DHCPv6 answer', 'fe80::2', 'fe80::f816:3eff:fe00:1', ports(17, 546, 547), 'accept: dhcp'],
    ['router advertisement', 'fe80::2', 'ff02::1', icmpv6(134), 'accept: neighbour-discovery'],
    ['neighbour solicitation', 'fe80::2', 'ff02::1:ff00:1', icmpv6(135, 'fd00::1'), 'accept: neighbour-discovery'],
    ['redirect', 'fe80::2', 'fd00::1', icmpv6(137), 'drop: no-groups'],
    ['ping', '10.0.0.2', '10.0.0.1', icmp(8), 'drop: no-groups'],
  ])('in: %s', (_what, source, destination, transport, want) => {
    expect(verdict(closed.gets(1, packet(source, destination, transport)))).toBe(want);
  });
});

describe('a port without an IPv4 address', () => {
  const bare = world({ ports: [portFields(1, [], { fixed_ips: [{ ip_address: 'fd00::1' }] })] });
  it.each([
    ['asks for one', '0.0.0.0', '255.255.255.255', ports(17, 67, 68), 'accept: dhcp'],
    ['sends nothing else from nowhere', '0.0.0.0', '255.255.255.255', ports(17, 53, 68), 'drop: family-closed'],
    ['sends from no other', '10.0.0.1', '192.0.2.1', ports(17, 67, 68), 'drop: family-closed'],
  ])('%s, as in Neutron', (_what, source, destination, transport, want) => {
    expect(verdict(bare.sends(1, packet(source, destination, transport)))).toBe(want);
  });
  it('gets the answer, and nothing else', () => {
    expect(verdict(bare.gets(1, packet('10.0.0.250', '10.0.0.1', ports(17, 68, 67))))).toBe('accept: dhcp');
    expect(verdict(bare.gets(1, packet('10.0.0.250', '10.0.0.1', ports(17, 53))))).toBe('drop: family-closed');
  });
});

describe('frames', () => {
  const plain = packet('10.0.0.1', '192.0.2.1', ports(6, 80));
  it.each<[string, Frame['payload'], Partial<Frame>, string]>([
    ['plain', plain, {}, 'accept: rule'],
    ['with a priority tag (VLAN 0)', plain, { vlanTags: [0] }, 'drop: tagged'],
    ['with a VLAN tag', plain, { vlanTags: [100] }, 'drop: tagged'],
    ['with two VLAN tags', plain, { vlanTags: [0, 0] }, 'drop: tagged'],
    ['in LLC/SNAP', plain, { snap: true }, 'drop: tagged'],
    ['ARP in LLC/SNAP', arp(), { snap: true }, 'drop: tagged'],
    [
      'router advertisement in a tag',
      packet('fe80::f816:3eff:fe00:1', 'ff02::1', icmpv6(134)),
      { vlanTags: [0] },
      'drop: tagged',
    ],
    ['of another ethertype', { kind: 'other', etherType: 0x88cc }, {}, 'drop: ethertype'],
    ['RARP', { kind: 'rarp' }, {}, 'accept: own-rarp'],
    ['RARP of another', { kind: 'rarp' }, { sourceMac: macOf(2) }, 'drop: spoofed-rarp'],
  ])('%s', (_what, payload, more, want) => {
    expect(verdict(open.sends(1, payload, more))).toBe(want);
  });
});
