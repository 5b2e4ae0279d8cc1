/**
 * The boot-time baseline: every device of the managed prefix is closed, in both datapaths, before anything is known of
 * ports. The base chains are those of the full ruleset, which later fills them in place.
 */
import { TABLE_NAME } from './ruleset/compile.js';
import { arpBaseChain, baseChains } from './ruleset/skeleton.js';
import type { Chain, Table, TableFamily } from './ruleset/types.js';
import type { CompileOptions } from './options.js';

/** The baseline's tables. Only `devicePrefix` of the options matters. */
export function baselineTables(options: CompileOptions): readonly Table[] {
  return [
    closedTable('inet', baseChains('routed', options)),
    closedTable('arp', [arpBaseChain(options)]),
    closedTable('bridge', baseChains('bridge', options)),
  ];
}

function closedTable(family: TableFamily, chains: readonly Chain[]): Table {
  const closed = chains.map((chain) => ({
    ...chain,
    rules: chain.rules.filter((rule) => rule.action.kind !== 'verdict-map'),
  }));
  return { family, name: TABLE_NAME, sets: new Map(), chains: new Map(closed.map((chain) => [chain.name, chain])) };
}
