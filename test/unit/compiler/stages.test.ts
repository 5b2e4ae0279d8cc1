/** What goes in before the transaction, and what goes behind it. The kernel's side is in kernel/under-way.test.ts and kernel/agent-history.test.ts. */
import { describe, expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  divideLarge,
  planReplacement,
  planTransaction,
  printStages,
  printTransaction,
  stateOf,
  type Table,
} from '../../../compiler/index.js';
import { parseTopology } from '../../../compiler/model/index.js';

interface Range {
  readonly first: number;
  readonly last: number;
}

function tables(
  ranges: readonly Range[],
  members: readonly string[] = [],
  groups: readonly string[] = ['g'],
  others: readonly string[] = [],
): readonly Table[] {
  const content = {
    ports: [
      {
        id: 'p',
        network_id: 'n',
        device: 'tapp',
        mac_address: '02:00:00:00:00:01',
        fixed_ips: [{ ip_address: '10.0.0.1' }],
        security_groups: groups,
      },
      ...others.map((id, index) => ({
        id,
        network_id: 'n',
        device: `tap${id}`,
        mac_address: `02:00:00:00:01:0${index.toString()}`,
        fixed_ips: [{ ip_address: `10.0.1.${index.toString()}` }],
        security_groups: ['g'],
      })),
    ],
    address_groups: [{ id: 'a', addresses: members }],
    security_groups: [
      { id: 'h', security_group_rules: [{ direction: 'ingress', ethertype: 'IPv4', protocol: 'sctp' }] },
      {
        id: 'g',
        security_group_rules: [
          ...ranges.map(({ first, last }) => ({
            direction: 'ingress',
            ethertype: 'IPv4',
            protocol: 'tcp',
            port_range_min: first,
            port_range_max: last,
          })),
          { direction: 'ingress', ethertype: 'IPv4', protocol: 'udp', remote_address_group_id: 'a' },
        ],
      },
    ],
  };
  const { topology, problems } = parseTopology([{ file: 't.json', content }]);
  expect(problems).toEqual([]);
  return compile(topology, () => true, DEFAULT_OPTIONS).ruleset.tables;
}

function stages(before: readonly Table[], after: readonly Table[]): readonly string[] {
  return printStages(planTransaction(after, before.map(stateOf)));
}

function sortedLines(text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

const one: Range = { first: 80, last: 80 };
/** More than have a rule each. */
const wide: readonly Range[] = [80, 90, 110, 120, 130, 140].map((first) => ({ first, last: first + 1 }));

/** As many as make a transaction long in which they go. */
const MANY = Array.from({ length: 1100 }, (_, index) => `10.8.${(index >> 8).toString()}.${(index & 255).toString()}`);

describe('stages of a transaction', () => {
  it('a new set of ranges and its elements go in before the rule that asks it', () => {
    const [early = '', main = '', ...more] = stages(tables([one]), tables(wide));
    expect(more).toEqual([]);
    expect(early).toMatch(
      /^add set \S+ portcullis (\S+_port_ranges) .*\nadd element \S+ portcullis \1 .*80-81.*90-91.*\n$/,
    );
    expect(main).not.toContain('80-81');
    expect(main).toMatch(/^add rule .*_port_ranges/m);
  });

  it('so does a new set of prefixes where something goes', () => {
    const of = (...prefixes: readonly string[]): readonly Table[] => tables([one], prefixes);
    const [early = '', main = '', ...more] = stages(of('10.9.0.1', '10.9.0.2'), of('10.9.0.1', '10.10.0.0/16'));
    expect(more).toEqual([]);
    expect(early).toMatch(/^add element inet portcullis ag_a_prefixes4 /m);
    expect(main).toMatch(/^delete element inet portcullis ag_a_addresses4 /m);
  });

  it('what a map will lead to comes before it does, with what is new with it', () => {
    const [early = '', main = '', ...more] = stages(tables([one]), tables([one], [], ['g', 'h']));
    expect(more).toEqual([]);
    expect(early).toMatch(
      /^add chain inet portcullis profile_(\w+)_in [^]*^add rule inet portcullis profile_\1_in jump sg_h_in/m,
    );
    expect(early).not.toMatch(/^(?!add chain|add rule|$)/m);
    expect(main).toMatch(/^add element inet portcullis to_port \{ "tapp" : goto profile_\w+_in \}/m);
    expect(main).not.toMatch(/^add (chain|rule)/m);
  });

  it('whatever changes, no map that is asked leads to a chain of the same stage, and none goes with what asks it', () => {
    const worlds = [
      [],
      tables([one]),
      tables(wide, ['10.1.0.0/16'], ['g', 'h']),
      tables(wide, [], ['h']),
      tables([]),
      tables([...wide, one], ['10.1.0.0/16', '10.9.0.1'], ['h'], ['q']),
      tables(wide.slice(1), ['10.9.0.1', '10.9.0.2'], ['g'], ['q']),
    ];
    for (const before of worlds) {
      for (const after of worlds) {
        const texts = stages(before, after);
        if (before.length > 0 && after.length > 0) {
          const whole = printTransaction(planTransaction(after, before.map(stateOf)));
          expect(sortedLines(texts.join(''))).toEqual(sortedLines(whole));
        }
        for (const text of texts) {
          const all = (pattern: RegExp): readonly string[] => [...text.matchAll(pattern)].map(([, name = '']) => name);
          const [newChains, newMaps] = [all(/^add chain inet \S+ (\S+)/gm), all(/^add map inet \S+ (\S+)/gm)];
          for (const [, map = '', elements = ''] of text.matchAll(/^add element inet \S+ (\S+) (.*)$/gm)) {
            if (newMaps.includes(map)) continue;
            const targets = [...elements.matchAll(/goto (\w+)/g)].map(([, chain]) => chain);
            expect(newChains.filter((chain) => targets.includes(chain))).toEqual([]);
          }
          const gone = all(/^delete chain \S+ \S+ (\S+)/gm);
          if (/^delete (map|table)/m.test(text))
            expect(gone.filter((chain) => /^(egress|ingress)$/.test(chain))).toEqual([]);
        }
      }
    }
  });

  it.each([
    ['a range', [...wide, { first: 100, last: 101 }], wide, /delete element \S+ \S+ \S+_port_ranges .*100-101/],
    ['a range, and another comes', wide, [...wide.slice(1), { first: 100, last: 101 }], /delete element .*80-81/],
  ])(
    'in a long transaction a member comes behind %s that goes, which would let it through',
    (_what, from, to, goes) => {
      const change = (many: readonly string[]): readonly string[] =>
        stages(tables(from, ['10.9.0.1', ...many]), tables(to, ['10.9.0.1', '10.9.0.2']));
      const [main = '', late, ...more] = change(MANY);
      expect(more).toEqual([]);
      expect(main).toMatch(goes);
      expect(late).toBe('add element inet portcullis ag_a_addresses4 { 10.9.0.2 }\n');
      expect(change([])).toHaveLength(1);
    },
  );

  it('in a long transaction a port comes to a group behind the range that goes, unless another one comes to the same set', () => {
    const change = (from: readonly Range[], to: readonly Range[], many = MANY): readonly string[] =>
      stages(tables(from, ['10.9.0.1', ...many], ['h'], ['q']), tables(to, ['10.9.0.1'], ['g'], ['q']));
    const third = { first: 100, last: 101 };
    const [early = '', main = '', ...more] = change([...wide, third], wide);
    expect(more).toEqual([]);
    expect(early).toMatch(/^delete element inet portcullis sg_g_in_port_ranges .*100-101 \}$/m);
    expect(main).toMatch(/^add element inet portcullis to_port /m);
    expect(main).not.toContain('100-101');
    expect(change(wide, [...wide.slice(1), third])).toHaveLength(1);
    expect(change([...wide, third], wide, [])).toHaveLength(1);
  });

  it('in a long transaction a prefix of members goes before a rule for them comes', () => {
    const members = ['10.9.0.0/16', '10.10.0.0/16'];
    const change = (many: readonly string[]): readonly string[] =>
      stages(tables([one], [...members, ...many]), tables([one, ...wide], ['10.9.0.0/16', ...many.slice(0, 1)]));
    const [early, main = '', ...more] = change(MANY);
    expect(more).toEqual([]);
    expect(early).toMatch(/^delete element inet portcullis ag_a_prefixes4 \{ 10\.10\.0\.0\/16 \}$/m);
    expect(main).not.toContain('ag_a_prefixes4 {');
    expect(change([]).at(-1)).toMatch(/^delete element inet portcullis ag_a_prefixes4 /m);
  });

  it('where a group loses a range nothing goes ahead of a large transaction: members that come may have to wait', () => {
    const change = (from: readonly Range[]): ReturnType<typeof divideLarge> =>
      divideLarge(planTransaction(tables(wide, ['10.9.0.0/16']), tables(from, MANY).map(stateOf)), 1);
    expect(change([...wide, { first: 100, last: 101 }]).ahead).toEqual([]);
    expect(change(wide).ahead.length).toBeGreaterThan(0);
  });

  it('what is in a new set of members is there when a rule asks it, though another rule goes', () => {
    const [early = '', main = '', ...more] = stages(
      tables([one], ['10.9.0.1']),
      tables([], ['10.9.0.1', '10.10.0.0/16']),
    );
    expect(more).toEqual([]);
    expect(early).toMatch(/^add element inet portcullis ag_a_prefixes4 /m);
    expect(main).toMatch(/^flush chain inet portcullis sg_g_in$/m);
  });

  it('members that a rule was for alone, and others, change places in one transaction', () => {
    expect(stages(tables([], ['10.9.0.0/16']), tables([], ['10.9.0.1']))).toHaveLength(1);
  });

  it('base chains go before the maps that they ask, and before their table', () => {
    const texts = printStages(planTransaction([], tables([one]).map(stateOf)));
    expect(texts).toHaveLength(2);
    expect(texts[0]).toMatch(/^flush chain inet portcullis egress$/m);
    expect(texts[0]).not.toContain('delete table');
    expect(texts[1]).toBe(
      'delete table inet portcullis\ndelete table arp portcullis\ndelete table bridge portcullis\n',
    );
  });

  it('all tables made anew are there at the end, and a device that their map leads on is closed before it goes', () => {
    const former = tables([one]);
    const [early = '', main = '', ...more] = printStages(planReplacement(former, former.map(stateOf)));
    expect(more).toEqual([]);
    expect(main.match(/^(delete )?table \w+ portcullis/gm)).toEqual(
      ['inet', 'arp', 'bridge'].flatMap((family) => [
        `delete table ${family} portcullis`,
        `table ${family} portcullis`,
      ]),
    );
    expect(early.match(/^add element .*$/gm)).toEqual(
      ['inet', 'arp'].map((family) => `add element ${family} portcullis closed_devices { "tapp" }`),
    );
    expect(early.match(/^add rule inet .* drop/gm)).toEqual([
      'add rule inet portcullis egress iifname @closed_devices counter drop',
      'add rule inet portcullis ingress oifname @closed_devices counter drop',
    ]);
  });

  it('nothing to do is no stage, and what only adds is one', () => {
    expect(stages(tables(wide), tables(wide))).toEqual([]);
    expect(stages(tables([one], ['10.1.0.0/16']), tables([one], ['10.1.0.0/16', '10.3.0.0/16']))).toHaveLength(1);
    expect(printStages(planTransaction(tables(wide), []))).toHaveLength(1);
  });

  it('the sets that go, and single ports, need no stage of their own', () => {
    expect(stages(tables(wide), tables([one]))).toHaveLength(1);
    expect(stages(tables([one]), tables([one, { first: 90, last: 90 }]))).toHaveLength(1);
  });

  it('both stages are the transaction, with nothing twice and nothing missing', () => {
    const transaction = planTransaction(tables(wide, ['10.1.0.0/16']), tables([one], ['10.3.0.0/16']).map(stateOf));
    expect(sortedLines(printStages(transaction).join(''))).toEqual(sortedLines(printTransaction(transaction)));
  });
});
