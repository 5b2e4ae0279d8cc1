/**
 * Finds a device's rule among many: a tree of chains by the first characters of names, since iptables has no map.
 *
 * A node asks at most {@link WIDEST} names one by one; where there are more, it asks for what follows their common start.
 */
import { chainName, word } from './names.js';
import type { IptablesChain } from './types.js';

/** Names that a node asks one by one. */
const WIDEST = 8;

export interface Destination {
  readonly device: string;
  /** What to do with its packets: `-g CHAIN`, `-j ACCEPT`. */
  readonly target: string;
}

/**
 * @param root name of the tree's first chain, without our prefix.
 * @param match how a device, or the start of one (ending in `+`), is asked for.
 */
export function dispatchTree(
  root: string,
  destinations: readonly Destination[],
  match: (device: string) => string,
): readonly IptablesChain[] {
  const chains: IptablesChain[] = [];
  const build = (name: string, start: number, some: readonly Destination[]): void => {
    if (some.length <= WIDEST) {
      chains.push({ name, rules: some.map(({ device, target }) => `${match(word(device))} ${target}`) });
      return;
    }
    const common = commonLength(some, start);
    const groups = new Map<string, Destination[]>();
    for (const one of some) {
      const key = one.device.slice(0, common + 1);
      groups.set(key, [...(groups.get(key) ?? []), one]);
    }
    const rules: string[] = [];
    for (const [key, group] of groups) {
      const [only] = group;
      if (group.length === 1 && only !== undefined) {
        rules.push(`${match(word(only.device))} ${only.target}`);
        continue;
      }
      const child = chainName(`${root}-${key}`);
      rules.push(`${match(word(`${key}+`))} -g ${child}`);
      build(child, common + 1, group);
    }
    chains.push({ name, rules });
  };
  build(chainName(root), 0, destinations);
  // A chain stands before those that lead to it.
  return chains;
}

/** How many rules a packet of each device asks on its way, at most. */
export function dispatchCost(chains: readonly IptablesChain[]): number {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const costOf = (chain: IptablesChain): number =>
    Math.max(
      chain.rules.length,
      ...chain.rules.map((rule, index) => {
        const child = byName.get(/ -g (\S+)$/.exec(rule)?.[1] ?? '');
        return index + 1 + (child === undefined ? 0 : costOf(child));
      }),
    );
  const root = chains.at(-1);
  return root === undefined ? 0 : costOf(root);
}

function commonLength(some: readonly Destination[], start: number): number {
  const [first = ''] = some.map(({ device }) => device);
  let length = start;
  while (length < first.length && some.every(({ device }) => device[length] === first[length])) length++;
  return length;
}
