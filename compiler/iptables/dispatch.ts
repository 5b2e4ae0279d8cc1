/**
 * Finds a device's rule among many: a tree of chains by the first characters of names, since iptables has no map.
 *
 * A node asks at most {@link WIDEST} names one by one; where there are more, it asks for what follows their common start.
 */
import { chainName } from './names.js';
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
 * @param rule the rule that asks for a device, or the start of one (ending in `+`).
 */
export function dispatchTree(
  root: string,
  destinations: readonly Destination[],
  rule: (device: string, target: string) => string,
): readonly IptablesChain[] {
  const chains: IptablesChain[] = [];
  const build = (name: string, start: number, some: readonly Destination[]): void => {
    if (some.length <= WIDEST) {
      chains.push({ name, rules: some.map(({ device, target }) => rule(device, target)) });
      return;
    }
    const common = commonLength(some, start);
    const groups = new Map<string, Destination[]>();
    for (const one of some) {
      const key = one.device.slice(0, common + 1);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [one]);
      else group.push(one);
    }
    const rules: string[] = [];
    for (const [key, group] of groups) {
      const [only] = group;
      if (group.length === 1 && only !== undefined) {
        rules.push(rule(only.device, only.target));
        continue;
      }
      const child = chainName(`${root}-${key}`);
      rules.push(rule(`${key}+`, `-g ${child}`));
      build(child, common + 1, group);
    }
    chains.push({ name, rules });
  };
  build(chainName(root), 0, destinations);
  // A chain stands before those that lead to it.
  return chains;
}

function commonLength(some: readonly Destination[], start: number): number {
  const first = some[0]?.device ?? '';
  let length = start;
  while (length < first.length && some.every(({ device }) => device[length] === first[length])) length++;
  return length;
}
