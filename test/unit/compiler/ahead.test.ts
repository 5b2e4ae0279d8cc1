/** What goes ahead of a large transaction, and in which pieces. That it opens nothing is the simulator's; that the kernel takes it, kernel/large-load.test.ts'. */
import { describe, expect, it } from 'vitest';
import {
  baselineTables,
  compile,
  DEFAULT_OPTIONS,
  divideLarge,
  holdsAdmission,
  planTransaction,
  printStages,
  printTransaction,
  stateOf,
  type Table,
  type TableState,
  type Transaction,
} from '../../../compiler/index.js';
import { parseTopology } from '../../../compiler/model/index.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';
import { applied, dump, fakeTables, type FakeTables } from '../../support/simulator/tables.js';

/** A small piece: each named topology is large beside it. */
const MOST = 20;

const NAMED = Object.entries(NAMED_TOPOLOGIES).map(([name, { document, options: own = {} }]) => {
  const { topology } = parseTopology([{ file: 'named', content: document }]);
  const options = { ...DEFAULT_OPTIONS, ...own };
  return { name, options, tables: compile(topology, () => true, options).ruleset.tables };
});

function tablesOf(wanted: string): readonly Table[] {
  const found = NAMED.find(({ name }) => name === wanted);
  if (found === undefined) throw new Error(`no topology is named ${wanted}`);
  return found.tables;
}

const weight = (transaction: Transaction): number =>
  transaction
    .flatMap((change) => (change.kind === 'update' ? change.changes : []))
    .map((change) => {
      if (change.kind === 'add-elements') return change.elements.length;
      const rules = change.kind === 'add-chain' || change.kind === 'rewrite-chain' ? change.chain.rules.length : 0;
      return 2 + 6 * rules;
    })
    .reduce((sum, one) => sum + one, 0);

const changesIn = (transaction: Transaction): number =>
  transaction.reduce((sum, change) => sum + (change.kind === 'update' ? change.changes.length : 0), 0);

/** Names of chains that have a hook, as text that is loaded makes them. */
const hooked = (text: string): readonly string[] => text.match(/^.*type filter hook.*$/gm) ?? [];

/** The tables after each text, one after the other: the fake kernel refuses what the kernel refuses. */
function courseOf(before: FakeTables, texts: readonly string[]): FakeTables {
  return texts.reduce<FakeTables>((tables, text) => applied(tables, text), before);
}

describe.each([
  ['nothing', (): readonly Table[] => []],
  ['a baseline', baselineTables],
] as const)('from %s', (_what, loadedFor) => {
  it.each(NAMED)('$name: pieces that can be made one after the other lead to the same, and hook nothing', (named) => {
    const { options, tables } = named;
    const loaded = loadedFor(options);
    const states: readonly TableState[] = loaded.map(stateOf);
    const { ahead, rest } = divideLarge(planTransaction(tables, states), MOST);
    expect(ahead.length).toBeGreaterThan(3);
    const pieces = ahead.map(printTransaction);
    for (const [index, text] of pieces.entries()) {
      expect(hooked(text)).toEqual([]);
      // Whoever cannot load closes the devices that no rule knows: nobody reads them there before one does.
      expect(text).not.toMatch(/^(add element \S+ \S+ from_port |\s*map from_port)/m);
      const piece = ahead[index] ?? [];
      // One chain is not divided.
      expect(weight(piece) <= MOST || changesIn(piece) === 1, text).toBe(true);
    }
    const before = fakeTables(loaded);
    const halfway = courseOf(before, pieces);
    // Whatever judges packets is as it was: base chains, their rules.
    for (const [family, { chains }] of before) {
      for (const [name, chain] of chains)
        if (chain.hook !== '') expect(halfway.get(family)?.chains.get(name)).toEqual(chain);
    }
    expect(
      [...halfway.values()].flatMap(({ chains }) => [...chains.values()].filter(({ hook }) => hook !== '')).length,
    ).toBe([...before.values()].flatMap(({ chains }) => [...chains.values()].filter(({ hook }) => hook !== '')).length);
    expect(dump(courseOf(halfway, printStages(rest)))).toBe(dump(fakeTables(tables)));
  });
});

describe('what goes ahead', () => {
  const tables = tablesOf('remote-group');

  it('is nothing of what is small, and the transaction is as it was', () => {
    const transaction = planTransaction(tables, []);
    expect(divideLarge(transaction, 2000)).toEqual({ ahead: [], rest: transaction });
  });

  it('does not say that flows are told apart: the first agent that completes it takes over those that are there', () => {
    const { ahead } = divideLarge(planTransaction(tables, []), MOST);
    const bare = (transaction: Transaction): readonly TableState[] =>
      transaction.flatMap((change) => {
        if (change.kind !== 'update') return [];
        const chains = change.changes.flatMap((one) =>
          one.kind === 'add-chain' || one.kind === 'rewrite-chain' ? [one.chain] : [],
        );
        const { family, name } = change;
        return [
          stateOf({ family, name, sets: new Map(), chains: new Map(chains.map((chain) => [chain.name, chain])) }),
        ];
      });
    expect(holdsAdmission(tables.map(stateOf))).toBe(true);
    for (const piece of ahead) expect(holdsAdmission(bare(piece))).toBe(false);
  });

  it('of a table that is there is only what is new: what goes, and what maps and base chains lead to, waits', () => {
    const [before, after] = [tablesOf('default-group'), tablesOf('remote-group')];
    const { ahead, rest } = divideLarge(planTransaction(after, before.map(stateOf)), 1);
    expect(ahead.length).toBeGreaterThan(0);
    expect(ahead.map(printTransaction).join('')).not.toMatch(/^(delete|add element inet portcullis (from|to)_port)/m);
    const texts = [...ahead.map(printTransaction), ...printStages(rest)];
    expect(dump(courseOf(fakeTables(before), texts))).toBe(dump(fakeTables(after)));
  });
});
