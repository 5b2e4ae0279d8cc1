/** Rules of iptables as data, and as iptables-save(8) lists them: one is read of the other, and nothing is lost of what others wrote. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  EMPTY_PROGRAM,
  iptablesProgram,
  planIptables,
  printIptables,
  readCountedRules,
  readIptables,
  type Datapath,
  type IptablesProgram,
} from '../../../compiler/index.js';
import { readRule } from '../../../compiler/iptables/read-rule.js';
import type { IptablesRule, Match, RulePrefix, Target } from '../../../compiler/iptables/rule.js';
import { printRule, sameRule } from '../../../compiler/iptables/rule-text.js';
import { FAMILIES, makePrefix, parseTopology } from '../../../compiler/model/index.js';
import { arbitraryDocument } from '../../support/arbitrary-topology.js';

const number = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
const bits = number(0xffff_ffff);
const chain = fc.stringMatching(/^pc-[a-z0-9_.-]{1,20}$/);
const device = fc.oneof(
  fc.constantFrom('tap1', 'tap+', 'tap#;!$', 'a"b', 'a\\b', "it's", '"'),
  fc.stringMatching(/^[!-,.-~][!-~]{0,14}$/),
);

const prefix: fc.Arbitrary<RulePrefix> = fc.oneof(
  fc.tuple(number(2 ** 32 - 1), fc.integer({ min: 1, max: 32 })).map(([address, length]) => {
    const { text } = makePrefix('IPv4', BigInt(address), length);
    return { text, length };
  }),
  fc.tuple(fc.bigInt(0n, 2n ** 128n - 1n), fc.integer({ min: 1, max: 128 })).map(([address, length]) => {
    const { text } = makePrefix('IPv6', address, length);
    return { text, length };
  }),
);

const range = fc
  .tuple(number(65_535), number(65_535))
  .map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));

/** One of each kind of our own: what is missing here does not compile. */
const MATCHES: Readonly<Record<Exclude<Match['kind'], 'other'>, fc.Arbitrary<Match>>> = {
  mac: fc.record({ kind: fc.constant('mac' as const), mac: fc.constantFrom('fa:16:3e:00:00:01', '02:00:00:00:00:ff') }),
  set: fc.record({
    kind: fc.constant('set' as const),
    set: chain,
    side: fc.constantFrom('src' as const, 'dst' as const),
  }),
  ports: fc.record({
    kind: fc.constant('ports' as const),
    ranges: fc.array(range, { minLength: 1, maxLength: 15 }),
  }),
  udp: fc.record({ kind: fc.constant('udp' as const), from: number(65_535), to: number(65_535) }),
  icmp: fc.record({
    kind: fc.constant('icmp' as const),
    type: number(255),
    code: fc.option(number(255), { nil: undefined }),
  }),
  icmpv6: fc.record({
    kind: fc.constant('icmpv6' as const),
    type: number(255),
    code: fc.option(number(255), { nil: undefined }),
  }),
  connmark: fc.record({ kind: fc.constant('connmark' as const), value: bits, mask: bits }),
  direction: fc.record({
    kind: fc.constant('direction' as const),
    direction: fc.constantFrom('ORIGINAL' as const, 'REPLY' as const),
  }),
  state: fc.record({
    kind: fc.constant('state' as const),
    states: fc.subarray(['NEW', 'RELATED', 'ESTABLISHED', 'INVALID'], { minLength: 1 }),
  }),
  'packet-type': fc.record({
    kind: fc.constant('packet-type' as const),
    type: fc.constantFrom('broadcast', 'multicast', 'unicast'),
  }),
  'bridge-input': fc.record({ kind: fc.constant('bridge-input' as const), device }),
  'bridge-output': fc.record({ kind: fc.constant('bridge-output' as const), device }),
  'not-bridged': fc.constant({ kind: 'not-bridged' }),
  u32: fc.record({
    kind: fc.constant('u32' as const),
    tests: fc.constantFrom('0x3&0xff=0x3a', '0x30&0xff=0x1&&0x34&0x0=0x0'),
  }),
};
const TARGETS: Readonly<Record<Exclude<Target['kind'], 'other'>, fc.Arbitrary<Target>>> = {
  jump: fc.record({ kind: fc.constant('jump' as const), chain }),
  goto: fc.record({ kind: fc.constant('goto' as const), chain }),
  verdict: fc.record({
    kind: fc.constant('verdict' as const),
    verdict: fc.constantFrom('ACCEPT' as const, 'DROP' as const, 'RETURN' as const),
  }),
  zone: fc.record({ kind: fc.constant('zone' as const), zone: number(65_535) }),
  notrack: fc.constant({ kind: 'notrack' }),
  mark: fc.record({ kind: fc.constant('mark' as const), value: bits, mask: bits }),
  connmark: fc.record({ kind: fc.constant('connmark' as const), value: bits, mask: bits }),
};

const maybe = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(some, { nil: undefined });
const rule: fc.Arbitrary<IptablesRule> = fc.record({
  source: maybe(prefix),
  destination: maybe(prefix),
  input: maybe(device),
  output: maybe(device),
  protocol: maybe(number(255)),
  notProtocol: maybe(number(255)),
  matches: maybe(fc.array(fc.oneof(...Object.values(MATCHES)), { minLength: 1, maxLength: 4 })),
  target: maybe(fc.oneof(...Object.values(TARGETS))),
});
/** Nothing at all is not listed as a rule. */
const listedRule = rule.filter((one) => printRule(one) !== '');

describe('a rule of ours', () => {
  it('is read back as what it was', () => {
    fc.assert(
      fc.property(listedRule, (one) => {
        expect(readRule(printRule(one))).toEqual(one);
      }),
      { numRuns: 2000 },
    );
  });

  it('is the same as another one where both are listed alike, and only there', () => {
    const fields = [
      'source',
      'destination',
      'input',
      'output',
      'protocol',
      'notProtocol',
      'matches',
      'target',
    ] as const;
    const pairs = fc
      .tuple(listedRule, listedRule, fc.subarray([...fields]))
      // Of two rules that have nothing in common little is learnt: the other one differs in some of its parts alone.
      .map(
        ([one, two, some]) =>
          [one, { ...one, ...Object.fromEntries(some.map((field) => [field, two[field]])) }] as const,
      );
    fc.assert(
      fc.property(pairs, ([one, two]) => {
        const again = readRule(printRule(two));
        expect(sameRule(one, again)).toBe(printRule(one) === printRule(two));
        expect(sameRule(two, again)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('whatever is listed', () => {
  it.each([
    '! -s 10.0.0.0/8 -i eth0 -j ACCEPT',
    '-s 10.0.0.0/255.0.255.0 -j DROP',
    '-i eth0 -s 10.0.0.1/32 -j DROP',
    '-s 10.0.0.1/032 -j DROP',
    '-p tcp -m tcp --dport 22 ! --tcp-flags SYN,ACK SYN -j ACCEPT',
    '-p tcp -m multiport ! --dports 22,80:90 -j ACCEPT',
    '-p nosuchprotocol -j ACCEPT',
    '-m set ! --match-set pc-x src -j DROP',
    '-m set --match-set pc-x src,dst -j DROP',
    '-m mac --mac-source FA:16:3E:00:00:01 -m limit --limit 5/min -j LOG --log-prefix "a \\"b\\" -j DROP "',
    '-m comment --comment "say -j ACCEPT  twice" -m connmark --mark 0x1 -j RETURN',
    '-m connmark --mark 0x0001/0xff -j pc-x',
    '-m icmp6 --icmpv6-type 8/x -g theirs',
    '-m physdev --physdev-in tap1 --physdev-out tap2 -j pc-x',
    '-m conntrack ! --ctstate NEW -j CT --zone-orig 5',
    '-j CT --zone 5 --helper ftp',
    '-j CT --notrack --zone 5',
    '-j MARK --set-xmark 0x5',
    '-j MARK --or-mark 0x5/0x5',
    '-j NFQUEUE --queue-num 1 --queue-bypass',
    '-g pc-x extra',
    '-m',
    '-j',
    '-s',
    '"',
  ])('%s is kept as it stands', (listed) => {
    expect(printRule(readRule(listed))).toBe(listed);
  });

  it('is kept as it stands: any words', () => {
    const words = fc.constantFrom(
      ...[
        '-s',
        '-d',
        '-i',
        '-o',
        '!',
        '-m',
        '-j',
        '-g',
        'mac',
        '--mac-source',
        'set',
        '--match-set',
        'src',
        'conntrack',
      ],
      ...['--ctstate', '--ctdir', 'NEW', 'REPLY', 'physdev', '--physdev-in', '--physdev-is-bridged', 'udp', '--sport'],
      ...[
        '10.0.0.1/32',
        '10.0.0.0/8',
        '::1/128',
        '0.0.0.0/0',
        'tap1',
        '"a b"',
        '"-j"',
        '"a\\"b"',
        'pc-x',
        'DROP',
        'CT',
        '',
      ],
      ...[
        '--zone',
        '5',
        '05',
        '0x5/0x5',
        '--set-xmark',
        'MARK',
        'u32',
        '--u32',
        '"0x3&0xff=0x3a"',
        'multiport',
        '--dports',
      ],
      ...['1,2:3', '3:3', '--dport', 'icmp', 'icmp6', '--icmp-type', '--icmpv6-type', '8/0', 'connmark', '--mark', '"'],
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 12 }), (some) => {
        const listed = some.join(' ');
        expect(printRule(readRule(listed))).toBe(listed);
      }),
      { numRuns: 5000 },
    );
  });

  it('says what it asks beside a target of ours, though it be of no form of ours', () => {
    expect(readRule('-s 10.0.0.0/8 -m limit --limit 5/min -m mac --mac-source fa:16:3e:00:00:01 -j DROP')).toEqual({
      source: { text: '10.0.0.0/8', length: 8 },
      matches: [
        { kind: 'other', text: '-m limit --limit 5/min' },
        { kind: 'mac', mac: 'fa:16:3e:00:00:01' },
      ],
      target: { kind: 'verdict', verdict: 'DROP' },
    });
  });

  it('leads where it leads, whatever is in quotes', () => {
    expect(readRule('-m comment --comment "say -j ACCEPT" -g pc-x')).toEqual({
      matches: [{ kind: 'other', text: '-m comment --comment "say -j ACCEPT"' }],
      target: { kind: 'goto', chain: 'pc-x' },
    });
  });

  it('counts in chains of ours alone, and what a rule asks is said as it is listed', () => {
    const listing = [
      '*mangle',
      ':pc-x - [0:0]',
      '[1:2] -A PREROUTING -j pc-x',
      '[3:4] -A pc-x -p igmp -m limit --limit 5/min -j DROP',
      '[5:6] -A pc-x -j pc-y',
      '[7:8] -A pc-x -s 10.0.0.1/32',
    ].join('\n');
    expect(
      readCountedRules(listing).map(({ chain: of, asked, packets, bytes }) => [of, asked, packets, bytes]),
    ).toEqual([
      ['pc-x', '-p igmp -m limit --limit 5/min', 3, 4],
      ['pc-x', '', 5, 6],
      ['pc-x', '-s 10.0.0.1/32', 7, 8],
    ]);
  });
});

describe('a program', () => {
  const programOf = (content: unknown, datapath: Datapath): IptablesProgram => {
    const { topology } = parseTopology([{ file: 'test', content }]);
    const options = { ...DEFAULT_OPTIONS, datapath };
    return iptablesProgram(compile(topology, () => true, options).policy, options);
  };
  /** What the kernel's own chains hold is appended where nothing else is. */
  const listingOf = (program: IptablesProgram, family: 'IPv4' | 'IPv6'): string =>
    printIptables(program, family)
      .replaceAll(/^-I (\S+) \d+ /gm, '-A $1 ')
      .replaceAll(/^\*\w+$/gm, '$&\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]');

  it('is read as what it was from how it is listed, chain by chain and zone by zone, and there is nothing to change', () => {
    fc.assert(
      fc.property(arbitraryDocument(), fc.constantFrom<Datapath>('routed', 'bridge-netfilter'), (content, datapath) => {
        const program = programOf(content, datapath);
        const families = {
          IPv4: readIptables(listingOf(program, 'IPv4')),
          IPv6: readIptables(listingOf(program, 'IPv6')),
        };
        expect(planIptables({ sets: program.sets, families }, program).steps).toEqual([]);
        for (const family of FAMILIES) {
          const rulesOf = ({ families: of }: Pick<IptablesProgram, 'families'>): unknown => {
            const { zones, raw, mangle } = of[family];
            return [zones, [...raw, ...mangle].map(({ name, rules }): unknown => [name, rules]).sort()];
          };
          expect(plain(rulesOf({ families }))).toEqual(plain(rulesOf(program)));
        }
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['another rule', ['-p 2 -j DROP', '-j pc-y']],
    ['a rule more', ['-p 2 -j DROP', '-j pc-x', '-j pc-x']],
    ['a rule fewer', ['-p 2 -j DROP']],
    ['another order', ['-j pc-x', '-p 2 -j DROP']],
    ['nothing', []],
  ])('%s in a chain that is loaded is a change; a protocol by name is none', (_what, rules) => {
    const listed = (...some: readonly string[]): IptablesProgram => ({
      sets: [],
      families: {
        IPv4: readIptables(['*mangle', ':pc-c - [0:0]', ...some.map((one) => `-A pc-c ${one}`), 'COMMIT'].join('\n')),
        IPv6: EMPTY_PROGRAM.families.IPv6,
      },
    });
    const loaded = listed('-p igmp -j DROP', '-j pc-x');
    expect(planIptables(loaded, listed('-p 2 -j DROP', '-j pc-x')).changes).toEqual([]);
    expect(planIptables(loaded, listed(...rules)).changes).toMatchObject([{ kind: 'chain', name: 'pc-c' }]);
  });
});

/** Without what is undefined, and with prefixes as rules have them. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, of: unknown) =>
      (key === 'source' || key === 'destination') &&
      typeof of === 'object' &&
      of !== null &&
      'text' in of &&
      'length' in of
        ? { text: of.text, length: of.length }
        : typeof of === 'bigint'
          ? undefined
          : of,
    ),
  );
}
