/** What is loaded, as iptables-save(8) and `ipset save` list it, when others have had their hands in it. */
import { describe, expect, it } from 'vitest';
import {
  EMPTY_PROGRAM,
  planIptables,
  readIpsets,
  readIptables,
  type IpSet,
  type IptablesProgram,
} from '../../../compiler/index.js';
import { FAMILIES } from '../../../compiler/model/index.js';

const listed = (...rules: readonly string[]): string =>
  ['*mangle', ':PREROUTING ACCEPT [1:2]', ':pc-egress - [0:0]', ':theirs - [0:0]', ...rules, 'COMMIT', ''].join('\n');

const program = (listing: string): IptablesProgram => ({
  sets: [],
  families: { IPv4: readIptables(listing), IPv6: EMPTY_PROGRAM.families.IPv6 },
});
const WANTED = program(listed('-A PREROUTING -j pc-egress'));

describe('rules of others in a chain of the kernel', () => {
  it.each([
    ['nothing', [], []],
    ['behind ours', ['-A PREROUTING -j pc-egress', '-A PREROUTING -j ACCEPT'], []],
  ])('%s: nothing is to be done', (_what, rules) => {
    const before = program(listed(...(rules.length === 0 ? ['-A PREROUTING -j pc-egress'] : rules)));
    expect(planIptables(before, WANTED).steps).toEqual([]);
  });

  it.each([
    ['an accept', '-j ACCEPT', true],
    ['a return', '-s 10.0.0.1/32 -j RETURN', true],
    ['a queue', '-j NFQUEUE --queue-num 1', true],
    ['a mark', '-j MARK --set-xmark 0x5/0xffffffff', false],
    ['a rule that only counts', '-s 10.0.0.1/32', false],
    ['a chain in which packets go on', '-j theirs', false, ['-A theirs -j LOG', '-A theirs -p tcp -j RETURN']],
    ['a chain that accepts', '-j theirs', true, ['-A theirs -p tcp -j ACCEPT']],
    ['a chain that it goes to for good', '-g theirs', true, ['-A theirs -j LOG']],
  ])(
    '%s before ours: ours goes to the front at once, and it is known whether packets may end there',
    (_what, rule, isTerminal, more = []) => {
      const before = program(listed(`-A PREROUTING ${rule}`, '-A PREROUTING -j pc-egress', ...more));
      const { changes, steps } = planIptables(before, WANTED);
      expect(changes).toMatchObject([{ name: 'PREROUTING', overtaking: [{ text: rule, isTerminal }] }]);
      expect(steps.map((step) => (step.kind === 'rules' ? step.text : ''))).toEqual([
        '*mangle\n-D PREROUTING -j pc-egress\n-I PREROUTING 1 -j pc-egress\nCOMMIT\n',
      ]);
    },
  );

  it('a chain of somebody else’s that leads to one of ours stays theirs, less that', () => {
    const before = program(listed('-A PREROUTING -j pc-egress', '-A theirs -j LOG', '-A theirs -j pc-egress'));
    expect(planIptables(before, WANTED).steps.map((step) => (step.kind === 'rules' ? step.text : ''))).toEqual([
      '*mangle\n-D theirs -j pc-egress\nCOMMIT\n',
    ]);
  });
});

describe('a set of our name', () => {
  const ours = 'create pc-x hash:ip family inet hashsize 1024 maxelem 1048576 bucketsize 12 initval 0x1234';

  it('is ours as we make it', () => {
    expect(readIpsets(`${ours}\nadd pc-x 10.0.0.1\n`)).toEqual([
      { name: 'pc-x', type: 'hash:ip', family: 'IPv4', capacity: 1_048_576, entries: ['10.0.0.1'] },
    ]);
  });

  it.each(FAMILIES)('of ports is ours as we make it, for the rules of %s', (family) => {
    const set = { name: 'pc-x', type: 'bitmap:port', family, entries: ['1', '3-4'] } as const;
    const loaded = readIpsets('create pc-x bitmap:port range 0-65535\nadd pc-x 1\nadd pc-x 3\nadd pc-x 4\n');
    const { families } = WANTED;
    expect(planIptables({ sets: loaded, families }, { sets: [set], families }).changes).toEqual([]);
  });

  it.each([
    ['whose entries are networks', `${ours} netmask 8\n`],
    ['whose entries go', `${ours} timeout 5\nadd pc-x 10.0.0.1 timeout 4\n`],
    ['whose entries do not match', `${ours.replace('hash:ip', 'hash:net')}\nadd pc-x 10.0.0.0/8 nomatch\n`],
    ['that holds not all ports', 'create pc-x bitmap:port range 0-100\n'],
    ['of a kind that is swapped for it', 'create pc-x bitmap:ip range 10.0.0.0-10.0.0.255\n'],
  ])('%s is none of ours, and is replaced', (_what, listing) => {
    const before = readIpsets(listing);
    const set = { name: 'pc-x', type: before[0]?.type ?? 'hash:ip', family: 'IPv4', entries: [] } as const;
    const { families } = WANTED;
    const plan = planIptables({ sets: before, families }, { sets: [set], families });
    expect(plan.changes).toMatchObject([{ kind: 'replace-set', set: { name: 'pc-x' } }]);
  });

  it('takes as many entries as it is to hold, one over what most take, too', () => {
    const entries = Array<string>(1_048_577).fill('10.0.0.1');
    const set = { name: 'pc-x', type: 'hash:ip', family: 'IPv4', entries } as const;
    const made = (before: readonly IpSet[]): readonly string[] =>
      planIptables({ ...WANTED, sets: before }, { ...WANTED, sets: [set] }).steps.flatMap((step) =>
        step.kind === 'sets' ? step.text.split('\n', 1) : [],
      );
    expect(made([])).toEqual(['create pc-x hash:ip family inet maxelem 2097152 -exist']);
    expect(made(readIpsets(ours))).toEqual(['create pc-spare hash:ip family inet maxelem 2097152']);
    expect(made([{ ...set, capacity: 4_194_304 }])).toEqual([]);
  });

  it.each([
    ['of prefixes', 'create pc-x hash:net family inet'],
    ['of the other family', 'create pc-x hash:ip family inet6'],
    ['of ports', 'create pc-x bitmap:port range 0-65535'],
    ['of addresses with ports', 'create pc-x hash:ip,port family inet hashsize 1024 maxelem 65536'],
    ['of MAC addresses', 'create pc-x hash:mac hashsize 1024 maxelem 65536'],
    ['of sets', 'create pc-x list:set size 8'],
  ])('%s where addresses are wanted is made anew: the kernel swaps none of another kind', (_what, listing) => {
    const set = { name: 'pc-x', type: 'hash:ip', family: 'IPv4', entries: ['10.0.0.1'] } as const;
    const { families } = WANTED;
    const { steps } = planIptables({ sets: readIpsets(listing), families }, { sets: [set], families });
    expect(steps.map((step) => (step.kind === 'sets' ? step.text.split('\n') : ''))).toEqual([
      ['destroy pc-x', 'create pc-x hash:ip family inet maxelem 1048576 -exist', 'flush pc-x', 'add pc-x 10.0.0.1', ''],
    ]);
  });

  it('of a type that we never make goes, and does not come back with former rules', () => {
    const sets = readIpsets('create pc-x list:set size 8\nadd pc-x theirs');
    const stepsTo = (before: typeof sets, after: typeof sets): readonly unknown[] =>
      planIptables({ ...WANTED, sets: before }, { ...WANTED, sets: after }).steps;
    expect(stepsTo(sets, [])).toEqual([{ kind: 'destroy-sets', names: ['pc-x'] }]);
    expect(stepsTo([], sets)).toEqual([]);
  });
});
