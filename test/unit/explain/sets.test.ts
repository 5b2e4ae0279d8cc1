/** Which of many packets pass: exactly those that pass one by one. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  between,
  explain,
  explainSet,
  rangeTexts,
  renderSet,
  serviceTexts,
  TooManyCases,
  type End,
  type Ends,
  type JudgeContext,
  type PacketSet,
  type ServiceSet,
  type SetExplanation,
} from '../../../compiler/explain/index.js';
import { holds } from '../../../compiler/explain/partition.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import {
  familyBits,
  makePrefix,
  parsePrefix,
  type Family,
  type Prefix,
  type Topology,
  type Transport,
} from '../../../src/model/index.js';
import { arbitraryState, arbitraryTopology } from '../../support/arbitrary-topology.js';
import { exact, groupFields, portFields, world } from '../../support/world.js';

const { widestPairLength } = DEFAULT_OPTIONS;

function prefixed(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`${text} is no prefix`);
  return prefix;
}

const PREFIXES: Readonly<Record<Family, readonly string[]>> = {
  IPv4: ['0.0.0.0/0', '10.0.0.0/8', '10.0.0.0/29', '10.0.0.5/31', '192.0.2.0/24'],
  IPv6: ['::/0', 'fd00::/16', 'fd00::/125', '2001:db8::/32'],
};
const ADDRESSES: Readonly<Record<Family, readonly string[]>> = {
  IPv4: [
    '0.0.0.0',
    '9.255.255.255',
    '10.0.0.1',
    '10.0.0.2',
    '10.0.0.3',
    '10.0.0.4',
    '10.0.0.5',
    '10.0.0.6',
    '10.0.0.70',
  ].concat(['10.1.0.1', '10.9.0.9', '192.0.2.7', '192.0.3.0', '255.255.255.255']),
  IPv6: [
    '::',
    'fcff::1',
    'fd00::',
    'fd00::1',
    'fd00::2',
    'fd00::3',
    'fd00::5',
    'fd00::9',
    'fd01::1',
    'fd09::9',
    '2001:db8::7',
    'ff02::1',
  ],
};
const PORTS = [0, 1, 21, 22, 23, 67, 68, 69, 79, 80, 81, 443, 444, 546, 547, 5000, 50_000, 65_535];
const TYPES = [0, 3, 8, 11, 128, 129, 130, 133, 134, 135, 136, 137, 143, 255];
const OTHERS = [2, 47, 112, 254];

const ALL_PORTS = between(0, 65_535);
const SETS: readonly ServiceSet[] = [
  ...([6, 17, 33, 132, 136] as const).map((protocol): ServiceSet => ({
    kind: 'ports',
    protocol,
    destinations: ALL_PORTS,
    sources: ALL_PORTS,
  })),
  { kind: 'ports', protocol: 17, destinations: [...between(60, 67), ...between(80, 600)], sources: between(68, 68) },
  {
    kind: 'ports',
    protocol: 6,
    destinations: [...between(22, 22), ...between(80, 65_535)],
    sources: between(50_000, 50_000),
  },
  ...([1, 58] as const).map((protocol): ServiceSet => ({
    kind: 'icmp',
    protocol,
    types: between(0, 255),
    codes: between(0, 255),
  })),
  { kind: 'other', protocols: [...between(2, 5), ...between(47, 47), ...between(100, 131), ...between(200, 255)] },
];
const TRANSPORTS: readonly Transport[] = [
  ...([6, 17, 33, 132, 136] as const).flatMap((protocol) =>
    PORTS.flatMap((destinationPort) =>
      [67, 68, 546, 547, 50_000].map((sourcePort) => ({
        kind: 'ports' as const,
        protocol,
        destinationPort,
        sourcePort,
      })),
    ),
  ),
  ...([1, 58] as const).flatMap((protocol) =>
    TYPES.flatMap((type) => [0, 1, 2, 255].map((code) => ({ kind: 'icmp' as const, protocol, type, code }))),
  ),
  ...OTHERS.map((protocol) => ({ kind: 'other' as const, protocol })),
];

function isIn(set: ServiceSet, transport: Transport): boolean {
  const has = (ranges: ReturnType<typeof between>, value: number): boolean => holds(ranges, BigInt(value));
  if (set.kind === 'ports' && transport.kind === 'ports') {
    return (
      set.protocol === transport.protocol &&
      has(set.destinations, transport.destinationPort) &&
      has(set.sources, transport.sourcePort)
    );
  }
  if (set.kind === 'icmp' && transport.kind === 'icmp') {
    return set.protocol === transport.protocol && has(set.types, transport.type) && has(set.codes, transport.code);
  }
  return set.kind === 'other' && transport.kind === 'other' && has(set.protocols, transport.protocol);
}

/** Each port that has an address; without one, those with an exact pair of it; without any, nobody. */
function endsAt({ ports }: Topology, address: Prefix): readonly End[] {
  const all = [...ports.values()];
  const fixed = all.filter(({ fixedIps }) => fixedIps.some(({ text }) => text === address.text));
  const paired = all.filter(({ allowedAddressPairs }) =>
    allowedAddressPairs.some(({ prefix }) => prefix.text === address.text),
  );
  const owners = fixed.length > 0 ? fixed : paired;
  return owners.length === 0 ? [{ port: undefined, address }] : owners.map((port) => ({ port, address }));
}

function verdictsOf({ parts }: SetExplanation, from: Prefix, to: Prefix, transport: Transport): ReadonlySet<string> {
  const having = parts.filter(({ packets }) =>
    packets.some(
      (box) =>
        holds(box.from, from.network) && holds(box.to, to.network) && box.services.some((set) => isIn(set, transport)),
    ),
  );
  return new Set(having.map(({ verdict }) => verdict));
}

/** Packets that pass, and packets that do not. */
const ENOUGH = 100;

it('of any packets those are said to pass that pass one by one, and no others', () => {
  const seen = { accept: 0, drop: 0 };
  const property = fc.property(
    arbitraryTopology(),
    fc.constantFrom<Family>('IPv4', 'IPv6').chain((family) =>
      fc.record({
        from: fc.constantFrom(...PREFIXES[family]).map(prefixed),
        to: fc.constantFrom(...PREFIXES[family]).map(prefixed),
        packets: fc.array(
          fc.tuple(
            fc.constantFrom(...ADDRESSES[family]),
            fc.constantFrom(...ADDRESSES[family]),
            fc.constantFrom(...TRANSPORTS),
          ),
          { minLength: 40, maxLength: 40 },
        ),
      }),
    ),
    fc.subarray([...SETS], { minLength: 1, maxLength: 2 }),
    arbitraryState(),
    (topology, { from, to, packets }, services, state) => {
      const context: JudgeContext = { topology, widestPairLength };
      const ends = (prefix: Prefix): Ends => ({ kind: 'addresses', prefix });
      const found = explainSet(context, { from: ends(from), to: ends(to), services }, state);
      for (const [sender, receiver, transport] of packets) {
        const [source, destination] = [exact(sender), exact(receiver)];
        const isAsked =
          holds([rangeOf(from)], source.network) &&
          holds([rangeOf(to)], destination.network) &&
          services.some((set) => isIn(set, transport));
        const expected = new Set(
          !isAsked
            ? []
            : endsAt(topology, source).flatMap((one) =>
                endsAt(topology, destination).map((other) => explain(context, one, other, transport, state).verdict),
              ),
        );
        for (const verdict of expected) seen[verdict]++;
        expect(
          verdictsOf(found, source, destination, transport),
          `${sender} ${receiver} ${JSON.stringify(transport)}`,
        ).toEqual(expected);
      }
    },
  );
  // Draws on until enough packets were met of either fate.
  for (let round = 0; Math.min(seen.accept, seen.drop) < ENOUGH; round++)
    fc.assert(property, { numRuns: 10, ...seedOf(round) });
});

function seedOf(round: number): { readonly seed?: number } {
  return round === 0 ? {} : { seed: (fc.readConfigureGlobal().seed ?? 1) + round };
}

function rangeOf({ family, network, length }: Prefix): { readonly first: bigint; readonly last: bigint } {
  return { first: network, last: network + (1n << BigInt(familyBits(family) - length)) - 1n };
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
  expect(serviceTexts(SETS.slice(5))).toEqual([
    'udp 60-67,80-600 from port 68',
    'tcp 22,80-65535',
    'icmp',
    'ipv6-icmp',
    'protocols 2-5',
    'gre',
    'protocols 100-131',
    'protocols 200-255',
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
