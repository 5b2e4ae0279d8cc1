/**
 * Stage 5: the difference between what is wanted and what is loaded, as one transaction.
 *
 * Chains that did not change are not touched, so their counters live on; a member that comes or goes is one element. Only
 * where the kernel cannot change an object in place (a set's type, a hook's priority) is our table replaced, still in the
 * same transaction.
 */
import { stepsOf, type Change, type Element, type ListedElement, type Step } from '../ruleset/change.js';
import { readSetRole } from '../ruleset/read-names.js';
import type { Chain, NamedSet, Table, TableFamily } from '../ruleset/types.js';
import { harmless } from './comment.js';
import { stateOf, type ChainState, type SetState, type TableState } from './state.js';
import { elementKeyText, elementText, fullRuleText, hookText, printTable, setDeclaration, setKind } from './text.js';

/** Changes to our tables, one after the other. Empty when what is wanted is loaded. */
export type Transaction = readonly TableChange[];

export type TableChange =
  | { readonly kind: 'create'; readonly table: Table }
  /** `why` names the object that cannot be changed in place. */
  | { readonly kind: 'replace'; readonly table: Table; readonly before: TableState; readonly why: string }
  | {
      readonly kind: 'update';
      readonly family: TableFamily;
      readonly name: string;
      readonly changes: readonly Change[];
    }
  | { readonly kind: 'delete'; readonly before: TableState };

/** What makes `loaded` equal to `wanted`. Tables of ours that are loaded and not wanted are deleted. */
export function planTransaction(wanted: readonly Table[], loaded: readonly TableState[]): Transaction {
  return planTables(wanted, loaded, changeTable);
}

function planTables(
  wanted: readonly Table[],
  loaded: readonly TableState[],
  change: (table: Table, before: TableState) => readonly TableChange[],
): Transaction {
  const isSame = (table: { family: string; name: string }, other: { family: string; name: string }): boolean =>
    table.family === other.family && table.name === other.name;
  const changes = wanted.flatMap((table): readonly TableChange[] => {
    const before = loaded.find((state) => isSame(state, table));
    return before === undefined ? [{ kind: 'create', table }] : change(table, before);
  });
  const surplus = loaded.filter((state) => !wanted.some((table) => isSame(state, table)));
  return [...changes, ...surplus.map((before): TableChange => ({ kind: 'delete', before }))];
}

/** As {@link planTransaction}, with every table of ours made anew, whatever it holds. */
export function planReplacement(wanted: readonly Table[], loaded: readonly TableState[]): Transaction {
  return planTables(wanted, loaded, (table, before) => [{ kind: 'replace', table, before, why: 'what is in doubt' }]);
}

function changeTable(table: Table, before: TableState): readonly TableChange[] {
  const after = stateOf(table);
  const why = obstacle(after, before);
  if (why !== undefined) return [{ kind: 'replace', table, before, why }];
  const changes = [
    ...newSets(table, before),
    ...newChains(table, before),
    ...rewrittenChains(table, after, before),
    ...elementChanges(table, after, before),
    ...surplusChains(after, before),
    ...surplusSets(after, before),
  ];
  return changes.length === 0 ? [] : [{ kind: 'update', family: table.family, name: table.name, changes }];
}

/** The first object that is there in both and cannot be changed in place. */
function obstacle(after: TableState, before: TableState): string | undefined {
  if (before.oddities !== after.oddities) return `the table (${before.oddities})`;
  for (const [name, set] of after.sets) {
    const old = before.sets.get(name);
    if (old !== undefined && old.signature !== set.signature) return `${set.kind} ${name}`;
  }
  for (const [name, chain] of after.chains) {
    const old = before.chains.get(name);
    if (old !== undefined && old.hook !== chain.hook) return `chain ${name}`;
  }
  return undefined;
}

function newSets(table: Table, before: TableState): readonly Change[] {
  return [...table.sets.values()].filter((set) => !before.sets.has(set.name)).map((set) => ({ kind: 'add-set', set }));
}

function newChains(table: Table, before: TableState): readonly Change[] {
  return [...table.chains.values()]
    .filter((chain) => !before.chains.has(chain.name))
    .map((chain) => ({ kind: 'add-chain', chain }));
}

function rewrittenChains(table: Table, after: TableState, before: TableState): readonly Change[] {
  return [...table.chains.values()].flatMap((chain): readonly Change[] => {
    const [old, wanted] = [before.chains.get(chain.name), after.chains.get(chain.name)];
    if (old === undefined || wanted === undefined || sameRules(wanted, old)) return [];
    return [{ kind: 'rewrite-chain', chain, before: old.comments }];
  });
}

function sameRules(a: ChainState, b: ChainState): boolean {
  return a.comments.length === b.comments.length && a.comments.every((comment, index) => comment === b.comments[index]);
}

function elementChanges(table: Table, after: TableState, before: TableState): readonly Change[] {
  const deletions: Change[] = [];
  const additions: Change[] = [];
  for (const [name, set] of table.sets) {
    const old = before.sets.get(name)?.elements ?? NO_ELEMENTS;
    const wanted = after.sets.get(name)?.elements ?? NO_ELEMENTS;
    if (old === wanted) continue;
    const gone = missingFrom(wanted, old);
    const fresh = missingFrom(old, wanted);
    if (gone.size > 0) deletions.push({ kind: 'delete-elements', set, elements: [...gone].map(listedElement) });
    if (fresh.size > 0) additions.push({ kind: 'add-elements', set, elements: elementsWithKeys(set, fresh) });
  }
  return [...deletions, ...additions];
}

const NO_ELEMENTS: SetState['elements'] = new Map();

/** Elements that are not among others, or are there with other data. */
function missingFrom(others: SetState['elements'], elements: SetState['elements']): SetState['elements'] {
  const missing = new Map<string, string>();
  for (const [key, data] of elements) if (others.get(key) !== data) missing.set(key, data);
  return missing;
}

function listedElement([listed, data]: readonly [string, string]): ListedElement {
  return { listed, data };
}

function elementsWithKeys({ content, fields }: NamedSet, keys: SetState['elements']): readonly Element[] {
  const isAsked = (element: Element): boolean => keys.has(elementKeyText(fields, element));
  return keys.size === content.elements.length ? content.elements : content.elements.filter(isAsked);
}

function surplusChains(after: TableState, before: TableState): readonly Change[] {
  return [...before.chains]
    .filter(([name]) => !after.chains.has(name))
    .map(([chain, { hook, comments }]) => ({ kind: 'delete-chain', chain, isBase: hook !== '', before: comments }));
}

function surplusSets(after: TableState, before: TableState): readonly Change[] {
  return [...before.sets]
    .filter(([name]) => !after.sets.has(name))
    .map(([set, { kind, elements }]) => ({
      kind: 'delete-set',
      set,
      role: readSetRole(set),
      setKind: kind,
      size: elements.size,
    }));
}

/** The transaction as text for `nft -f`; '' when there is nothing to do. */
export function printTransaction(transaction: Transaction): string {
  return transaction.map(printTableChange).join('');
}

function printTableChange(change: TableChange): string {
  switch (change.kind) {
    case 'create':
      return printTable(change.table);
    case 'replace':
      return `delete table ${change.table.family} ${change.table.name}\n${printTable(change.table)}`;
    case 'delete':
      return `delete table ${change.before.family} ${change.before.name}\n`;
    case 'update':
      return printSteps(`${change.family} ${change.name}`, stepsOf(change.changes));
  }
}

function printSteps(table: string, steps: readonly Step[]): string {
  return steps.flatMap((step) => stepLines(table, step).map((line) => `${line}\n`)).join('');
}

function stepLines(table: string, step: Step): readonly string[] {
  switch (step.kind) {
    case 'add-set':
      return [`add ${setKind(step.set)} ${table} ${step.set.name} { ${setDeclaration(step.set).join('; ')}; }`];
    case 'add-chain':
      return [`add chain ${table} ${step.chain.name} { ${chainDeclaration(step.chain)} }`];
    case 'flush-chain':
      return [`flush chain ${table} ${step.chain}`];
    case 'add-rules':
      return step.chain.rules.map((rule) => `add rule ${table} ${step.chain.name} ${fullRuleText(rule)}`);
    case 'delete-elements':
    case 'add-elements': {
      const { fields, name } = step.set;
      const [verb, text] = step.kind === 'add-elements' ? ['add', elementText] : ['delete', elementKeyText];
      return [
        `${verb} element ${table} ${name} { ${step.elements.map((element) => text(fields, element)).join(', ')} }`,
      ];
    }
    case 'flush-map':
      return [`flush map ${table} ${step.map}`];
    case 'delete-chain':
      return [`delete chain ${table} ${step.chain}`];
    case 'delete-set':
      return [`delete ${step.setKind} ${table} ${step.set}`];
  }
}

function chainDeclaration(chain: Chain): string {
  const hook = chain.hook === undefined ? '' : `${hookText(chain.hook)} `;
  return `${hook}comment "${harmless(chain.comment)}";`;
}
