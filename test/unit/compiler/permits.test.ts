/** `mergeRules`: the same packets as the rules let pass one by one, told without repeating anything. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mergeRules, type Permits, type Services } from '../../../compiler/permits.js';
import {
  covers,
  FAMILIES,
  makePrefix,
  type Family,
  type Prefix,
  type Remote,
  type SecurityGroupRule,
  type Service,
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
const bitsOf = (family: Family): number => (family === 'IPv4' ? 32 : 128);
const addressOf = (family: Family, number: number): Prefix =>
  makePrefix(family, BASE[family] + BigInt(number), bitsOf(family));

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
      remote.kind === 'prefix'
        ? {
            kind: 'prefix',
            prefix: makePrefix(family, BASE[family] + BigInt(remote.number), bitsOf(family) - remote.short),
          }
        : remote;
    return { ...rest, family, remote: known, id: 'rule', description: '' };
  });
const RULES = fc.array(RULE, { maxLength: 16 });
const OFTEN = { numRuns: 400 };

/** What a rule tells packets apart by: an ICMP type stands where others have a destination port. */
interface Probe {
  readonly family: Family;
  readonly protocol: number;
  readonly number: number;
  readonly code: number;
  readonly address: Prefix;
  /** Of which kinds of groups the other end is a member. */
  readonly memberOf: readonly string[];
}

const PROBES: readonly Probe[] = FAMILIES.flatMap((family) =>
  [1, 6, 17, 47, 58].flatMap((protocol) =>
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].flatMap((number) =>
      [0, 2, 7, 9].flatMap((other) =>
        [[], ['security-group'], ['address-group']].map((memberOf) => {
          return { family, protocol, number, code: number % 4, address: addressOf(family, other), memberOf };
        }),
      ),
    ),
  ),
);

function isOfService(service: Service, { protocol, number, code }: Probe): boolean {
  switch (service.kind) {
    case 'any':
      return true;
    case 'protocol':
      return service.protocol === protocol;
    case 'ports':
      return service.protocol === protocol && service.first <= number && number <= service.last;
    case 'icmp':
      return (
        service.protocol === protocol &&
        service.type === number &&
        (service.code === undefined || service.code === code)
      );
  }
}

function isOfRemote(remote: Remote, { address, memberOf }: Probe): boolean {
  switch (remote.kind) {
    case 'any':
      return true;
    case 'prefix':
      return covers(remote.prefix, address);
    case 'security-group':
    case 'address-group':
      return memberOf.includes(remote.kind);
    case 'unknown':
      return false;
  }
}

/** How many parts of it let the packet pass. */
function countIn(services: Services, { protocol, number, code }: Probe): number {
  const isCode = (range: { readonly first: number; readonly last: number }): boolean =>
    range.first <= code && code <= range.last;
  return [
    services.all,
    ...services.protocols.map((one) => one === protocol),
    ...services.ports.map((one) => one.protocol === protocol && one.first <= number && number <= one.last),
    ...services.icmp.map((one) => one.protocol === protocol && one.type === number && isCode(one)),
  ].filter(Boolean).length;
}

function isPermitted(permits: Permits, probe: Probe): boolean {
  const { family, address, memberOf } = probe;
  const { all, protocols, ports, icmp } = permits.prefixes[family];
  const boxes: readonly (readonly [Prefix, Services])[] = [
    ...all.map((prefix) => [prefix, { ...NONE, all: true }] as const),
    ...protocols.map(({ prefix, protocol }) => [prefix, { ...NONE, protocols: [protocol] }] as const),
    ...ports.map((box) => [box.prefix, { ...NONE, ports: [box] }] as const),
    ...icmp.map((box) => [box.prefix, { ...NONE, icmp: [box] }] as const),
  ];
  return (
    countIn(permits.anywhere[family], probe) > 0 ||
    permits.members.some(
      (one) => one.family === family && memberOf.includes(one.kind) && countIn(one.services, probe) > 0,
    ) ||
    boxes.some(([prefix, services]) => covers(prefix, address) && countIn(services, probe) > 0)
  );
}

const NONE: Services = { all: false, protocols: [], ports: [], icmp: [] };

it('lets those packets pass that a rule of the direction does, and no other', () => {
  fc.assert(
    fc.property(RULES, (rules) => {
      for (const direction of ['ingress', 'egress'] as const) {
        const permits = mergeRules(rules, direction);
        const mine = rules.filter((rule) => rule.direction === direction);
        const differing = PROBES.filter(
          (probe) =>
            isPermitted(permits, probe) !==
            mine.some(
              (rule) =>
                rule.family === probe.family && isOfService(rule.service, probe) && isOfRemote(rule.remote, probe),
            ),
        );
        expect(differing).toEqual([]);
      }
    }),
  );
});

it('tells nothing twice: no part of a union lies in another, nor in what is open to anywhere', () => {
  fc.assert(
    fc.property(RULES, (rules) => {
      const { anywhere, members, prefixes } = mergeRules(rules, 'ingress');
      const unions = [...Object.values(anywhere), ...members.map(({ services }) => services)];
      for (const services of unions) {
        expect(PROBES.filter((probe) => countIn(services, probe) > 1)).toEqual([]);
      }
      for (const { family, services } of members) {
        if (anywhere[family].all) expect(services).toEqual(NONE);
        for (const protocol of services.protocols) expect(anywhere[family].protocols).not.toContain(protocol);
      }
      for (const family of FAMILIES) {
        const { all, protocols, ports } = prefixes[family];
        if (anywhere[family].all) expect(prefixes[family]).toEqual({ all: [], protocols: [], ports: [], icmp: [] });
        const narrow = [...protocols, ...ports].map(({ prefix }) => prefix);
        expect(narrow.filter((prefix) => all.some((wide) => covers(wide, prefix)))).toEqual([]);
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
