/** Which of many packets pass: exactly those that pass one by one. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  between,
  explain,
  explainSet,
  type End,
  type Ends,
  type ServiceSet,
  type SetExplanation,
} from '../../../compiler/explain/index.js';
import type { JudgeContext } from '../../../compiler/semantics/index.js';
import { holds } from '../../../compiler/explain/partition.js';
import { DEFAULT_OPTIONS } from '../../../compiler/options.js';
import {
  lastAddress,
  parsePrefix,
  type Family,
  type Prefix,
  type Topology,
  type Transport,
} from '../../../compiler/model/index.js';
import { arbitraryState, arbitraryTopology } from '../../support/arbitrary-topology.js';
import { exact } from '../../support/world.js';

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
const ENOUGH = 60;

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
    fc.assert(property, { numRuns: 5, ...seedOf(round) });
});

function seedOf(round: number): { readonly seed?: number } {
  return round === 0 ? {} : { seed: (fc.readConfigureGlobal().seed ?? 1) + round };
}

function rangeOf(prefix: Prefix): { readonly first: bigint; readonly last: bigint } {
  return { first: prefix.network, last: lastAddress(prefix) };
}
