/** Carries out the steps of a transaction on the state of tables, one after the other, as strictly as the kernel does. */
import { stateOf, stepsOf, type Step, type Table, type TableState, type Transaction } from '../../compiler/index.js';
import { commentsOf, hookSignature } from '../../compiler/nftables/state.js';
import { elementDataText, elementKeyText } from '../../compiler/nftables/text.js';
import type { Chain, Match, NamedSet, Verdict } from '../../compiler/index.js';

interface MutableSet {
  readonly signature: string;
  readonly kind: 'set' | 'map';
  /** Data by key; both as nft text. */
  readonly elements: Map<string, string>;
  /** The chain that each element leads to, by key. */
  readonly targets: Map<string, string>;
}

interface MutableChain {
  readonly hook: string;
  comments: readonly string[];
  /** Sets, maps and chains that its rules ask or lead to. */
  refers: ReadonlySet<string>;
}

interface MutableTable {
  readonly sets: Map<string, MutableSet>;
  readonly chains: Map<string, MutableChain>;
}

export class SimulatedTables {
  readonly #tables = new Map<string, MutableTable>();

  constructor(tables: readonly Table[]) {
    for (const { family, sets, chains } of tables) {
      const table: MutableTable = { sets: new Map(), chains: new Map() };
      this.#tables.set(family, table);
      const steps = stepsOf([
        ...[...sets.values()].map((set) => ({ kind: 'add-set', set }) as const),
        ...[...chains.values()].map((chain) => ({ kind: 'add-chain', chain }) as const),
        ...[...sets.values()].map((set) => ({ kind: 'add-elements', set, elements: set.content.elements }) as const),
      ]);
      for (const step of steps) applyStep(table, step);
    }
  }

  /**
   * @param order what becomes of the steps of a table before they are carried out.
   * @throws Error where the kernel would refuse.
   */
  apply(transaction: Transaction, order: (steps: readonly Step[]) => readonly Step[] = (steps) => steps): void {
    for (const change of transaction) {
      if (change.kind !== 'update') throw new Error(`unexpected ${change.kind}`);
      const table = this.#tables.get(change.family);
      if (table === undefined) throw new Error(`no table ${change.family}`);
      for (const step of order(stepsOf(change.changes))) applyStep(table, step);
    }
  }

  states(): readonly TableState[] {
    return [...this.#tables].map(([family, { sets, chains }]) => ({
      family: family as TableState['family'],
      name: 'portcullis',
      oddities: '',
      sets: new Map(
        [...sets].sort(byName).map(([name, { signature, kind, elements }]) => [name, { signature, kind, elements }]),
      ),
      chains: new Map([...chains].sort(byName).map(([name, { hook, comments }]) => [name, { hook, comments }])),
    }));
  }
}

/** The same form, of tables compiled from scratch. */
export function sortedStates(tables: readonly Table[]): readonly TableState[] {
  return tables.map(stateOf).map((state) => ({
    ...state,
    sets: new Map([...state.sets].sort(byName)),
    chains: new Map([...state.chains].sort(byName)),
  }));
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

function emptySet(set: NamedSet): MutableSet {
  const table = { family: 'inet', name: '', sets: new Map([[set.name, set]]), chains: new Map() } as const;
  const state = stateOf(table).sets.get(set.name);
  return { signature: state?.signature ?? '', kind: state?.kind ?? 'set', elements: new Map(), targets: new Map() };
}

function applyStep(table: MutableTable, step: Step): void {
  const { sets, chains } = table;
  const refuse = (why: string): never => {
    throw new Error(`${step.kind}: ${why}`);
  };
  const known = <Value>(objects: ReadonlyMap<string, Value>, name: string): Value =>
    objects.get(name) ?? refuse(`${name} is missing`);
  switch (step.kind) {
    case 'add-set':
      if (sets.has(step.set.name)) refuse(`${step.set.name} exists`);
      sets.set(step.set.name, emptySet(step.set));
      return;
    case 'add-chain': {
      const { name, hook } = step.chain;
      if (chains.has(name)) refuse(`${name} exists`);
      const signature = hook === undefined ? '' : hookSignature(hook.hook, hook.priority);
      chains.set(name, { hook: signature, comments: [], refers: new Set() });
      return;
    }
    case 'flush-chain':
      Object.assign(known(chains, step.chain), { comments: [], refers: new Set() });
      return;
    case 'add-rules': {
      const chain = known(chains, step.chain.name);
      if (chain.comments.length > 0) refuse(`${step.chain.name} has rules`);
      const refers = referencesOf(step.chain);
      for (const name of refers) if (!sets.has(name) && !chains.has(name)) refuse(`a rule refers to ${name}`);
      Object.assign(chain, { comments: commentsOf(step.chain), refers });
      return;
    }
    case 'delete-elements': {
      const { elements, targets } = known(sets, step.set.name);
      for (const element of step.elements) {
        const key = elementKeyText(step.set.fields, element);
        if (!elements.delete(key)) refuse(`${step.set.name} has no ${key}`);
        targets.delete(key);
      }
      return;
    }
    case 'add-elements': {
      const { elements, targets } = known(sets, step.set.name);
      for (const element of step.elements) {
        const key = elementKeyText(step.set.fields, element);
        if (elements.has(key)) refuse(`${step.set.name} has ${key}`);
        elements.set(key, elementDataText(element));
        const [target] = 'data' in element && typeof element.data === 'object' ? targetsOf(element.data) : [];
        if (target === undefined) continue;
        known(chains, target);
        targets.set(key, target);
      }
      return;
    }
    case 'flush-map': {
      const { elements, targets } = known(sets, step.map);
      elements.clear();
      targets.clear();
      return;
    }
    case 'delete-chain': {
      const chain = known(chains, step.chain);
      if (chain.comments.length > 0) refuse(`${step.chain} has rules`);
      if (isReferredTo(table, step.chain)) refuse(`${step.chain} is in use`);
      chains.delete(step.chain);
      return;
    }
    case 'delete-set': {
      const set = known(sets, step.set);
      if (set.targets.size > 0) refuse(`${step.set} leads to chains`);
      if (isReferredTo(table, step.set)) refuse(`${step.set} is in use`);
      sets.delete(step.set);
      return;
    }
  }
}

function isReferredTo({ sets, chains }: MutableTable, name: string): boolean {
  return (
    [...chains.values()].some(({ refers }) => refers.has(name)) ||
    [...sets.values()].some(({ targets }) => [...targets.values()].includes(name))
  );
}

function referencesOf({ rules }: Chain): ReadonlySet<string> {
  return new Set(
    rules.flatMap(({ matches, action }) => {
      const asked = matches.flatMap((match: Match) => (match.kind === 'set' ? [match.set] : []));
      switch (action.kind) {
        case 'verdict':
          return [...asked, ...targetsOf(action.verdict)];
        case 'tally':
          return [...asked, action.set];
        case 'verdict-map':
        case 'zone':
          return [...asked, action.map];
        case 'inline-verdict-map':
          return [...asked, ...action.elements.flatMap(({ data }) => targetsOf(data))];
        case 'ct-mark':
        case 'packet-mark':
          return asked;
      }
    }),
  );
}

function targetsOf(verdict: Verdict): readonly string[] {
  return 'chain' in verdict ? [verdict.chain] : [];
}
