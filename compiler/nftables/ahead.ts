/**
 * Stage 5a: of a large transaction, what nothing leads to yet. It goes in before the rest, in pieces: a transaction is one datagram, so a
 * large one fits no send buffer, and what the kernel tells of it fits no receive buffer. docs/decisions/stages.md.
 */
import type { Change } from '../ruleset/change.js';
import { SETS } from '../ruleset/fixed-names.js';
import { ADMIT } from '../ruleset/admission.js';
import type { Chain, Table } from '../ruleset/types.js';
import { isNewChain, losesIntervals } from './stages.js';
import type { TableChange, Transaction } from './transaction.js';

export interface Divided {
  /** Each is a transaction, one after the other; the kernel judges no packet otherwise by any of them. None where the whole is small. */
  readonly ahead: readonly Transaction[];
  readonly rest: Transaction;
}

/** In messages, in the kernel's answers and in what it tells of them a rule takes as much room as some six elements. */
const WEIGHT = { element: 1, rule: 6, object: 2 } as const;
/**
 * Which devices are known is read from it where nothing can be loaded (agent/kernel/open.ts): as long as no rule asks it none of them is
 * closed.
 */
const DEVICES: string = SETS.fromPort;

/**
 * What can go ahead does, where that is more than two pieces.
 * @param most that a piece holds: elements, sets and chains as two, rules as six of these.
 */
export function divideLarge(transaction: Transaction, most: number): Divided {
  const parts = transaction.map((change) => divideChange(change, most));
  return { ahead: parts.flatMap(({ ahead }) => ahead), rest: parts.flatMap(({ rest }) => rest) };
}

function divideChange(change: TableChange, most: number): Divided {
  const whole = { ahead: [], rest: [change] };
  switch (change.kind) {
    case 'create': {
      const { family, name } = change.table;
      const divided = divideUpdate({ kind: 'update', family, name, changes: creation(change.table) }, most);
      if (divided === undefined) return whole;
      const [first = [], ...others] = divided.ahead;
      const bare: TableChange = { kind: 'create', table: { ...change.table, sets: new Map(), chains: new Map() } };
      // Not by itself: where somebody made the table meanwhile, that alone would be no transaction.
      return { ...divided, ahead: [[bare, ...first], ...others] };
    }
    case 'update':
      return divideUpdate(change, most) ?? whole;
    case 'replace':
    case 'delete':
      return whole;
  }
}

/** @returns undefined for one that goes in as a whole. */
function divideUpdate(change: Extract<TableChange, { kind: 'update' }>, most: number): Divided | undefined {
  const { changes } = change;
  // Then new members may have to wait (stages.ts).
  if (changes.some(losesIntervals)) return undefined;
  const fresh = new Set(changes.flatMap((one) => (one.kind === 'add-set' ? [one.set.name] : [])));
  const isAhead = (one: Change): boolean =>
    one.kind === 'add-elements'
      ? fresh.has(one.set.name) && one.set.name !== DEVICES
      : one.kind === 'add-set' || isNewChain(one);
  const ahead = changes.filter(isAhead);
  if (sum(ahead.map(weightOf)) <= 2 * most) return undefined;
  const rest = [...changes.filter((one) => !isAhead(one)), ...filledLast(ahead)];
  return { ahead: piecesOf(change, ahead, most), rest: [{ ...change, changes: rest }] };
}

/** What a table takes that is not there. */
function creation({ chains, sets }: Table): readonly Change[] {
  return [
    ...[...chains.values()].map((chain): Change => ({ kind: 'add-chain', chain })),
    ...[...sets.values()].map((set): Change => ({ kind: 'add-set', set })),
    ...[...sets.values()]
      .filter(({ content }) => content.elements.length > 0)
      .map((set): Change => ({ kind: 'add-elements', set, elements: set.content.elements })),
  ];
}

/** That these have rules says that flows are told apart by them (`holdsAdmission`): not before packets are. */
const LAST: ReadonlySet<string> = new Set(Object.values(ADMIT));

function filledLast(ahead: readonly Change[]): readonly Change[] {
  return ahead.flatMap((one) => (one.kind === 'add-chain' && LAST.has(one.chain.name) ? [filled(one.chain)] : []));
}

/** A chain that is there without rules gets them. */
function filled(chain: Chain): Change {
  return { kind: 'rewrite-chain', chain, before: [] };
}

/** All sets and chains, for elements lead to chains and rules to both; then the elements; then the rules. */
function piecesOf(
  { family, name }: Pick<Table, 'family' | 'name'>,
  ahead: readonly Change[],
  most: number,
): readonly Transaction[] {
  const bare: Change[] = [];
  const elements: Change[] = [];
  const rules: Change[] = [];
  for (const one of ahead) {
    if (one.kind === 'add-set') bare.push(one);
    else if (one.kind === 'add-chain') {
      bare.push({ ...one, chain: { ...one.chain, rules: [] } });
      if (!LAST.has(one.chain.name) && one.chain.rules.length > 0) rules.push(filled(one.chain));
    } else if (one.kind === 'add-elements') elements.push(...slices(one, most));
  }
  return [bare, elements, rules]
    .flatMap((changes) => packed(changes, most))
    .map((changes) => [{ kind: 'update', family, name, changes }]);
}

function slices({ kind, set, elements }: Extract<Change, { kind: 'add-elements' }>, most: number): readonly Change[] {
  const count = Math.ceil(elements.length / most);
  return Array.from({ length: count }, (_, index) => ({
    kind,
    set,
    elements: elements.slice(index * most, (index + 1) * most),
  }));
}

/** As few groups, in order, as hold no more than a piece each; what is larger itself stands alone. */
function packed(changes: readonly Change[], most: number): readonly (readonly Change[])[] {
  const groups: Change[][] = [];
  let room = 0;
  for (const one of changes) {
    const weight = weightOf(one);
    if (weight > room) {
      groups.push([]);
      room = most;
    }
    groups.at(-1)?.push(one);
    room -= weight;
  }
  return groups;
}

function weightOf(change: Change): number {
  if (change.kind === 'add-elements') return WEIGHT.element * change.elements.length;
  if (change.kind === 'add-chain' || change.kind === 'rewrite-chain')
    return WEIGHT.object + WEIGHT.rule * change.chain.rules.length;
  return WEIGHT.object;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
