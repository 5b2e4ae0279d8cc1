/** What goes in before the transaction: `nft_set_pipapo` counts late. The kernel's side is in kernel/agent-history.test.ts. */
import { describe, expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  planTransaction,
  printStages,
  printTransaction,
  stateOf,
  type Table,
} from '../../../compiler/index.js';
import { parseTopology } from '../../../src/model/index.js';

interface Range {
  readonly first: number;
  readonly last: number;
}

function tables(ranges: readonly Range[], members: readonly string[] = []): readonly Table[] {
  const content = {
    ports: [
      {
        id: 'p',
        network_id: 'n',
        device: 'tapp',
        mac_address: '02:00:00:00:00:01',
        fixed_ips: [{ ip_address: '10.0.0.1' }],
        security_groups: ['g'],
      },
    ],
    address_groups: [{ id: 'a', addresses: members }],
    security_groups: [
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

const one: Range = { first: 80, last: 80 };
const wide: readonly Range[] = [
  { first: 80, last: 81 },
  { first: 90, last: 91 },
];

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
    const lines = (text: string): readonly string[] =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .sort();
    expect(lines(printStages(transaction).join(''))).toEqual(lines(printTransaction(transaction)));
  });
});
