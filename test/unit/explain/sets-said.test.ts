/** What is said of many packets: which pass and which do not, for which reason. */
import { expect, it } from 'vitest';
import {
  between,
  explainSet,
  rangeTexts,
  renderSet,
  serviceTexts,
  TooManyCases,
  type Ends,
  type PacketSet,
  type ServiceSet,
} from '../../../compiler/explain/index.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import { lastAddress, makePrefix, parsePrefix, type Family, type Prefix } from '../../../compiler/model/index.js';
import { exact, groupFields, portFields, world } from '../../support/world.js';

const { widestPairLength } = DEFAULT_OPTIONS;
const ALL_PORTS = between(0, 65_535);

function prefixed(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`${text} is no prefix`);
  return prefix;
}

function rangeOf(prefix: Prefix): { readonly first: bigint; readonly last: bigint } {
  return { first: prefix.network, last: lastAddress(prefix) };
}

const TCP = { direction: 'ingress', protocol: 'tcp' };

/** Two web servers, a database that they reach, and a third port without a group. */
const { topology } = world({
  security_groups: [
    groupFields('web', [
      { id: 'out', direction: 'egress', protocol: 'tcp' },
      { id: 'http', ...TCP, port_range_min: 80, port_range_max: 81 },
      { id: 'office', ...TCP, port_range_min: 22, port_range_max: 22, remote_ip_prefix: '192.0.2.0/24' },
    ]),
    groupFields('database', [
      { id: 'mysql', ...TCP, port_range_min: 3306, port_range_max: 3306, remote_group_id: 'web' },
    ]),
  ],
  ports: [portFields(1, ['web']), portFields(2, ['web']), portFields(3, []), portFields(4, ['database'])],
});

function linesOf(asked: PacketSet, from: string, to: string): readonly string[] {
  const plain = (text: string): string => text;
  const found = explainSet({ topology, widestPairLength }, asked, 'new');
  const words = { from, to, services: serviceTexts(asked.services).join(', ') };
  return renderSet(found, words, { good: plain, bad: plain, dim: plain });
}

function toPort(number: number): Ends {
  const port = topology.ports.get(`port000${number.toString()}-0000`);
  return { kind: 'one', end: { port, address: exact(`10.0.0.${number.toString()}`) } };
}

const tcp = (...destinations: readonly (readonly [number, number])[]): ServiceSet => ({
  kind: 'ports',
  protocol: 6,
  destinations: destinations.flatMap(([first, last]) => between(first, last)),
  sources: between(50_000, 50_000),
});

it('says who reaches which ports, for which reason, and who does not', () => {
  const from: Ends = { kind: 'addresses', prefix: prefixed('10.0.0.0/29') };
  expect(linesOf({ from, to: toPort(4), services: [tcp([22, 22], [3300, 3310])] }, '10.0.0.0/29', 'database')).toEqual([
    'IPv4 10.0.0.0/29 -> database, tcp 22,3300-3310: some dropped',
    '  allowed:',
    '    10.0.0.1-10.0.0.2 -> 10.0.0.4: tcp 3306',
    '      egress: a rule allows it: egress IPv4 tcp to anywhere  [group "web" web, rule out]',
    '      ingress: a rule allows it: ingress IPv4 tcp 3306 from group web  [group "database" database, rule mysql]',
    '  dropped:',
    '    10.0.0.0, 10.0.0.5-10.0.0.7 -> 10.0.0.4: tcp 22,3300-3310',
    '    10.0.0.1-10.0.0.2 -> 10.0.0.4: tcp 22,3300-3305,3307-3310',
    '      ingress: no ingress rule of its groups matches',
    '  dropped:',
    '    10.0.0.3 -> 10.0.0.4: tcp 22,3300-3310',
    '      egress: the port has no security group: nothing but service traffic passes',
    '      ingress: no ingress rule of its groups matches',
    '  dropped:',
    '    10.0.0.4 -> 10.0.0.4: tcp 22,3300-3310',
    '      egress: no egress rule of its groups matches',
    '      ingress: no ingress rule of its groups matches',
  ]);
});

it.each<[Family, string, readonly string[], readonly string[]]>([
  ['IPv4', '198.51.100.0/24', ['udp 67 from port 68'], ['udp 68 from port 67']],
  ['IPv6', '2001:db8::/32', ['udp 547 from port 546', 'ipv6-icmp type 131-133,135,143'], ['udp 546 from port 547']],
])(
  'service traffic of a port without groups is told apart, to the port and type (%s)',
  (family, outside, passing, served) => {
    const port = topology.ports.get('port0003-0000');
    const address = port?.fixedIps.find((one) => one.family === family) ?? exact('::');
    const services: readonly ServiceSet[] = [
      { kind: 'ports', protocol: 17, destinations: ALL_PORTS, sources: ALL_PORTS },
      { kind: 'icmp', protocol: family === 'IPv4' ? 1 : 58, types: between(0, 255), codes: between(0, 255) },
    ];
    const to: Ends = { kind: 'addresses', prefix: prefixed(outside) };
    const asked = { from: { kind: 'one', end: { port, address } } as const, to, services };
    const { parts } = explainSet({ topology, widestPairLength }, asked, 'new');
    const textsOf = (fits: (part: (typeof parts)[number]) => boolean): readonly string[] =>
      parts.filter(fits).flatMap(({ packets }) => packets.flatMap((box) => serviceTexts(box.services)));
    expect(textsOf(({ verdict }) => verdict === 'accept')).toEqual(passing);
    expect(textsOf(({ halves }) => halves.some(({ reason }) => reason === 'dhcp-server'))).toEqual(served);
  },
);

it('says that all pass, or none', () => {
  const outside: Ends = { kind: 'addresses', prefix: prefixed('198.51.100.0/24') };
  expect(linesOf({ from: outside, to: toPort(1), services: [tcp([80, 81])] }, 'outside', 'web')[0]).toBe(
    'IPv4 outside -> web, tcp 80-81: all allowed',
  );
  expect(linesOf({ from: outside, to: toPort(1), services: [tcp([82, 90])] }, 'outside', 'web')[0]).toBe(
    'IPv4 outside -> web, tcp 82-90: all dropped',
  );
});

it('ranges are written as prefixes where they are, services without what is all of it', () => {
  const ranges = [rangeOf(prefixed('10.0.0.0/30')), { first: 5n, last: 6n }, rangeOf(makePrefix('IPv4', 9n, 32))];
  expect(rangeTexts('IPv4', ranges)).toEqual(['10.0.0.0/30', '0.0.0.5-0.0.0.6', '0.0.0.9']);
  expect(rangeTexts('IPv6', [rangeOf(prefixed('::/0'))])).toEqual(['::/0']);
  const all = { types: between(0, 255), codes: between(0, 255) };
  const sets: readonly ServiceSet[] = [
    { kind: 'ports', protocol: 17, destinations: [...between(60, 67), ...between(80, 600)], sources: between(68, 68) },
    tcp([22, 22], [80, 65_535]),
    { kind: 'ports', protocol: 132, destinations: ALL_PORTS, sources: ALL_PORTS },
    { kind: 'icmp', protocol: 1, ...all },
    { kind: 'icmp', protocol: 58, ...all, types: between(128, 129) },
    { kind: 'other', protocols: [...between(2, 5), ...between(47, 47)] },
  ];
  expect(serviceTexts(sets)).toEqual([
    'udp 60-67,80-600 from port 68',
    'tcp 22,80-65535',
    'sctp',
    'icmp',
    'ipv6-icmp type 128-129',
    'protocols 2-5',
    'gre',
  ]);
});

it('of many combinations the first are shown, and the others counted', () => {
  const numbers = Array.from({ length: 12 }, (_, index) => index + 1);
  const { topology: alone } = world({
    security_groups: numbers.map((number) =>
      groupFields(`g${number.toString()}`, [
        { id: `out${number.toString()}`, direction: 'egress' },
        { id: `in${number.toString()}`, ...TCP, remote_group_id: `g${number.toString()}` },
      ]),
    ),
    ports: numbers.map((number) => portFields(number, [`g${number.toString()}`])),
  });
  const ends: Ends = { kind: 'addresses', prefix: prefixed('10.0.0.0/28') };
  const found = explainSet(
    { topology: alone, widestPairLength },
    { from: ends, to: ends, services: [tcp([80, 80])] },
    'new',
  );
  const lines = renderSet(found, { from: '', to: '', services: '' }, { good: String, bad: String, dim: String });
  const dropped = lines.slice(lines.indexOf('  dropped:'));
  expect(dropped.filter((line) => line.includes(' -> '))).toHaveLength(8);
  expect(dropped).toContain('    and 4 more combinations: --json lists all');
});

it('more cases than can be judged are refused', () => {
  const rules = Array.from({ length: 600 }, (_, index) => ({
    id: `r${index.toString()}`,
    ...TCP,
    port_range_min: 2 * index + 1,
    port_range_max: 2 * index + 1,
    remote_ip_prefix: `10.${(index % 250).toString()}.0.0/16`,
  }));
  const { topology: wide } = world({
    security_groups: [groupFields('g', rules)],
    ports: [portFields(1, ['g']), portFields(2, ['g'])],
  });
  const any: Ends = { kind: 'addresses', prefix: prefixed('0.0.0.0/0') };
  const asked = { from: any, to: any, services: [tcp([0, 65_535])] };
  expect(() => explainSet({ topology: wide, widestPairLength }, asked, 'new')).toThrow(TooManyCases);
});
