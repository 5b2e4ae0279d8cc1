/** A table that closes every device of the managed prefixes: the baseline, and what guards a datapath that is not in use. */
import type { Direction } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { counted, DROP, inSet, plainSet, tallySet } from './build.js';
import { arpBaseChain, baseChains } from './base-chains.js';
import type { Chain, NamedSet, Rule, Table, TableFamily } from './types.js';

/** The name of each of our tables. */
export const TABLE_NAME = 'portcullis';
/** The families that may hold a table of ours. */
export const TABLE_FAMILIES: readonly TableFamily[] = ['inet', 'arp', 'bridge'];

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

/** Devices that are closed by name, beside those of the managed prefixes. */
export const CLOSED_DEVICES = 'closed_devices';

/** The set of them. */
export function closedDevices(devices: readonly string[]): NamedSet {
  return plainSet(
    CLOSED_DEVICES,
    ['iifname'],
    devices.map((device) => [device]),
  );
}

/** The rule that closes them, at the end of the base chain of either direction. */
export function closedRule(direction: Direction): Rule {
  const field = direction === 'egress' ? 'iifname' : 'oifname';
  return counted([inSet([field], CLOSED_DEVICES)], DROP, 'closed until what is loaded is known');
}
