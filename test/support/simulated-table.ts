/** Carries out the steps of a transaction on the state of tables, as strictly as the kernel does. */
import { stateOf, type Change, type Table, type TableState, type Transaction } from '../../compiler/index.js';
import { ruleComment } from '../../compiler/nftables/comment.js';
import { elementsOf, hookSignature } from '../../compiler/nftables/state.js';
import { ruleText, setKind } from '../../compiler/nftables/text.js';
import type { Chain } from '../../compiler/index.js';

interface MutableTable {
  readonly sets: Map<string, { signature: string; kind: 'set' | 'map'; elements: Map<string, string> }>;
  readonly chains: Map<string, { hook: string; comments: readonly string[]; targets: ReadonlySet<string> }>;
}

export class SimulatedTables {
  readonly #tables = new Map<string, MutableTable>();

  constructor(tables: readonly Table[]) {
    for (const table of tables) {
      const state = stateOf(table);
      this.#tables.set(table.family, {
        sets: new Map([...state.sets].map(([name, set]) => [name, { ...set, elements: new Map(set.elements) }])),
        chains: new Map([...table.chains.values()].map((chain) => [chain.name, chainState(chain)])),
      });
    }
  }

  /** @throws Error where the kernel would refuse. */
  apply(transaction: Transaction): void {
    for (const change of transaction) {
      if (change.kind !== 'update') throw new Error(`unexpected ${change.kind}`);
      const table = this.#tables.get(change.family);
      if (table === undefined) throw new Error(`no table ${change.family}`);
      for (const step of change.changes) applyStep(table, step);
      checkReferences(table);
    }
  }

  states(): readonly TableState[] {
    return [...this.#tables].map(([family, { sets, chains }]) => ({
      family: family as TableState['family'],
      name: 'portcullis',
      oddities: '',
      sets: new Map([...sets].sort(byName)),
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

function chainState(chain: Chain): { hook: string; comments: readonly string[]; targets: ReadonlySet<string> } {
  const texts = chain.rules.map((rule) => ruleText(rule));
  return {
    hook: chain.hook === undefined ? '' : hookSignature(chain.hook.hook, chain.hook.priority),
    comments: chain.rules.map((rule, index) => ruleComment(texts[index] ?? '', rule.comment)),
    targets: new Set(
      texts.flatMap((text) => [...text.matchAll(/(?:@|jump |goto )(\w+)\b(?!,)/g)].map(([, name]) => name ?? '')),
    ),
  };
}

function applyStep(table: MutableTable, step: Change): void {
  const fail = (why: string): never => {
    throw new Error(`${step.kind}: ${why}`);
  };
  switch (step.kind) {
    case 'add-set': {
      const { set } = step;
      if (table.sets.has(set.name)) fail(`${set.name} exists`);
      const [state] = [
        stateOf({ family: 'inet', name: '', sets: new Map([[set.name, set]]), chains: new Map() }).sets.get(set.name),
      ];
      elementsOf(set);
      table.sets.set(set.name, { signature: state?.signature ?? '', kind: setKind(set), elements: new Map() });
      return;
    }
    case 'add-chain':
      if (table.chains.has(step.chain.name)) fail(`${step.chain.name} exists`);
      table.chains.set(step.chain.name, chainState(step.chain));
      return;
    case 'rewrite-chain':
      if (!table.chains.has(step.chain.name)) fail(`${step.chain.name} is missing`);
      table.chains.set(step.chain.name, chainState(step.chain));
      return;
    case 'delete-elements': {
      const set = table.sets.get(step.set) ?? fail(`${step.set} is missing`);
      for (const { key } of step.elements) if (!set.elements.delete(key)) fail(`${step.set} has no ${key}`);
      return;
    }
    case 'add-elements': {
      const set = table.sets.get(step.set) ?? fail(`${step.set} is missing`);
      for (const { key, data } of step.elements) {
        if (set.elements.has(key)) fail(`${step.set} has ${key}`);
        set.elements.set(key, data);
      }
      return;
    }
    case 'delete-chain':
      if (!table.chains.delete(step.chain)) fail(`${step.chain} is missing`);
      return;
    case 'delete-set':
      if (!table.sets.delete(step.set)) fail(`${step.set} is missing`);
      return;
  }
}

function checkReferences({ sets, chains }: MutableTable): void {
  const exists = (name: string): boolean => sets.has(name) || chains.has(name);
  for (const [name, { targets }] of chains) {
    for (const target of targets) if (!exists(target)) throw new Error(`chain ${name} refers to ${target}`);
  }
  for (const [name, { elements }] of sets) {
    for (const data of elements.values()) {
      const target = /^(?:jump|goto) (\w+)$/.exec(data)?.[1];
      if (target !== undefined && !exists(target)) throw new Error(`map ${name} refers to ${target}`);
    }
  }
}
