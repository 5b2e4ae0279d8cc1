/** `ShortNames`: readable, stable, never equal for two different ids nor for what is named after them, and who is renamed is told. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compile, DEFAULT_OPTIONS, HostCompiler, iptablesProgram } from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology, type Topology } from '../../../compiler/model/index.js';
import { digest, ShortNames, shortNames } from '../../../compiler/names.js';
import { expectSame } from '../../support/same.js';
import { SimulatedTables, sortedStates } from '../../support/simulated-table.js';
import { groupFields, portFields } from '../../support/world.js';

/** Ids that agree in their first eight characters, or in what these are read as, more often than any real ones. */
const ID = fc.constantFrom(
  ...[
    '',
    'a',
    'a-',
    'a_',
    'c0b92b20',
    'c0b92b20-1',
    'c0b92b20-2',
    'c0b92b2_',
    'c0b92b2-',
    'c0b92b2é',
    'web',
    'web-',
    'a_in',
    'a_in-',
    'a_in_',
    'a_in_b',
    'out_out',
    'inout',
  ],
);
const CHANGES = fc.array(fc.record({ id: ID, isThere: fc.boolean() }), { maxLength: 40 });

function namesOf(names: ShortNames): ReadonlyMap<string, string> {
  return new Map([...names.ids()].map((id) => [id, names.get(id)]));
}

it('gives the first eight characters of an id, and more only where two agree in them', () => {
  const names = new ShortNames();
  expect(names.add('c0b92b20-1111-4000-8000-000000000001')).toEqual([]);
  expect(names.get('c0b92b20-1111-4000-8000-000000000001')).toBe('c0b92b20');
  expect(names.add('c0b92b20-2222-4000-8000-000000000002')).toEqual(['c0b92b20-1111-4000-8000-000000000001']);
  expect(names.get('c0b92b20-1111-4000-8000-000000000001')).toMatch(/^c0b92b20_[0-9a-f]{12}$/);
  expect(names.add('c0b92b20-3333-4000-8000-000000000003')).toEqual([]);
  expect(names.delete('c0b92b20-2222-4000-8000-000000000002')).toEqual([]);
  expect(names.delete('c0b92b20-3333-4000-8000-000000000003')).toEqual(['c0b92b20-1111-4000-8000-000000000001']);
  expect(names.get('c0b92b20-1111-4000-8000-000000000001')).toBe('c0b92b20');
});

it('never gives two ids one name, nor what nft would not take in one', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.oneof(ID, fc.string(), fc.uuid())), (ids) => {
      const names = [...shortNames(ids).values()];
      expect(new Set(names).size).toBe(ids.length);
      for (const name of names) expect(name).toMatch(/^\w*$/);
    }),
  );
});

it('names by who is there, not by who was or came first, and tells of each other one whose name changes', () => {
  fc.assert(
    fc.property(CHANGES, (changes) => {
      const names = new ShortNames();
      const there = new Set<string>();
      for (const { id, isThere } of changes) {
        const before = namesOf(names);
        const told = isThere ? names.add(id) : names.delete(id);
        if (isThere) there.add(id);
        else there.delete(id);
        const after = namesOf(names);
        expect(after).toEqual(shortNames(there));
        const renamed = [...before.keys()].filter(
          (other) => other !== id && after.has(other) && after.get(other) !== before.get(other),
        );
        expect([...told].sort()).toEqual(renamed.sort());
      }
    }),
  );
});

/** Ids that look like parts of names, and like whole names with their digests. */
const HOSTILE = [
  ...[
    'a',
    'a_b',
    'a-b',
    'a_in',
    'a_out',
    'a_in_sg',
    'a_in_sg_',
    'a_in_sg-b',
    'a_out_ag',
    'a_in_net',
    'a_4',
    'a_sg_b_4',
  ],
  ...[
    'in',
    'out',
    'in_sg_a',
    'out_sg_b',
    'out_sg_a',
    'in_ag_b',
    'sg',
    'b',
    'b_4',
    'b_4_sg',
    'b_addresses4',
    'ports',
    'inout',
  ],
].flatMap((id) => [id, `${id}_${digest(id, 12)}`]);

/** Groups and address groups, with so many services of each of them that each group has sets of its own for each. */
function everyoneToAll(groups: readonly string[], addressGroups: readonly string[]): Topology {
  const remotes = [
    ...groups.map((id) => ({ remote_group_id: id })),
    ...addressGroups.map((id) => ({ remote_address_group_id: id })),
    {},
  ];
  const rules = ['ingress', 'egress'].flatMap((direction) =>
    remotes.flatMap((remote, index) =>
      [1, 3, 5].map((port) => ({
        ...{ direction, protocol: 'tcp', port_range_min: port + 10 * index, port_range_max: port + 10 * index },
        ...remote,
      })),
    ),
  );
  const content = {
    address_groups: addressGroups.map((id, index) => ({
      id,
      addresses: [`192.0.2.${String(index)}/32`, '10.8.0.0/16'],
    })),
    security_groups: groups.map((id) => groupFields(id, rules)),
    ports: groups.map((id, index) => portFields(index + 1, [id])),
  };
  const { topology, problems } = parseTopology([{ file: 'hostile', content }]);
  expect(problems).toEqual([]);
  return topology;
}

function checkNames(topologies: readonly Topology[]): void {
  const compiler = new HostCompiler(() => true, DEFAULT_OPTIONS);
  const kernel = new SimulatedTables(compiler.ruleset().tables);
  let before = EMPTY_TOPOLOGY;
  for (const after of topologies) {
    // It throws where two objects of a table have one name.
    const { policy, ruleset } = compile(after, () => true, DEFAULT_OPTIONS);
    compiler.update(diffTopologies(before, after));
    kernel.apply(compiler.take().transaction);
    expectSame(kernel.states(), sortedStates(ruleset.tables));
    const { sets, families } = iptablesProgram(policy, DEFAULT_OPTIONS);
    for (const named of [sets, ...Object.values(families).flatMap(({ raw, mangle }) => [raw, mangle])])
      expect(new Set(named.map(({ name }) => name)).size).toBe(named.length);
    before = after;
  }
}

it('nothing is named as something else is, whatever ids are, compiled as a whole or change by change', () => {
  const some = fc.uniqueArray(fc.constantFrom(...HOSTILE), { minLength: 1, maxLength: 4 });
  const topologies = fc.array(
    fc.tuple(some, some).map(([groups, addressGroups]) => everyoneToAll(groups, addressGroups)),
    { minLength: 1, maxLength: 3 },
  );
  const one = everyoneToAll(['a'], ['out_sg_b']);
  const found = [
    everyoneToAll(['a', 'a_in_sg', 'b', 'out_sg_b'], []),
    everyoneToAll(['a', 'a_in_ag'], ['b', 'out_ag_b']),
    one,
    everyoneToAll(['a', 'a_out_ag'], ['in_sg_a']),
    one,
  ];
  fc.assert(fc.property(topologies, checkNames), { numRuns: 40, examples: [[found]] });
});
