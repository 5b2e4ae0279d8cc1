/** What went wrong for users of other drivers, and must hold here. Launchpad and CVE numbers name the reports. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  planTransaction,
  printRuleset,
  printTransaction,
  stateOf,
  type Ruleset,
} from '../../../compiler/index.js';
import { parseTopology, PORT_PROTOCOLS, protocolName } from '../../../compiler/model/index.js';
import {
  exact,
  groupFields,
  icmp,
  icmpv6,
  macOf,
  packet,
  portFields,
  ports,
  world,
  type Fields,
  type World,
} from '../../support/world.js';

const FROM_GROUP = (family: string): Fields => ({ direction: 'ingress', ethertype: family, remote_group_id: 'g' });
const ANY_EGRESS = [{ direction: 'egress' }, { direction: 'egress', ethertype: 'IPv6' }];

function rulesetOf(content: Fields): Ruleset {
  const { topology } = parseTopology([{ file: 'history', content }]);
  return compile(topology, () => true, DEFAULT_OPTIONS).ruleset;
}

const tcpFrom = (w: World, source: string, to: number, port = 80): string =>
  w.gets(to, packet(source, source.includes(':') ? `fd00::${String(to)}` : `10.0.0.${String(to)}`, ports(6, port)))
    .verdict;

describe('a wide address pair opens no rule that names the group (LP 1867119, CVE-2015-3221)', () => {
  it.each([
    ['0.0.0.0/0', ['0.0.0.0/0']],
    ['two halves', ['0.0.0.0/1', '128.0.0.0/1']],
    ['0/7', ['10.0.0.0/7', '192.0.0.0/7']],
    ['::/0', ['::/0']],
    ['two halves of IPv6', ['::/1', '8000::/1']],
  ])('%s', (_what, pairs) => {
    const w = world({
      security_groups: [groupFields('g', [...ANY_EGRESS, FROM_GROUP('IPv4'), FROM_GROUP('IPv6')])],
      ports: [
        portFields(1, ['g'], { allowed_address_pairs: pairs.map((ip_address) => ({ ip_address })) }),
        portFields(2, ['g']),
      ],
    });
    for (const outsider of ['192.0.2.1', '10.77.0.1', '2001:db8::1']) expect(tcpFrom(w, outsider, 2)).toBe('drop');
    for (const member of ['10.0.0.1', 'fd00::1']) expect(tcpFrom(w, member, 2)).toBe('accept');
    const [wide = ''] = pairs;
    const source = wide.includes(':') ? '1000::77' : '10.88.0.1';
    const destination = wide.includes(':') ? '2001:db8::1' : '192.0.2.1';
    expect(w.sends(1, packet(source, destination, ports(6, 80))).verdict).toBe('accept');
  });

  it('a pair of /8 or /32 is a member, and one bit wider is not', () => {
    const w = world({
      security_groups: [groupFields('g', [FROM_GROUP('IPv4'), FROM_GROUP('IPv6')])],
      ports: [
        portFields(1, ['g'], {
          allowed_address_pairs: ['20.0.0.0/8', '2001:db8::/32', '30.0.0.0/7', '2002::/31'].map((ip_address) => ({
            ip_address,
          })),
        }),
        portFields(2, ['g']),
      ],
    });
    const verdicts = ['20.1.2.3', '2001:db8:1::1', '30.1.2.3', '2002::1'].map((source) => tcpFrom(w, source, 2));
    expect(verdicts).toEqual(['accept', 'accept', 'drop', 'drop']);
  });
});

describe('service traffic never passes before the source guard (CVE-2016-5362, CVE-2016-5363, CVE-2015-8914)', () => {
  const w = world({ security_groups: [groupFields('g', ANY_EGRESS)], ports: [portFields(1, ['g'])] });
  it.each([
    ['DHCP with a foreign MAC', packet('0.0.0.0', '255.255.255.255', ports(17, 67, 68)), macOf(2)],
    ['DHCP from a foreign address', packet('10.0.0.9', '255.255.255.255', ports(17, 67, 68)), macOf(1)],
    ['DHCP from nowhere to one host', packet('0.0.0.0', '10.0.0.250', ports(17, 67, 68)), macOf(1)],
    ['DHCPv6 from a foreign link-local address', packet('fe80::9', 'ff02::1:2', ports(17, 547, 546)), macOf(1)],
    ['NS from a foreign address', packet('fd00::9', 'ff02::1', icmpv6(135, 'fd00::1')), macOf(1)],
    ['NA with a foreign MAC', packet('fd00::1', 'ff02::1', icmpv6(136, 'fd00::1')), macOf(2)],
    ['RS from a foreign link-local address', packet('fe80::9', 'ff02::2', icmpv6(133)), macOf(1)],
    ['MLD with a foreign MAC', packet('::', 'ff02::16', icmpv6(143)), macOf(2)],
    ['MLD from nowhere off the link', packet('::', 'ff0e::1', icmpv6(143)), macOf(1)],
  ])('%s', (_what, payload, sourceMac) => {
    expect(w.sends(1, payload, { sourceMac }).verdict).toBe('drop');
  });

  it('a frame that is not IP with a foreign MAC', () => {
    expect(w.sends(1, { kind: 'other', etherType: 0x8863 }, { sourceMac: macOf(2) }).verdict).toBe('drop');
    expect(w.sends(1, { kind: 'rarp' }, { sourceMac: macOf(2) }).verdict).toBe('drop');
  });
});

describe('a port without an address of a family is closed in it (the iptables driver leaves it open)', () => {
  const rules = [...ANY_EGRESS, { direction: 'ingress' }, { direction: 'ingress', ethertype: 'IPv6' }];
  const w = world({
    security_groups: [groupFields('g', rules)],
    ports: [
      portFields(1, ['g'], { fixed_ips: [{ ip_address: '10.0.0.1' }] }),
      portFields(2, ['g'], { fixed_ips: [{ ip_address: 'fd00::2' }] }),
    ],
  });
  it.each([
    [1, packet('fd00::1', '2001:db8::1', ports(6, 80)), 'drop'],
    [1, packet('2001:db8::9', '2001:db8::1', ports(6, 80)), 'drop'],
    [1, packet('fe80::9', 'ff02::1', icmpv6(136, 'fd00::9')), 'drop'],
    [1, packet('fe80::f816:3eff:fe00:1', 'ff02::1', icmpv6(137)), 'drop'],
    [1, packet('fe80::f816:3eff:fe00:1', 'fe80::2', icmpv6(128)), 'accept'],
    [2, packet('10.0.0.2', '192.0.2.1', ports(6, 80)), 'drop'],
    // As Neutron has it: a guest may ask for an address that the port does not have yet, with its own MAC.
    [2, packet('0.0.0.0', '255.255.255.255', ports(17, 67, 68)), 'accept'],
    [2, packet('0.0.0.0', '255.255.255.255', ports(17, 69, 68)), 'drop'],
    [2, packet('10.0.0.2', '255.255.255.255', ports(17, 67, 68)), 'drop'],
  ])('port %s sends %o', (number, payload, want) => {
    expect(w.sends(number, payload).verdict).toBe(want);
  });
  it.each([
    [1, packet('2001:db8::9', 'fd00::1', ports(6, 80)), 'drop'],
    [1, packet('fe80::2', 'fe80::f816:3eff:fe00:1', icmpv6(128)), 'accept'],
    [2, packet('192.0.2.1', '10.0.0.2', ports(6, 80)), 'drop'],
  ])('port %s gets %o', (number, payload, want) => {
    expect(w.gets(number, payload).verdict).toBe(want);
  });
});

describe('a rule with an address group admits its addresses only (LP 2058138)', () => {
  const rules = [{ direction: 'ingress', remote_address_group_id: 'ag' }];
  const withAddresses = (addresses: readonly string[] | undefined): World =>
    world({
      security_groups: [groupFields('g', rules)],
      ports: [portFields(1, ['g'])],
      address_groups: addresses === undefined ? [] : [{ id: 'ag', name: 'ag', addresses }],
    });
  it.each([
    ['with an address', ['192.0.2.1/32'], 'accept', 'drop'],
    ['emptied', [], 'drop', 'drop'],
    ['unknown', undefined, 'drop', 'drop'],
    ['of IPv6 only', ['2001:db8::/32'], 'drop', 'drop'],
  ])('%s', (_what, addresses, member, stranger) => {
    const w = withAddresses(addresses);
    expect([tcpFrom(w, '192.0.2.1', 1), tcpFrom(w, '192.0.2.2', 1)]).toEqual([member, stranger]);
  });

  it('with overlapping prefixes and a /8, in few elements (LP 1439817)', () => {
    const addresses = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', '192.0.2.0/25', '192.0.2.128/25'];
    const w = withAddresses(addresses);
    expect(['10.255.255.255', '192.0.2.200', '11.0.0.0'].map((source) => tcpFrom(w, source, 1))).toEqual([
      'accept',
      'accept',
      'drop',
    ]);
    const ruleset = rulesetOf({
      security_groups: [groupFields('g', rules)],
      ports: [portFields(1, ['g'])],
      address_groups: [{ id: 'ag', name: 'ag', addresses }],
    });
    const sets = ruleset.tables[0]?.sets ?? new Map<string, never>();
    const elements = [...sets].filter(([name]) => name.startsWith('ag_')).map(([, set]) => set.content.elements.length);
    expect(elements.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(3);
  });
});

describe('port ranges and ICMP types are merged without a change (LP 1611991, 1708092, 1708358, 1708580)', () => {
  const EDGES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 1023, 1024, 65533, 65534, 65535];
  it('every range of a small space, alone', () => {
    for (const first of EDGES) {
      for (const last of EDGES.filter((port) => port >= first)) {
        const rule = { direction: 'ingress', protocol: 'tcp', port_range_min: first, port_range_max: last };
        const w = world({ security_groups: [groupFields('g', [rule])], ports: [portFields(1, ['g'])] });
        for (const port of [first - 1, first, last, last + 1].filter((at) => at >= 0 && at <= 65535)) {
          // The full range is the whole protocol, port 0 included, as Neutron has it (LP 1848213).
          const isIn = (port >= first && port <= last) || (first === 1 && last === 65535);
          expect([first, last, port, tcpFrom(w, '192.0.2.1', 1, port)]).toEqual([
            first,
            last,
            port,
            isIn ? 'accept' : 'drop',
          ]);
        }
      }
    }
  });

  it('any few ranges together, for any few remotes (CVE-2019-10876)', () => {
    const range = fc.tuple(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 0, max: 3 }),
    );
    const remotes = [
      {},
      { remote_ip_prefix: '192.0.2.0/24' },
      { remote_group_id: 'g' },
      { remote_ip_prefix: '192.0.2.1' },
    ];
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), (ranges) => {
        const rules = ranges.map(([first, width, remote], number) => ({
          id: `r${String(number)}`,
          direction: 'ingress',
          protocol: 'tcp',
          port_range_min: first,
          port_range_max: first + width,
          ...remotes[remote],
        }));
        const w = world({
          security_groups: [groupFields('g', rules)],
          ports: [portFields(1, ['g']), portFields(2, ['g'])],
        });
        for (const [source, mask] of [
          ['192.0.2.1', [0, 1, 3]],
          ['192.0.2.2', [0, 1]],
          ['10.0.0.2', [0, 2]],
          ['198.51.100.1', [0]],
        ] as const) {
          for (let port = 0; port <= 20; port++) {
            const isIn = ranges.some(
              ([first, width, remote]) =>
                (mask as readonly number[]).includes(remote) && port >= first && port <= first + width,
            );
            expect(tcpFrom(w, source, 1, port)).toBe(isIn ? 'accept' : 'drop');
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('ICMP type 0 code 0 is not every type', () => {
    const rule = { direction: 'ingress', protocol: 'icmp', port_range_min: 0, port_range_max: 0 };
    const w = world({ security_groups: [groupFields('g', [rule])], ports: [portFields(1, ['g'])] });
    const verdicts = [icmp(0), icmp(0, 1), icmp(8)].map(
      (transport) => w.gets(1, packet('192.0.2.1', '10.0.0.1', transport)).verdict,
    );
    expect(verdicts).toEqual(['accept', 'drop', 'drop']);
  });
});

describe('ports of all five protocols with ports are respected (the OVS driver opened dccp and udplite)', () => {
  it.each(PORT_PROTOCOLS.map((protocol) => [protocolName(protocol), protocol] as const))('%s', (name, protocol) => {
    const rule = { direction: 'ingress', protocol: name, port_range_min: 100, port_range_max: 200 };
    const both = [rule, { ...rule, ethertype: 'IPv6' }];
    const w = world({ security_groups: [groupFields('g', both)], ports: [portFields(1, ['g'])] });
    for (const [source, destination] of [
      ['192.0.2.1', '10.0.0.1'],
      ['2001:db8::1', 'fd00::1'],
    ] as const) {
      const verdicts = [99, 100, 200, 201].map(
        (port) => w.gets(1, packet(source, destination, ports(protocol, port))).verdict,
      );
      expect(verdicts).toEqual(['drop', 'accept', 'accept', 'drop']);
    }
    const other = protocol === 6 ? 17 : 6;
    expect(w.gets(1, packet('192.0.2.1', '10.0.0.1', ports(other, 150))).verdict).toBe('drop');
  });

  it('hopopt is protocol 0 and nothing else; ip and 0 are any protocol', () => {
    const passes = (protocol: unknown): string => {
      const w = world({
        security_groups: [groupFields('g', [{ direction: 'ingress', protocol }])],
        ports: [portFields(1, ['g'])],
      });
      return tcpFrom(w, '192.0.2.1', 1);
    };
    expect([passes('hopopt'), passes('ip'), passes('0'), passes(0)]).toEqual(['drop', 'accept', 'accept', 'accept']);
  });
});

describe('one bad rule does not stop the others (CVE-2019-9735)', () => {
  it.each([['vrrp'], ['112'], ['esp'], ['51']])('%s with ports', (protocol) => {
    const bad = { id: 'bad', direction: 'ingress', protocol, port_range_min: 80, port_range_max: 80 };
    const good = { id: 'good', direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80 };
    const w = world({ security_groups: [groupFields('g', [bad, good])], ports: [portFields(1, ['g'])] });
    expect(w.problems).toHaveLength(1);
    expect(tcpFrom(w, '192.0.2.1', 1)).toBe('accept');
    const other = packet('192.0.2.1', '10.0.0.1', { kind: 'other', protocol: 112 });
    expect(w.gets(1, other).verdict).toBe('drop');
  });
});

describe('members that leave (LP 1458786, 1463331, 1854131)', () => {
  const rule = { direction: 'ingress', remote_group_id: 'members' };
  const content = (members: readonly number[], rules: readonly Fields[] = [rule]): Fields => ({
    security_groups: [groupFields('g', rules), groupFields('members', [])],
    ports: [portFields(1, ['g']), ...members.map((number) => portFields(number, ['members']))],
  });
  it('the last member leaves: refused at once, and the set is empty, and still there', () => {
    expect(tcpFrom(world(content([2])), '10.0.0.2', 1)).toBe('accept');
    expect(tcpFrom(world(content([])), '10.0.0.2', 1)).toBe('drop');
    expect(rulesetOf(content([])).tables[0]?.sets.get('sg_members_addresses4')?.content.elements).toEqual([]);
  });

  it('a group that no rule names has no set', () => {
    expect(
      [...(rulesetOf(content([2], [])).tables[0]?.sets.keys() ?? [])].filter((name) => name.startsWith('sg_')),
    ).toEqual([]);
  });

  it('two ports share an address: the first to go does not take it along', () => {
    const shared = (numbers: readonly number[]): World =>
      world({
        security_groups: [groupFields('g', [rule]), groupFields('members', [])],
        ports: [
          portFields(1, ['g']),
          ...numbers.map((number) =>
            portFields(number, ['members'], { allowed_address_pairs: [{ ip_address: '10.0.0.200' }] }),
          ),
        ],
      });
    expect([[2, 3], [3], []].map((numbers) => tcpFrom(shared(numbers), '10.0.0.200', 1))).toEqual([
      'accept',
      'accept',
      'drop',
    ]);
  });
});

describe('one host, two networks', () => {
  it('with the same MAC in both, each port is guarded by its own device (LP 1626010)', () => {
    const w = world({
      security_groups: [groupFields('g', ANY_EGRESS)],
      ports: [
        portFields(1, ['g'], { mac_address: macOf(9) }),
        portFields(2, ['g'], { mac_address: macOf(9), network_id: 'net00002-0000' }),
      ],
    });
    expect(w.sends(1, packet('10.0.0.1', '192.0.2.1', ports(6, 80))).verdict).toBe('accept');
    expect(w.sends(1, packet('10.0.0.2', '192.0.2.1', ports(6, 80))).verdict).toBe('drop');
  });

  it('ids that differ after the tenth character have chains and devices of their own (tap name cut)', () => {
    const w = world({
      security_groups: [groupFields('aaaaaaaa-bb', [{ direction: 'ingress' }]), groupFields('aaaaaaaa-bc', [])],
      ports: [
        portFields(1, ['aaaaaaaa-bb'], { id: 'cccccccc-dd1' }),
        portFields(2, ['aaaaaaaa-bc'], { id: 'cccccccc-de1' }),
      ],
    });
    expect([tcpFrom(w, '192.0.2.1', 1), tcpFrom(w, '192.0.2.1', 2)]).toEqual(['accept', 'drop']);
  });
});

describe('loading again changes nothing, whatever the spelling (LP 1502917, 1457971, 1976323, 2054324)', () => {
  it.each<[string, Fields, Fields]>([
    ['a MAC in capitals', {}, { mac_address: 'FA-16-3E-00-00-01' }],
    ['an address in full', {}, { fixed_ips: [{ ip_address: '10.0.0.1' }, { ip_address: 'FD00:0:0::0001' }] }],
  ])('%s', (_what, one, other) => {
    const [first, second] = [one, other].map((fields) =>
      rulesetOf({ security_groups: [groupFields('g', ANY_EGRESS)], ports: [portFields(1, ['g'], fields)] }),
    );
    expect(first && second && printRuleset(second)).toBe(first && printRuleset(first));
  });

  it.each([
    ['a prefix with host bits', { remote_ip_prefix: '10.0.0.77/24' }, { remote_ip_prefix: '10.0.0.0/24' }],
    ['a protocol by number', { protocol: '4' }, { protocol: 'ipip' }],
    ['a protocol in capitals', { protocol: 'TCP' }, { protocol: 'tcp' }],
    ['the full range of ports', { protocol: 'tcp', port_range_min: 1, port_range_max: 65535 }, { protocol: 'tcp' }],
    ['anywhere', { remote_ip_prefix: '0.0.0.0/0' }, {}],
  ])('%s', (_what, one, other) => {
    const [first, second] = [one, other].map((fields) =>
      rulesetOf({
        security_groups: [groupFields('g', [{ id: 'r', direction: 'ingress', ...fields }])],
        ports: [portFields(1, ['g'])],
      }),
    );
    if (first === undefined || second === undefined) throw new Error('unreachable');
    expect(printTransaction(planTransaction(second.tables, first.tables.map(stateOf)))).toBe('');
  });
});

it('a port that is gone takes its address out of every set', () => {
  const text = printRuleset(
    rulesetOf({ security_groups: [groupFields('g', [FROM_GROUP('IPv4')])], ports: [portFields(1, ['g'])] }),
  );
  expect(text).not.toContain(exact('10.0.0.2').text);
  expect(text).toContain(exact('10.0.0.1').text);
});
