/** Stage 5b: a transaction as texts that are applied one after the other, for packets that are under way meanwhile. docs/decisions/stages.md. */
import type { Change, Element, SetHead } from '../ruleset/change.js';
import { CLOSED_DEVICES, closedDevices, closedRule } from '../ruleset/closed.js';
import { CHAINS, SETS } from '../ruleset/fixed-names.js';
import type { TableState } from './state.js';
import { fullRuleText, setDeclaration } from './text.js';
import { printTransaction, type TableChange, type Transaction } from './transaction.js';

/** One transaction of the kernel's, of those that a difference takes. */
export interface Stage {
  /** Text that closes what tables that are replaced lead on; '' for nothing. */
  readonly closing: string;
  readonly transaction: Transaction;
}

/** The transaction as texts for `nft -f`, of {@link stagesOf}. */
export function printStages(transaction: Transaction): readonly string[] {
  return stagesOf(transaction).map(printStage);
}

export function printStage({ closing, transaction }: Stage): string {
  return `${closing}${printTransaction(transaction)}`;
}

/**
 * The transaction in stages, to be applied one after the other: mostly one. None when there is nothing to do.
 *
 * The kernel's commit is not one moment for a packet that is under way (nf_tables_commit, net/netfilter/nf_tables_api.c): it is judged by
 * the rules that were in force when it came to our table, and finds in sets and maps what is in force when it asks them.
 *
 * - A map that leads to a new chain leads such a packet to a chain that has no rules yet, and it passes. So new chains come beforehand, with
 *   all that is new; nothing leads there yet.
 * - What comes into a set of intervals, or goes from it, counts last, after all that goes was released (nft_set_commit_update). Where something
 *   goes at the same time, new sets of that kind come beforehand. In a long transaction such sets of groups lose beforehand where ports come
 *   to a group, and those of members where rules come; and members come behind it where a range of a group goes.
 * - A map that goes is empty for such a packet. So base chains go first, and what they asked behind them. Where the whole table is replaced
 *   they cannot: there what the map does not know is closed beforehand.
 */
export function stagesOf(transaction: Transaction): readonly Stage[] {
  const early: TableChange[] = [];
  const rest: TableChange[] = [];
  const late: TableChange[] = [];
  for (const change of transaction) {
    if (change.kind === 'delete') {
      const { before } = change;
      rest.push({ kind: 'update', family: before.family, name: before.name, changes: deletedBaseChains(before) });
      late.push(change);
    } else if (change.kind === 'update') {
      const isLong = isLongToWalk(change.changes);
      const isEarlyOrLate = earlySteps(change.changes, isLong);
      const isLate = lateSteps(change.changes, isLong, isEarlyOrLate);
      const isEarly = (step: Change): boolean => isEarlyOrLate(step) && !isLate(step);
      const take = (which: (step: Change) => boolean): TableChange => ({
        ...change,
        changes: change.changes.filter(which),
      });
      early.push(take(isEarly));
      rest.push(take((step) => !isEarly(step) && !isLate(step)));
      late.push(take(isLate));
    } else rest.push(change);
  }
  const closing = transaction
    .map((change) => (change.kind === 'replace' ? printBeforeReplacing(change.before) : ''))
    .join('');
  return [early, rest, late]
    .map((changes, index) => ({ closing: index === 0 ? closing : '', transaction: changes.filter(isAny) }))
    .filter((stage) => stage.closing !== '' || stage.transaction.length > 0);
}

/**
 * What is to be applied before a table is deleted and made anew at once: its maps are empty for a packet that is under way then, which would pass
 * from a device that no managed prefix names. Such devices are closed behind the maps. '' for none.
 */
export function printBeforeReplacing({ family, name, sets, chains }: TableState): string {
  const devices = [...(sets.get(SETS.fromPort)?.elements ?? [])].flatMap(([device, data]) =>
    data === 'accept' || data === `goto ${CHAINS.unfilteredOut}` ? [] : [device],
  );
  if (devices.length === 0) return '';
  const table = `${family} ${name}`;
  const lines = [
    `add set ${table} ${CLOSED_DEVICES} { ${setDeclaration(closedDevices([])).join('; ')}; }`,
    `add element ${table} ${CLOSED_DEVICES} { ${devices.join(', ')} }`,
    ...DIRECTIONS.filter((chain) => chains.has(chain)).map(
      (chain) => `add rule ${table} ${chain} ${fullRuleText(closedRule(chain))}`,
    ),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

const DIRECTIONS = ['egress', 'ingress'] as const;

function isAny(change: TableChange): boolean {
  return change.kind !== 'update' || change.changes.length > 0;
}

type Selection = (step: Change) => boolean;

function earlySteps(changes: readonly Change[], isLong: boolean): Selection {
  const chains = new Set(changes.flatMap((step) => (isNewChain(step) ? [step.chain.name] : [])));
  const fresh = new Set(changes.flatMap((step) => (step.kind === 'add-set' ? [step.set.name] : [])));
  // Nobody asks a map that is new itself.
  const leadsToNew =
    chains.size > 0 &&
    changes.some(
      (step) =>
        step.kind === 'add-elements' &&
        !fresh.has(step.set.name) &&
        step.elements.some((element) => chains.has(targetOf(element) ?? '')),
    );
  const hasRemoval = changes.some(isRemoval);
  const isEarlySet = (step: Change): step is AddSet =>
    step.kind === 'add-set' && (leadsToNew || (hasRemoval && step.set.interval));
  const sets = new Set(changes.flatMap((step) => (isEarlySet(step) ? [step.set.name] : [])));
  const losesFirst = isLong ? intervalsToLoseFirst(changes) : NONE;
  return (step) =>
    isEarlySet(step) ||
    (step.kind === 'add-elements' && sets.has(step.set.name)) ||
    (leadsToNew && isNewChain(step)) ||
    losesFirst(step);
}

/** Where ports come, or rules, what goes from a set of intervals would let them through, or let through by them. */
function intervalsToLoseFirst(changes: readonly Change[]): Selection {
  const gaining = new Set(changes.flatMap((step) => (step.kind === 'add-elements' ? [step.set.name] : [])));
  const comesPort = changes.some(
    (step) => step.kind === 'add-elements' && step.elements.some((element) => 'data' in element),
  );
  const comesRule = changes.some(gainsRules);
  // What gains too would lose what both policies allow.
  return (step) =>
    losesIntervals(step) && !gaining.has(step.set.name) && (comesPort || (comesRule && isOfMembers(step.set)));
}

function lateSteps(changes: readonly Change[], isLong: boolean, isEarly: Selection): Selection {
  const losesMap = changes.some((step) => step.kind === 'delete-set' && step.setKind === 'map');
  const losesRange = isLong && changes.some((step) => losesIntervals(step) && !isOfMembers(step.set) && !isEarly(step));
  return (step) =>
    (losesMap && (step.kind === 'delete-set' || (step.kind === 'delete-chain' && !step.isBase))) ||
    (losesRange && step.kind === 'add-elements' && isOfMembers(step.set));
}

const NONE: Selection = () => false;

/**
 * Elements from which on a transaction is long: the kernel's walk over it takes milliseconds. Of a shorter one it takes microseconds, and to
 * have members wait for a transaction of their own would lose more than it closes: who is allowed by both policies, before as somebody else.
 */
const LONG = 1000;

function isLongToWalk(changes: readonly Change[]): boolean {
  let count = 0;
  for (const step of changes) {
    if (step.kind === 'add-elements' || step.kind === 'delete-elements') count += step.elements.length;
    if (count >= LONG) return true;
  }
  return false;
}

function isOfMembers({ role }: SetHead): boolean {
  return role.kind === 'members';
}

/** A set of intervals that a group's rules ask loses some: port ranges, prefixes, members. */
export function losesIntervals(step: Change): step is Extract<Change, { kind: 'delete-elements' }> {
  return step.kind === 'delete-elements' && step.set.interval && step.set.role.kind !== 'fixed';
}

/** A group's rules let through something else, or more. */
function gainsRules(step: Change): boolean {
  if (step.kind === 'rewrite-chain') return step.chain.role.kind === 'group';
  return step.kind === 'add-elements' && step.set.role.kind === 'group';
}

function deletedBaseChains({ chains }: TableState): readonly Change[] {
  return [...chains].flatMap(([chain, { hook, comments }]): readonly Change[] =>
    hook === '' ? [] : [{ kind: 'delete-chain', chain, isBase: true, before: comments }],
  );
}

type AddSet = Extract<Change, { kind: 'add-set' }>;

/** A base chain is none: it judges from the moment when it is there. */
export function isNewChain(step: Change): step is Extract<Change, { kind: 'add-chain' }> {
  return step.kind === 'add-chain' && step.chain.hook === undefined;
}

/** The chain that an element of a verdict map leads to. */
function targetOf(element: Element): string | undefined {
  const data = 'data' in element ? element.data : undefined;
  return typeof data === 'object' && 'chain' in data ? data.chain : undefined;
}

/** True of what may take an accept away. */
function isRemoval({ kind }: Change): boolean {
  return kind !== 'add-set' && kind !== 'add-chain' && kind !== 'add-elements';
}
