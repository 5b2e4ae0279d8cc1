/** The program as text for `ipset restore`, `iptables-restore --noflush` and `ip6tables-restore --noflush`. */
import type { Family } from '../model/index.js';
import { CLOSING_SETS, isOurs, setName } from './names.js';
import { printRule } from './rule-text.js';
import { capacityOf, type ChainChange, type IpSet, type IptablesProgram, type SetChange } from './types.js';

/** Takes the place of another set, and goes. One that is there was left by a program that was ended in between. */
export const SPARE = setName('spare');

/** Loads the sets: each is there, and holds what it should and nothing else. To be loaded before the rules. */
export function printIpsets({ sets }: IptablesProgram): string {
  return lines(sets.flatMap(making));
}

/** No rule asks it yet, or the rules are made next. */
function making(set: IpSet): readonly string[] {
  return [
    `create ${set.name} ${declaration(set)} -exist`,
    `flush ${set.name}`,
    ...set.entries.map((entry) => `add ${set.name} ${entry}`),
  ];
}

/** A set's content changes at once: another set is filled and takes its place. */
function replacing(set: IpSet, entries: readonly string[]): readonly string[] {
  return [
    `create ${SPARE} ${declaration(set)}`,
    ...entries.map((entry) => `add ${SPARE} ${entry}`),
    `swap ${SPARE} ${set.name}`,
    `destroy ${SPARE}`,
  ];
}

/**
 * `narrow` makes sets and takes entries away, `widen` adds entries, `undo` adds again what `narrow` took away. Of a set whose entries close it
 * is the other way round: they come first and go last.
 */
export type Phase = 'narrow' | 'widen' | 'undo';

/** What a phase of a change does to the sets; '' for nothing. */
export function printSetChanges(changes: readonly SetChange[], phase: Phase): string {
  return lines(changes.flatMap((change) => linesOf(change)[phase]));
}

function linesOf(change: SetChange): Readonly<Record<Phase, readonly string[]>> {
  const add = (name: string, entries: readonly string[]): readonly string[] =>
    entries.map((entry) => `add ${name} ${entry} -exist`);
  const remove = (name: string, entries: readonly string[]): readonly string[] =>
    entries.map((entry) => `del ${name} ${entry} -exist`);
  switch (change.kind) {
    case 'create-set':
      return { narrow: making(change.set), widen: [], undo: [] };
    case 'remake-set':
      // No rule of ours asks it: they are made for sets of the right kind. While somebody else's does, the kernel refuses.
      return { narrow: [`destroy ${change.set.name}`, ...making(change.set)], widen: [], undo: [] };
    case 'replace-set': {
      const { set, before } = change;
      const [old, wanted] = [new Set(before), new Set(set.entries)];
      const kept = before.filter((entry) => wanted.has(entry));
      const added = set.entries.filter((entry) => !old.has(entry));
      const removed = before.filter((entry) => !wanted.has(entry));
      return CLOSING_SETS.has(set.name)
        ? {
            narrow: replacing(set, [...set.entries, ...removed]),
            widen: remove(set.name, removed),
            undo: remove(set.name, added),
          }
        : { narrow: replacing(set, kept), widen: add(set.name, added), undo: add(set.name, before) };
    }
    case 'change-set': {
      const { name, added, removed } = change;
      return CLOSING_SETS.has(name)
        ? { narrow: add(name, added), widen: remove(name, removed), undo: remove(name, added) }
        : { narrow: remove(name, removed), widen: add(name, added), undo: add(name, removed) };
    }
    case 'destroy-set':
      return { narrow: change.name === SPARE ? [`destroy ${SPARE}`] : [], widen: [], undo: [] };
  }
}

function declaration(set: IpSet): string {
  const { type, family } = set;
  switch (type) {
    case 'bitmap:port':
      return `${type} range 0-65535`;
    case 'hash:ip':
    case 'hash:net':
      return `${type} family ${family === 'IPv4' ? 'inet' : 'inet6'} maxelem ${capacityOf(set).toString()}`;
    case 'other':
      // None that is wanted (plan.ts).
      return type;
  }
}

/** Loads one family's rules, a table at a time, each at once. Chains of others are left alone. */
export function printIptables(program: IptablesProgram, family: Family): string {
  const tables = program.families[family];
  return (['raw', 'mangle'] as const)
    .filter((table) => tables[table].length > 0)
    .map((table) =>
      printRules({
        table,
        chains: tables[table].map(({ name, rules }) => ({ name, before: undefined, after: rules })),
      }),
    )
    .join('');
}

/** What changes in one table, at once. */
export interface TableChange {
  readonly table: 'raw' | 'mangle';
  readonly chains: readonly Pick<ChainChange, 'name' | 'before' | 'after'>[];
}

/**
 * A chain of ours that is named is made, or emptied. Of the kernel's own and of somebody else's only the jumps to ours change; those that
 * are wanted stand before whatever others have there.
 */
export function printRules({ table, chains }: TableChange): string {
  const ours = chains.filter(({ name }) => isOurs(name));
  const hooks = chains.filter(({ name }) => !isOurs(name));
  return lines([
    `*${table}`,
    ...ours.map((chain) => `:${chain.name} - [0:0]`),
    ...ours.flatMap(({ name, after = [] }) => after.map((rule) => `-A ${name} ${printRule(rule)}`)),
    ...hooks.flatMap(({ name, before = [], after = [] }) => [
      ...before.map((rule) => `-D ${name} ${printRule(rule)}`),
      ...after.map((rule, index) => `-I ${name} ${(index + 1).toString()} ${printRule(rule)}`),
    ]),
    ...ours.filter(({ after }) => after === undefined).map(({ name }) => `-X ${name}`),
    'COMMIT',
  ]);
}

function lines(all: readonly string[]): string {
  return all.length === 0 ? '' : `${all.join('\n')}\n`;
}
