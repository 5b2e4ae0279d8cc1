/**
 * Stage 5: the difference between what is wanted and what is loaded, as one transaction.
 *
 * Chains that did not change are not touched, so their counters live on; a member that comes or goes is one element. Only
 * where the kernel cannot change an object in place (a set's type, a hook's priority) is our table replaced, still in the
 * same transaction.
 */
import type { Chain, NamedSet, Table, TableFamily } from '../ruleset/types.js';
import { harmless } from './comment.js';
import { countsLateBySignature, stateOf, type ChainState, type SetState, type TableState } from './state.js';
import { fullRuleText, hookText, printTable, setDeclaration, setKind } from './text.js';

/** Changes to our tables, in order. Empty when what is wanted is loaded. */
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

export type Change =
  | { readonly kind: 'add-set'; readonly set: NamedSet }
  | { readonly kind: 'add-chain'; readonly chain: Chain }
  | { readonly kind: 'rewrite-chain'; readonly chain: Chain; readonly before: readonly string[] }
  | {
      readonly kind: 'delete-elements';
      readonly set: string;
      readonly elements: readonly ElementChange[];
      /** Of intervals: see `countsLate`. */
      readonly isLate?: true;
    }
  | { readonly kind: 'add-elements'; readonly set: string; readonly elements: readonly ElementChange[] }
  | {
      readonly kind: 'delete-chain';
      readonly chain: string;
      readonly isBase: boolean;
      readonly before: readonly string[];
    }
  | { readonly kind: 'delete-set'; readonly set: string; readonly setKind: 'set' | 'map'; readonly size: number };

/** An element as nft text; `data` is '' in sets. */
export interface ElementChange {
  readonly key: string;
  readonly data: string;
}

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
    ...elementChanges(after, before),
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

/** Deletions of all sets stand before additions: a chain that goes loses its map elements first. */
function elementChanges(after: TableState, before: TableState): readonly Change[] {
  const deletions: Change[] = [];
  const additions: Change[] = [];
  for (const [name, set] of after.sets) {
    const old = before.sets.get(name)?.elements ?? NO_ELEMENTS;
    const gone = missingFrom(set, old);
    const fresh = missingFrom({ elements: old }, set.elements);
    if (gone.length > 0) deletions.push(deletion(name, gone, countsLateBySignature(set.signature)));
    if (fresh.length > 0) additions.push({ kind: 'add-elements', set: name, elements: fresh });
  }
  return [...deletions, ...additions];
}

/** @param isLate whether the set's changes count at the end of a commit. */
export function deletion(set: string, elements: readonly ElementChange[], isLate: boolean): Change {
  return { kind: 'delete-elements', set, elements, ...(isLate ? { isLate } : {}) };
}

const NO_ELEMENTS: SetState['elements'] = new Map();

/** Elements that the set lacks or has with other data. */
function missingFrom(set: Pick<SetState, 'elements'>, elements: SetState['elements']): readonly ElementChange[] {
  const missing: ElementChange[] = [];
  for (const [key, data] of elements) if (set.elements.get(key) !== data) missing.push({ key, data });
  return missing;
}

function surplusChains(after: TableState, before: TableState): readonly Change[] {
  return [...before.chains]
    .filter(([name]) => !after.chains.has(name))
    .map(([chain, { hook, comments }]) => ({ kind: 'delete-chain', chain, isBase: hook !== '', before: comments }));
}

function surplusSets(after: TableState, before: TableState): readonly Change[] {
  return [...before.sets]
    .filter(([name]) => !after.sets.has(name))
    .map(([set, { kind, elements }]) => ({ kind: 'delete-set', set, setKind: kind, size: elements.size }));
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
      return printUpdate(`${change.family} ${change.name}`, change.changes);
  }
}

/**
 * The order in which the kernel accepts the steps: sets and chains exist before what refers to them, and lose what refers
 * to them before they go.
 */
function printUpdate(table: string, changes: readonly Change[]): string {
  const lines: string[] = [];
  const rules = (chain: Chain): void => {
    for (const rule of chain.rules) lines.push(`add rule ${table} ${chain.name} ${fullRuleText(rule)}`);
  };
  for (const change of changes) {
    if (change.kind === 'add-set') {
      lines.push(
        `add ${setKind(change.set)} ${table} ${change.set.name} { ${setDeclaration(change.set).join('; ')}; }`,
      );
    }
    if (change.kind === 'add-chain')
      lines.push(`add chain ${table} ${change.chain.name} { ${chainDeclaration(change.chain)} }`);
  }
  for (const change of changes) {
    if (change.kind === 'rewrite-chain') lines.push(`flush chain ${table} ${change.chain.name}`);
    if (change.kind === 'delete-chain') lines.push(`flush chain ${table} ${change.chain}`);
  }
  for (const change of changes) {
    if (change.kind === 'add-chain' || change.kind === 'rewrite-chain') rules(change.chain);
  }
  for (const change of changes) {
    if (change.kind === 'delete-elements') {
      lines.push(`delete element ${table} ${change.set} { ${change.elements.map(({ key }) => key).join(', ')} }`);
    }
    if (change.kind === 'add-elements') {
      lines.push(`add element ${table} ${change.set} { ${change.elements.map(elementText).join(', ')} }`);
    }
  }
  // A map that goes leads to chains that go.
  for (const change of changes) {
    if (change.kind === 'delete-set' && change.setKind === 'map') lines.push(`flush map ${table} ${change.set}`);
  }
  for (const change of changes) if (change.kind === 'delete-chain') lines.push(`delete chain ${table} ${change.chain}`);
  for (const change of changes) {
    if (change.kind === 'delete-set') lines.push(`delete ${change.setKind} ${table} ${change.set}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

function chainDeclaration(chain: Chain): string {
  const hook = chain.hook === undefined ? '' : `${hookText(chain.hook)} `;
  return `${hook}comment "${harmless(chain.comment)}";`;
}

function elementText({ key, data }: ElementChange): string {
  return data === '' ? key : `${key} : ${data}`;
}
