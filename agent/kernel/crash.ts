/**
 * Why nft crashes: nft 1.0.6 reads every set of every table before it loads anything, and dies of one that a newer program made. Which
 * one that is can be found out with nft itself, whatever its version: it dies alike of listing that set alone.
 */
import { TABLE_NAME } from '../../compiler/index.js';
import { listSets, type SetName } from '../netlink/tables.js';
import { runProgram, type ProgramResult } from './program.js';

/** Signals of a program that is broken, not of somebody who ends it. */
const CRASHES: ReadonlyMap<string, number> = new Map([
  ['SIGILL', 4],
  ['SIGTRAP', 5],
  ['SIGABRT', 6],
  ['SIGBUS', 7],
  ['SIGFPE', 8],
  ['SIGSEGV', 11],
]);
/** A shell between us and the program says its signal so. */
const SIGNAL_STATUS = 128;
/** Tables, and sets of one, that are looked at: each is a start of nft. */
const MOST = 100;

/** The signal that a program crashed by; undefined for one that did not. */
export function crashOf(result: ProgramResult): string | undefined {
  if (result.kind === 'killed') return CRASHES.has(result.signal) ? result.signal : undefined;
  if (result.kind !== 'ended') return undefined;
  return [...CRASHES].find(([, number]) => result.code === SIGNAL_STATUS + number)?.[0];
}

/** What of somebody else's nft cannot read, for the operator; undefined when it cannot be found. */
export async function unreadableSet(): Promise<string | undefined> {
  try {
    const sets = (await listSets()).filter(({ table }) => table !== TABLE_NAME);
    const tables = distinct(sets.map(({ family, table }) => `${family} ${table}`));
    const crashing = await firstThatCrashes(tables, (name) => ['list', 'table', ...name.split(' ')]);
    if (crashing === undefined) return undefined;
    const within = sets.filter(({ family, table }) => `${family} ${table}` === crashing);
    const set = await firstThatCrashes(within, ({ family, table, set: name }) => ['list', 'set', family, table, name]);
    return set === undefined ? `something in table ${crashing}` : nameOf(set);
  } catch {
    // What the kernel holds cannot be asked either: the crash itself is told.
    return undefined;
  }
}

function nameOf({ family, table, set }: SetName): string {
  return `set ${set} of table ${family} ${table}`;
}

async function firstThatCrashes<T>(all: readonly T[], args: (one: T) => readonly string[]): Promise<T | undefined> {
  for (const one of all.slice(0, MOST)) {
    const result = await runProgram('nft', args(one));
    if (crashOf(result) !== undefined) return one;
    // One that hangs as well says nothing.
    if (result.kind === 'late') return undefined;
  }
  return undefined;
}

function distinct(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}
