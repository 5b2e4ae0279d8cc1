/**
 * The text that closes, at once and without asking what is loaded: for the instant between somebody's `flush ruleset` and the
 * transaction that brings everything back. The next comparison takes it away.
 */
import {
  baselineTables,
  printTable,
  type Chain,
  type CompileOptions,
  type Rule,
  type Table,
} from '../compiler/index.js';
import type { Opened } from './watch/events.js';

const SET = 'closed_devices';

/**
 * @param devices closed beside those of the managed prefixes.
 * @param opened the tables; what else they hold stays.
 */
export function closingText(options: CompileOptions, devices: readonly string[], opened: readonly Opened[]): string {
  return baselineTables(options)
    .flatMap((table) => {
      const how = opened.find(({ family }) => family === table.family)?.how;
      if (how === undefined) return [];
      const name = `${table.family} ${table.name}`;
      // A table that sees no packet holds nothing to keep; what leads past what is closed must go.
      const anew = how !== 'gone' ? `table ${name}\ndelete table ${name}\n` : '';
      return [`${anew}${printTable(closing(table, devices))}`];
    })
    .join('');
}

function closing(table: Table, devices: readonly string[]): Table {
  if (devices.length === 0) return table;
  const chains = [...table.chains].map(([name, chain]): [string, Chain] => [
    name,
    { ...chain, rules: [...chain.rules, ...ruleOf(chain)] },
  ]);
  const content = { data: 'none', elements: devices.map((device) => [device]) } as const;
  const set = { name: SET, fields: ['iifname'] as const, interval: false, content };
  return { ...table, sets: new Map([...table.sets, [SET, set]]), chains: new Map(chains) };
}

function ruleOf({ name }: Chain): readonly Rule[] {
  const field = name === 'egress' ? 'iifname' : name === 'ingress' ? 'oifname' : undefined;
  if (field === undefined) return [];
  return [
    {
      matches: [{ kind: 'set', fields: [field], set: SET }],
      action: { kind: 'verdict', verdict: { kind: 'drop' } },
      counter: true,
      comment: 'closed until what is loaded is known',
    },
  ];
}
