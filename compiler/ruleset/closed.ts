/** A table that closes every device of the managed prefixes: the baseline, and what guards a datapath that is not in use. */
import type { Direction } from '../../src/model/index.js';
import type { CompileOptions } from '../options.js';
import { tallySet } from './build.js';
import { arpBaseChain, baseChains } from './skeleton.js';
import type { Chain, Table, TableFamily } from './types.js';

/** The name of each of our tables. */
export const TABLE_NAME = 'portcullis';

/** The base chains of the family's full table, without their dispatch. Only `devicePrefixes` of the options matters. */
export function closedTable(family: TableFamily, options: CompileOptions): Table {
  const { chains, directions } = closedParts(family, options);
  const closed = chains.map((chain) => ({
    ...chain,
    rules: chain.rules.filter((rule) => rule.action.kind !== 'verdict-map'),
  }));
  return {
    family,
    name: TABLE_NAME,
    sets: new Map(directions.map(tallySet).map((set) => [set.name, set])),
    chains: new Map(closed.map((chain) => [chain.name, chain])),
  };
}

function closedParts(
  family: TableFamily,
  options: CompileOptions,
): { readonly chains: readonly Chain[]; readonly directions: readonly Direction[] } {
  switch (family) {
    case 'inet':
      return { chains: baseChains('routed', options), directions: ['egress', 'ingress'] };
    case 'bridge':
      return { chains: baseChains('bridge', options), directions: ['egress', 'ingress'] };
    case 'arp':
      return { chains: [arpBaseChain(options)], directions: ['egress'] };
  }
}
