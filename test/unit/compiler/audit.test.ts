/** Audit: the same rules, none of which drops; what they count has names of its own. That packets fill the sets: kernel/agent.test.ts. */
import { expect, it } from 'vitest';
import { compile, DATAPATHS, DEFAULT_OPTIONS, printRuleset, type Table } from '../../../compiler/index.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';
import { parseTopology } from '../../../compiler/model/index.js';

function tables(datapath: (typeof DATAPATHS)[number], audit: boolean, name: string): readonly Table[] {
  const content = NAMED_TOPOLOGIES[name]?.document;
  const { topology } = parseTopology([{ file: name, content }]);
  return compile(topology, () => true, { ...DEFAULT_OPTIONS, datapath, audit }).ruleset.tables;
}

const setsOf = (of: readonly Table[]): readonly string[] =>
  of.flatMap(({ family, sets }) => [...sets.values()].map(({ name }) => `${family} ${name}`));

it.each(DATAPATHS)('%s: nothing drops, and nothing that is counted has a name that enforcement uses', (datapath) => {
  const [audited, enforced] = [tables(datapath, true, 'one-port'), tables(datapath, false, 'one-port')];
  expect(printRuleset({ datapath, tables: audited })).not.toMatch(/\bdrop\b(?!")/);
  const filled = (of: readonly Table[]): readonly string[] =>
    setsOf(
      of.map((table) => ({
        ...table,
        sets: new Map([...table.sets].filter(([, set]) => set.content.data === 'tally')),
      })),
    );
  const names = new Set(filled(enforced));
  expect(names.size).toBeGreaterThan(0);
  expect(filled(audited).filter((name) => names.has(name))).toEqual([]);
});

it('flows are recorded wherever an IP packet would be dropped, by the same few sets whatever the topology', () => {
  const places = (of: readonly Table[]): readonly string[] =>
    setsOf(of)
      .filter((name) => / audit_.*_4$/.test(name))
      .map((name) => name.replace(/ audit_(.*)_4$/, ' $1'))
      .sort();
  const routed = places(tables('routed', true, 'one-port'));
  expect(routed).toEqual(
    [
      ...['egress', 'egress_stateful', 'ingress', 'ingress_stateful', 'link_local_only', 'nd_target'],
      ...['profile_in', 'profile_out', 'server', 'source4', 'source6', 'unfiltered_out'],
    ]
      .map((place) => `inet ${place}`)
      .concat('bridge egress', 'bridge ingress')
      .sort(),
  );
  for (const name of ['empty', 'nested-prefixes', 'stateless', 'unfiltered-ports']) {
    expect(places(tables('routed', true, name))).toEqual(routed);
  }
  expect(places(tables('bridge', true, 'bridge'))).toContain('bridge profile_in');
});

it('a flood fills a bounded set, and forgets', () => {
  const sets = tables('routed', true, 'one-port').flatMap((table) => [...table.sets.values()]);
  const rooms = sets.flatMap(({ name, content }) =>
    name.startsWith('audit_') && content.data === 'tally' ? [content.room] : [],
  );
  expect(rooms.length).toBeGreaterThan(0);
  for (const room of rooms) expect(room).toEqual({ keys: 4096, seconds: 3600 });
});
