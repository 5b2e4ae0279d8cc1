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

/** True for the chains of the tree that {@link dispatchTree} makes of a root. */
export function isOfTree(root: string, chain: string): boolean {
  return chain === chainName(root) || chain.startsWith(`${chainName(root)}-`);
}

/** A rule that asks for a device, as {@link dispatchTree} is given them, or for the start of one. */
const DEVICE_RULE = /^(?:-[io]|-m physdev --physdev-(?:in|out)) (\S+)(?: --physdev-is-bridged)? -([gj]) (\S+)$/;

interface DeviceRule {
  readonly device: string;
  /** As in {@link Destination}. */
  readonly target: string;
  /** Where it goes to; undefined for a jump. */
  readonly child: string | undefined;
}

/** The device that a rule asks for, and where it leads; undefined for any other rule. */
export function readDeviceRule(rule: string): DeviceRule | undefined {
  const [, quoted, how, target] = DEVICE_RULE.exec(rule) ?? [];
  if (quoted === undefined || how === undefined || target === undefined) return undefined;
  const device = quoted.replaceAll(/["\\]/g, '');
  return { device, target: `-${how} ${target}`, child: how === 'g' ? target : undefined };
}

/**
 * Where the rules of a direction lead, by device: those of the tree and, before it, those for names that are in no tree.
 * @param chains rules by chain, as they are loaded.
 * @param entry name of the chain that leads to the tree, `tree` of the tree's first, both without our prefix.
 */
export function readDispatch(
  chains: ReadonlyMap<string, readonly string[]>,
  { entry, tree }: { readonly entry: string; readonly tree: string },
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const rulesIn = (chain: string): readonly DeviceRule[] =>
    (chains.get(chain) ?? []).flatMap((rule) => readDeviceRule(rule) ?? []);
  const isTree = new Set<string>();
  const walk = (chain: string): void => {
    // The kernel takes no loops; whoever reads what somebody wrote ends all the same.
    if (isTree.has(chain)) return;
    isTree.add(chain);
    for (const { device, target, child } of rulesIn(chain)) {
      if (device.endsWith('+') && child !== undefined) walk(child);
      else found.set(device, target);
    }
  };
  walk(chainName(tree));
  const before = chains.get(chainName(entry)) ?? [];
  const end = before.indexOf(`-j ${chainName(tree)}`);
  for (const rule of before.slice(0, Math.max(end, 0))) {
    const wild = readDeviceRule(rule);
    if (wild !== undefined) found.set(wild.device, wild.target);
  }
  return found;
}

function commonLength(some: readonly Destination[], start: number): number {
  const first = some[0]?.device ?? '';
  let length = start;
  while (length < first.length && some.every(({ device }) => device[length] === first[length])) length++;
  return length;
}
