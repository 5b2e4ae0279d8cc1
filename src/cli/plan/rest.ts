/** What no line of a group, of members or of a port speaks of: the fixed part, what somebody put there, tables as a whole. */
import {
  isNamedAfter,
  readChainName,
  type Change,
  type Element,
  type ListedElement,
  type Transaction,
} from '../../../compiler/index.js';
import type { PlanLine } from './line.js';

/** Names that a line has. */
const MOST = 5;

/** @param lines those that were said already. */
export function restLines(transaction: Transaction, lines: readonly PlanLine[]): readonly PlanLine[] {
  return transaction.flatMap((change): readonly PlanLine[] => {
    switch (change.kind) {
      case 'create':
        return [line('+', `table ${change.table.family} ${change.table.name}`)];
      case 'delete':
        return [line('-', `table ${change.before.family} ${change.before.name}`)];
      case 'replace': {
        const { family, name } = change.table;
        return [line('~', `table ${family} ${name} is replaced: ${change.why} cannot be changed in place`)];
      }
      case 'update': {
        const unspoken = change.changes.filter((part) => !isSpokenOf(part, lines));
        return namedLine(`table ${change.family} ${change.name}`, unspoken.map(nameOf));
      }
    }
  });
}

/** A line of what is no group's and no port's. */
export function line(sign: PlanLine['sign'], text: string): PlanLine {
  return { sign, kind: 'rest', subject: '', text };
}

/** What changes in one place, by its names; nothing where there are none. */
export function namedLine(place: string, names: readonly string[]): readonly PlanLine[] {
  const distinct = [...new Set(names)];
  if (distinct.length === 0) return [];
  const more = distinct.length > MOST ? ` and ${(distinct.length - MOST).toString()} more` : '';
  return [line('~', `${place}: ${distinct.slice(0, MOST).join(', ')}${more}`)];
}

function isSpokenOf(change: Change, lines: readonly PlanLine[]): boolean {
  const [hasGroups, hasPorts] = [lines.some(({ kind }) => kind === 'group'), lines.some(({ kind }) => kind === 'port')];
  const isOfGroup = (name: string): boolean =>
    lines.some(({ kind, subject }) => kind !== 'port' && isNamedAfter(name, subject));
  switch (change.kind) {
    case 'add-chain':
      return isOfGroup(change.chain.name) || (change.chain.role.kind === 'profile' && hasPorts);
    case 'delete-chain':
      return isOfGroup(change.chain) || (readChainName(change.chain)?.kind === 'profile' && hasPorts);
    case 'rewrite-chain':
      return isOfGroup(change.chain.name);
    case 'add-set':
      return isOfGroup(change.set.name) || (change.set.role.kind === 'members' ? hasGroups : hasPorts);
    case 'delete-set':
      return isOfGroup(change.set) || (change.role.kind === 'members' ? hasGroups : hasPorts);
    case 'add-elements':
    case 'delete-elements':
      return (
        isOfGroup(change.set.name) ||
        (change.set.role.kind === 'members' && hasGroups) ||
        change.elements.every((element) => isOfPort(element, lines))
      );
  }
}

/** The key begins with the device, where it has one; else it is an address. */
function isOfPort(element: Element | ListedElement, lines: readonly PlanLine[]): boolean {
  const device = deviceOf(element);
  return lines.some(({ kind, subject }) => kind === 'port' && (device === undefined || subject === device));
}

function deviceOf(element: Element | ListedElement): string | undefined {
  if ('listed' in element) return /^"([^"]*)"/.exec(element.listed)?.[1];
  const [first] = 'key' in element ? element.key : element;
  return typeof first === 'string' ? first : undefined;
}

function nameOf(change: Change): string {
  switch (change.kind) {
    case 'add-set':
    case 'add-elements':
    case 'delete-elements':
      return `set ${change.set.name}`;
    case 'add-chain':
    case 'rewrite-chain':
      return `chain ${change.chain.name}`;
    case 'delete-chain':
      return `chain ${change.chain}`;
    case 'delete-set':
      return `set ${change.set}`;
  }
}
