/** `mergeRules`: the same packets as the oracle lets pass rule by rule, told without repeating anything. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DEFAULT_OPTIONS } from '../../../compiler/index.js';
import { mergeRules, type Permits, type Services } from '../../../compiler/permits.js';
import { ruleMismatches, type JudgeContext } from '../../../compiler/semantics/index.js';
import {
  covers,
  EMPTY_TOPOLOGY,
  FAMILIES,
  familyBits,
  makePrefix,
  type Family,
  type IpPacket,
  type Prefix,
  type Remote,
  type SecurityGroupRule,
  type Service,
  type Transport,
} from '../../../compiler/model/index.js';

/** Of IPv6 an extension header (RFC 8200), which is no packet's protocol; of IPv4 a protocol as any other. */
const EXTENSION_HEADER = 44;

const SERVICE: fc.Arbitrary<Service> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Service>({ kind: 'any' }) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(1, 6, 17, EXTENSION_HEADER, 58)
      .map((protocol): Service => ({ kind: 'protocol', protocol })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({
        protocol: fc.constantFrom(6 as const, 17 as const),
        first: fc.integer({ min: 1, max: 8 }),
        more: fc.integer({ min: 0, max: 3 }),
      })
      .map(({ protocol, first, more }): Service => ({ kind: 'ports', protocol, first, last: first + more })),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('icmp' as const),
      protocol: fc.constantFrom(1 as const, 58 as const),
      type: fc.constantFrom(3, 8),
      code: fc.constantFrom(undefined, 0, 1, 2),
    }),
  },
);

const BASE: Readonly<Record<Family, bigint>> = { IPv4: 0x0a000000n, IPv6: 0xfd00n << 112n };
const prefixOf = (family: Family, number: number, short: number): Prefix =>
  makePrefix(family, BASE[family] + BigInt(number), familyBits(family) - short);
const addressOf = (family: Family, number: number): Prefix => prefixOf(family, number, 0);

const RULE: fc.Arbitrary<SecurityGroupRule> = fc
  .record({
    direction: fc.constantFrom('ingress' as const, 'ingress' as const, 'egress' as const),
    family: fc.constantFrom(...FAMILIES),
    service: SERVICE,
    remote: fc.oneof(
      fc.constant({ kind: 'any' as const }),
      fc.constant({ kind: 'unknown' as const, reference: 'a' }),
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constantFrom('security-group' as const, 'address-group' as const),
          id: fc.constant('a'),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('prefix' as const), number: fc.nat(7), short: fc.nat(3) }),
      },
    ),
  })
  .map(({ remote, family, ...rest }) => {
    const known: Remote =
      remote.kind === 'prefix' ? { kind: 'prefix', prefix: prefixOf(family, remote.number, remote.short) } : remote;
    return { ...rest, family, remote: known, id: 'rule', description: '' };
  });
const RULES = fc.array(RULE, { maxLength: 16, size: 'max' });
const OFTEN = { numRuns: 300 };

/** The other ends: within prefixes and without, in the remote group, in the address group. */
const OTHERS = [0, 2, 7, 9, 10, 11];
const MEMBERS: Readonly<Record<'security-group' | 'address-group', readonly number[]>> = {
  'security-group': [7, 10],
  'address-group': [2, 11],
};
const isMember = (kind: 'security-group' | 'address-group', { family, text }: Prefix): boolean =>
  MEMBERS[kind].some((number) => addressOf(family, number).text === text);

/** Whom the oracle asks for members. */
const CONTEXT: JudgeContext = {
  topology: {
    ...EMPTY_TOPOLOGY,
    addressGroups: new Map([
      [
        'a',
        {
          id: 'a',
          name: '',
          projectId: '',
          prefixes: FAMILIES.flatMap((family) => MEMBERS['address-group'].map((number) => addressOf(family, number))),
        },
      ],
    ]),
  },
  widestPairLength: DEFAULT_OPTIONS.widestPairLength,
  isMember: (kind, _id, address) => isMember(kind, address),
};

const TRANSPORTS: readonly Transport[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].flatMap((destinationPort) =>
    ([6, 17] as const).map((protocol) => ({ kind: 'ports' as const, protocol, sourcePort: 1, destinationPort })),
  ),
  ...[3, 8, 9].flatMap((type) =>
    [0, 1, 2, 3].flatMap((code) =>
      ([1, 58] as const).map((protocol) => ({ kind: 'icmp' as const, protocol, type, code })),
    ),
  ),
  { kind: 'other', protocol: 47 },
  { kind: 'other', protocol: EXTENSION_HEADER },
];

/** The other end is at both of a packet's, so that it is the same for either direction. */
const PROBES: readonly IpPacket[] = FAMILIES.flatMap((family) =>
  TRANSPORTS.flatMap((transport) =>
    OTHERS.map((number) => {
      const address = addressOf(family, number);
      return { kind: 'ip', source: address, destination: address, transport };
    }),
  ),
);

/** How many parts of it let the packet pass. */
function countIn(services: Services, { transport }: IpPacket): number {
  const isIn = (range: { readonly first: number; readonly last: number }, number: number): boolean =>
    range.first <= number && number <= range.last;
  return [
    services.all,
    ...services.protocols.map((protocol) => protocol === transport.protocol),
    ...services.ports.map(
      (one) =>
        transport.kind === 'ports' && one.protocol === transport.protocol && isIn(one, transport.destinationPort),
    ),
    ...services.icmp.map(
      (one) =>
        transport.kind === 'icmp' &&
        one.protocol === transport.protocol &&
        one.type === transport.type &&
        isIn(one, transport.code),
    ),
  ].filter(Boolean).length;
}

function isPermitted(permits: Permits, packet: IpPacket): boolean {
  const { source: address } = packet;
  const { family } = address;
  const { all, protocols, ports, icmp } = permits.prefixes[family];
  const boxes: readonly (readonly [Prefix, Services])[] = [
    ...all.map((prefix) => [prefix, { ...NONE, all: true }] as const),
    ...protocols.map(({ prefix, protocol }) => [prefix, { ...NONE, protocols: [protocol] }] as const),
    ...ports.map((box) => [box.prefix, { ...NONE, ports: [box] }] as const),
    ...icmp.map((box) => [box.prefix, { ...NONE, icmp: [box] }] as const),
  ];
  return (
    countIn(permits.anywhere[family], packet) > 0 ||
    permits.members.some(
      (one) => one.family === family && isMember(one.kind, address) && countIn(one.services, packet) > 0,
    ) ||
    boxes.some(([prefix, services]) => covers(prefix, address) && countIn(services, packet) > 0)
  );
}

const NONE: Services = { all: false, protocols: [], ports: [], icmp: [] };

it('lets those packets pass that a rule of the direction does, and no other', () => {
  fc.assert(
    fc.property(RULES, (rules) => {
      for (const direction of ['ingress', 'egress'] as const) {
        const permits = mergeRules(rules, direction);
        const isLetPass = (packet: IpPacket): boolean =>
          rules.some((rule) => ruleMismatches(CONTEXT, rule, direction, packet).length === 0);
        const differing = PROBES.filter((packet) => isPermitted(permits, packet) !== isLetPass(packet));
        expect(differing).toEqual([]);
      }
    }),
    OFTEN,
  );
});

it('tells nothing twice: no part of a union lies in another, nor in what is open to anywhere', () => {
  fc.assert(
    fc.property(RULES, (rules) => {
      const { anywhere, members, prefixes } = mergeRules(rules, 'ingress');
      const unions = [...Object.values(anywhere), ...members.map(({ services }) => services)];
      for (const services of unions) {
        expect(PROBES.filter((packet) => countIn(services, packet) > 1)).toEqual([]);
      }
      for (const { family, services } of members) {
        if (anywhere[family].all) expect(services).toEqual(NONE);
        for (const protocol of services.protocols) expect(anywhere[family].protocols).not.toContain(protocol);
      }
      for (const family of FAMILIES) {
        const { all, protocols, ports, icmp } = prefixes[family];
        const boxed = [...protocols, ...ports, ...icmp].map(({ prefix }) => prefix);
        expect([...all, ...boxed].filter((prefix) => prefix.family !== family)).toEqual([]);
        if (anywhere[family].all) expect(prefixes[family]).toEqual({ all: [], protocols: [], ports: [], icmp: [] });
        expect(boxed.filter((prefix) => all.some((wide) => covers(wide, prefix)))).toEqual([]);
        const isInside = (inner: (typeof ports)[number]): boolean =>
          ports.some(
            (outer) =>
              outer !== inner &&
              covers(outer.prefix, inner.prefix) &&
              outer.protocol === inner.protocol &&
              outer.first <= inner.first &&
              inner.last <= outer.last,
          );
        expect(ports.filter(isInside)).toEqual([]);
      }
    }),
    OFTEN,
  );
});

it('no two codes of an ICMP type overlap, whatever prefixes nest: they become keys of one set, of which the kernel refuses such', () => {
  const rule = (code: number, length: number): SecurityGroupRule => ({
    ...{ id: 'rule', description: '', direction: 'ingress', family: 'IPv4' },
    service: { kind: 'icmp', protocol: 1, type: 3, code },
    remote: { kind: 'prefix', prefix: makePrefix('IPv4', BASE.IPv4, length) },
  });
  const { prefixes } = mergeRules([rule(0, 8), rule(1, 8), rule(1, 24), rule(2, 24)], 'ingress');
  const told = prefixes.IPv4.icmp.map(({ prefix, first, last }) => [prefix.length, first, last]);
  expect(told).toEqual([
    [8, 0, 0],
    [8, 1, 1],
    [24, 2, 2],
  ]);
});

it('says the same whatever order the rules come in, and of each rule said twice', () => {
  fc.assert(
    fc.property(RULES, (rules) => {
      for (const direction of ['ingress', 'egress'] as const) {
        const permits = mergeRules(rules, direction);
        expect(mergeRules([...rules].reverse(), direction)).toEqual(permits);
        expect(mergeRules([...rules, ...rules], direction)).toEqual(permits);
      }
    }),
  );
});

it('joins neighbouring ports and prefixes, and passes over what no packet can be', () => {
  const rule = (service: Service, remote: Remote = { kind: 'any' }, family: Family = 'IPv4'): SecurityGroupRule => {
    return { id: 'rule', description: '', direction: 'ingress', family, service, remote };
  };
  const tcp = (first: number, last = first): Service => ({ kind: 'ports', protocol: 6, first, last });
  const half = (number: number): Remote => ({ kind: 'prefix', prefix: makePrefix('IPv4', BigInt(number) << 7n, 25) });
  const { anywhere, prefixes } = mergeRules(
    [
      ...[rule(tcp(80)), rule(tcp(81)), rule(tcp(443, 500)), rule(tcp(450, 600))],
      ...[rule(tcp(22), half(0)), rule(tcp(22), half(1)), rule(tcp(80), half(0))],
      rule({ kind: 'protocol', protocol: EXTENSION_HEADER }, { kind: 'any' }, 'IPv6'),
    ],
    'ingress',
  );
  expect(anywhere).toEqual({
    IPv4: {
      ...NONE,
      ports: [
        { protocol: 6, first: 80, last: 81 },
        { protocol: 6, first: 443, last: 600 },
      ],
    },
    IPv6: NONE,
  });
  expect(prefixes.IPv4.ports).toEqual([{ protocol: 6, first: 22, last: 22, prefix: makePrefix('IPv4', 0n, 24) }]);
});
