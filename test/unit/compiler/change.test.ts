/** Steps come in the one order that the kernel takes: in any other one it would refuse them. */
import { describe, expect, it } from 'vitest';
import {
  compile,
  DEFAULT_OPTIONS,
  HostCompiler,
  isGrowth,
  planTransaction,
  printTransaction,
  stateOf,
  stepsOf,
  type Change,
  type Step,
  type Transaction,
} from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, parseTopology, type Topology } from '../../../compiler/model/index.js';
import { SimulatedTables, sortedStates } from '../../support/simulated-table.js';
import { groupFields, portFields, type Fields } from '../../support/world.js';

const tcp = (port_range_min: number): Fields => ({
  direction: 'ingress',
  protocol: 'tcp',
  port_range_min,
  port_range_max: port_range_min,
});
const from = (remote_group_id: string): Fields => ({ direction: 'ingress', remote_group_id });

/** Its address is in two networks, whose connections are told apart by zones. */
const TWIN: Fields = { network_id: 'net00002-0000', fixed_ips: [{ ip_address: '10.0.0.1' }] };

const BEFORE: Fields = {
  security_groups: [groupFields('web', [tcp(80), tcp(443), tcp(8080)]), groupFields('mail', [tcp(25), from('mail')])],
  ports: [portFields(1, ['web']), portFields(2, ['mail']), portFields(3, ['web'], TWIN)],
};
/** Whatever can happen to a set, a chain or an element does. */
const AFTER: Fields = {
  security_groups: [
    groupFields('mail', [tcp(25), tcp(465), tcp(587), from('mail')]),
    groupFields('data', [tcp(1), tcp(2), tcp(3)]),
  ],
  ports: [portFields(1, ['data']), portFields(2, ['mail']), portFields(4, ['mail'])],
};

const isLocal = (): boolean => true;
const topologyOf = (content: Fields): Topology => parseTopology([{ file: 't.json', content }]).topology;
const [before, after] = [topologyOf(BEFORE), topologyOf(AFTER)];
const loaded = compile(before, isLocal, DEFAULT_OPTIONS).ruleset.tables;
const wanted = compile(after, isLocal, DEFAULT_OPTIONS).ruleset.tables;

function incremental(): Transaction {
  const compiler = new HostCompiler(isLocal, DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, before));
  compiler.take();
  compiler.update(diffTopologies(before, after));
  return compiler.take().transaction;
}

function changesOf(transaction: Transaction): readonly Change[] {
  return transaction.flatMap((change) => (change.kind === 'update' ? change.changes : []));
}

/** Kinds of which the second would be refused before the first. */
const FIRST: readonly (readonly [Step['kind'], Step['kind']])[] = [
  ['add-set', 'add-rules'],
  ['add-set', 'add-elements'],
  ['add-chain', 'add-rules'],
  ['add-chain', 'add-elements'],
  ['flush-chain', 'add-rules'],
  ['flush-chain', 'delete-chain'],
  ['flush-chain', 'delete-set'],
  ['delete-elements', 'add-elements'],
  ['delete-elements', 'delete-chain'],
];

describe.each([
  ['the compiler of changes', incremental()],
  ['a comparison with what is loaded', planTransaction(wanted, loaded.map(stateOf))],
])('%s', (_who, transaction) => {
  const run = (order: (steps: readonly Step[]) => readonly Step[]): SimulatedTables => {
    const tables = new SimulatedTables(loaded);
    tables.apply(transaction, order);
    return tables;
  };

  it('gives steps of every kind, which lead to what is wanted', () => {
    const kinds = new Set(stepsOf(changesOf(transaction)).map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual([
      ...['add-chain', 'add-elements', 'add-rules', 'add-set', 'delete-chain', 'delete-elements', 'delete-set'],
      ...['flush-chain', 'flush-map'],
    ]);
    expect(run((steps) => steps).states()).toEqual(sortedStates(wanted));
  });

  it('is refused backwards', () => {
    expect(() => run((steps) => steps.toReversed())).toThrow(/is in use|has rules|is missing|refers to|leads to/);
  });

  it.each(FIRST)('is refused where %s does not come before %s', (first, second) => {
    const order = (steps: readonly Step[]): readonly Step[] => {
      const at = steps.findIndex(({ kind }) => kind === first);
      const sooner = steps.filter(({ kind }) => kind === second);
      const others = steps.filter(({ kind }) => kind !== second);
      return at < 0 ? steps : [...others.slice(0, at), ...sooner, ...others.slice(at)];
    };
    expect(() => run(order)).toThrow();
  });

  it('is the same text and the same steps in whatever order its changes are listed', () => {
    const backwards = transaction.map((change) =>
      change.kind === 'update' ? { ...change, changes: change.changes.toReversed() } : change,
    );
    const kindsOf = (some: Transaction): readonly string[] => stepsOf(changesOf(some)).map(({ kind }) => kind);
    expect(kindsOf(backwards)).toEqual(kindsOf(transaction));
    const lines = (some: Transaction): readonly string[] => printTransaction(some).split('\n').sort();
    expect(lines(backwards)).toEqual(lines(transaction));
  });
});

it('a map that goes leads to chains that go: it is emptied first', () => {
  const everything = planTransaction(
    wanted.map((table) => ({ ...table, sets: new Map(), chains: new Map() })),
    loaded.map(stateOf),
  );
  const tables = new SimulatedTables(loaded);
  tables.apply(everything);
  expect(tables.states().every(({ sets, chains }) => sets.size + chains.size === 0)).toBe(true);
  const withoutFlush = (steps: readonly Step[]): readonly Step[] => steps.filter(({ kind }) => kind !== 'flush-map');
  expect(() => {
    new SimulatedTables(loaded).apply(everything, withoutFlush);
  }).toThrow(/is in use/);
});

it('what only adds members is growth; a port that comes is none, nor one that goes', () => {
  const more = (content: Fields): readonly Change[] => {
    const compiler = new HostCompiler((port) => port.host === undefined, DEFAULT_OPTIONS);
    compiler.update(diffTopologies(EMPTY_TOPOLOGY, before));
    compiler.take();
    compiler.update(diffTopologies(before, topologyOf({ ...BEFORE, ...content })));
    return changesOf(compiler.take().transaction);
  };
  const ports = [portFields(1, ['web']), portFields(2, ['mail']), portFields(3, ['web'], TWIN)];
  const growth = more({ ports: [...ports, portFields(4, ['mail'], { 'binding:host_id': 'elsewhere' })] });
  expect([growth.map(({ kind }) => kind), isGrowth(growth)]).toEqual([['add-elements'], true]);
  for (const changes of [more({ ports: [...ports, portFields(4, ['mail'])] }), more({ ports: ports.slice(0, 2) })]) {
    expect([changes.length > 0, isGrowth(changes)]).toEqual([true, false]);
  }
});
