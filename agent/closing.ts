/**
 * What closes, at once and without asking what is loaded: for the instant between somebody's `flush ruleset` and the transaction that
 * brings everything back, and for as long as nothing can be loaded. The next comparison takes it away.
 */
import {
  baselineTables,
  CLOSED_DEVICES,
  closedDevices,
  closedRule,
  GUARDED,
  printTable,
  SETS,
  type Chain,
  type CompileOptions,
  type Table,
  type TableFamily,
} from '../compiler/index.js';
import { addTable, removeTable, type NfTablesMessage } from './netlink/nf-tables-batch.js';
import { IFNAMSIZ } from './netlink/nf-tables-header.js';
import { NetlinkError } from './netlink/socket.js';

/** EBUSY, EEXIST, EINVAL, EOPNOTSUPP: something of that name is there, and is another thing. */
const IN_THE_WAY = new Set([16, 17, 22, 95]);

/** What holds names of devices: the dispatch of a full table, the guard of rules in iptables, and what closes. */
export const SETS_OF_DEVICES: readonly string[] = [SETS.fromPort, GUARDED, CLOSED_DEVICES];

/** A table of ours that closes nothing any more. */
export interface Opened {
  readonly family: TableFamily;
  /** The table is gone, or rules of it; it was made dormant and sees no packet; it leaves packets to rules of iptables that are gone. */
  readonly how: 'gone' | 'dormant' | 'unguarded';
}

/** Messages that close a table, by what happened to it. */
export type Closing = ReadonlyMap<TableFamily, Readonly<Record<Opened['how'], readonly NfTablesMessage[]>>>;

/** @param devices closed beside those of the managed prefixes. */
export function closingTables(options: CompileOptions, devices: readonly string[]): readonly Table[] {
  // A device with a longer one is nowhere.
  const names = devices.filter((name) => Buffer.byteLength(name) < IFNAMSIZ);
  return baselineTables(options).map((table) => closing(table, names));
}

/** As {@link closingTables}, as what goes over netlink. */
export function closingMessages(options: CompileOptions, devices: readonly string[]): Closing {
  return new Map(
    closingTables(options, devices).map((table) => {
      const gone = addTable(table);
      // A table that sees no packet holds nothing to keep; what leads past what is closed must go.
      const anew = [...removeTable(table), ...gone];
      return [table.family, { gone, dormant: anew, unguarded: anew }];
    }),
  );
}

/**
 * Closes the tables that somebody opened. What else they hold stays; where that is in the way (a base chain of that name in another
 * place), the table is made anew. One that cannot be closed keeps none of the others open. Rejects with the first error.
 * @param apply brings messages in as one transaction.
 */
export async function closeTables(
  apply: (messages: readonly NfTablesMessage[]) => Promise<void>,
  all: Closing,
  opened: readonly Opened[],
): Promise<void> {
  try {
    await apply(messagesFor(all, opened));
  } catch (error) {
    const [first, ...others] = opened;
    if (!(error instanceof NetlinkError) || first === undefined) throw error;
    if (others.length > 0) {
      const results = await Promise.allSettled(opened.map(async (one) => closeTables(apply, all, [one])));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    } else if (first.how === 'gone' && IN_THE_WAY.has(error.errno)) {
      await apply(messagesFor(all, [{ ...first, how: 'dormant' }]));
    } else throw error;
  }
}

function messagesFor(all: Closing, opened: readonly Opened[]): readonly NfTablesMessage[] {
  return opened.flatMap(({ family, how }) => all.get(family)?.[how] ?? []);
}

/** The same, as text for nft. */
export function closingText(options: CompileOptions, devices: readonly string[], opened: readonly Opened[]): string {
  return closingTables(options, devices)
    .flatMap((table) => {
      const how = opened.find(({ family }) => family === table.family)?.how;
      if (how === undefined) return [];
      const name = `${table.family} ${table.name}`;
      const anew = how !== 'gone' ? `table ${name}\ndelete table ${name}\n` : '';
      return [`${anew}${printTable(table)}`];
    })
    .join('');
}

function closing(table: Table, devices: readonly string[]): Table {
  if (devices.length === 0) return table;
  const chains = [...table.chains].map(([name, chain]): [string, Chain] => [
    name,
    name === 'egress' || name === 'ingress' ? { ...chain, rules: [...chain.rules, closedRule(name)] } : chain,
  ]);
  const set = closedDevices(devices);
  return { ...table, sets: new Map([...table.sets, [set.name, set]]), chains: new Map(chains) };
}
