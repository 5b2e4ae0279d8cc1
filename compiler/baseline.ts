/**
 * The boot-time baseline: every device of the managed prefix is closed, in both datapaths, before anything is known of
 * ports. The base chains are those of the full ruleset, which later fills them in place.
 */
import { TABLE_NAME } from './ruleset/compile.js';
import { arpBaseChain, baseChains } from './ruleset/skeleton.js';
import { tallySet } from './ruleset/build.js';
import type { Chain, NamedSet, Table, TableFamily } from './ruleset/types.js';
import type { CompileOptions } from './options.js';

/** The baseline's tables. Only `devicePrefix` of the options matters. */
export function baselineTables(options: CompileOptions): readonly Table[] {
  return [
    closedTable('inet', baseChains('routed', options), BOTH),
    closedTable('arp', [arpBaseChain(options)], [tallySet('egress')]),
    closedTable('bridge', baseChains('bridge', options), BOTH),
  ];
}

const BOTH = [tallySet('egress'), tallySet('ingress')];

function closedTable(family: TableFamily, chains: readonly Chain[], sets: readonly NamedSet[]): Table {
  const closed = chains.map((chain) => ({
    ...chain,
    rules: chain.rules.filter((rule) => rule.action.kind !== 'verdict-map'),
  }));
  return {
    family,
    name: TABLE_NAME,
    sets: new Map(sets.map((set) => [set.name, set])),
    chains: new Map(closed.map((chain) => [chain.name, chain])),
  };
}
