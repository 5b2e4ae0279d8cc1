/**
 * Finds a device's rule among many: a tree of chains by the first characters of names, since iptables has no map.
 *
 * A node asks at most {@link WIDEST} names one by one; where there are more, it asks for what follows their common start.
 */
import { chainName } from './names.js';
import { goTo, jumpOfAll, type IptablesRule, type Match, type Target } from './rule.js';
import type { IptablesChain } from './types.js';

/** Names that a node asks one by one. */
const WIDEST = 8;

export interface Destination {
  readonly device: string;
  /** What to do with its packets. */
  readonly target: Target;
}

/**
 * @param root name of the tree's first chain, without our prefix.
 * @param rule the rule that asks for a device, or the start of one (ending in `+`).
 */
export function dispatchTree(
  root: string,
  destinations: readonly Destination[],
  rule: (device: string, target: Target) => IptablesRule,
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
    const rules: IptablesRule[] = [];
    for (const [key, group] of groups) {
      const [only] = group;
      if (group.length === 1 && only !== undefined) {
        rules.push(rule(only.device, only.target));
        continue;
      }
      const child = chainName(`${root}-${key}`);
      rules.push(rule(`${key}+`, goTo(child)));
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

interface DeviceRule {
  readonly device: string;
  readonly target: Target;
}

/** The device that a rule asks for, and nothing else, and where it leads; undefined for any other rule. */
export function readDeviceRule(rule: IptablesRule): DeviceRule | undefined {
  const { source, destination, input, output, protocol, notProtocol, matches = [], target } = rule;
  if (target === undefined || !LEADING.has(target.kind)) return undefined;
  if ((source ?? destination ?? protocol ?? notProtocol) !== undefined) return undefined;
  const [device, ...more] = [input ?? [], output ?? [], ...matches.map(bridgePort)].flat();
  return device === undefined || more.length > 0 ? undefined : { device, target };
}

/** Those that rules of devices have. */
const LEADING: ReadonlySet<Target['kind']> = new Set(['jump', 'goto', 'verdict', 'zone']);

/** A match of anything else is one too many. */
function bridgePort(match: Match): string | undefined {
  return match.kind === 'bridge-input' || match.kind === 'bridge-output' ? match.device : undefined;
}

/** The device from which packets must come that a rule is for; undefined where it does not ask. */
export function inputDevice({ input, matches = [] }: IptablesRule): string | undefined {
  return input ?? matches.flatMap((match) => (match.kind === 'bridge-input' ? match.device : []))[0];
}

/**
 * Where the rules of a direction lead, by device: those of the tree and, before it, those for names that are in no tree.
 * @param chains rules by chain, as they are loaded.
 * @param entry name of the chain that leads to the tree, `tree` of the tree's first, both without our prefix.
 */
export function readDispatch(
  chains: ReadonlyMap<string, readonly IptablesRule[]>,
  { entry, tree }: { readonly entry: string; readonly tree: string },
): ReadonlyMap<string, Target> {
  const found = new Map<string, Target>();
  const rulesIn = (chain: string): readonly DeviceRule[] =>
    (chains.get(chain) ?? []).flatMap((rule) => readDeviceRule(rule) ?? []);
  const isTree = new Set<string>();
  const walk = (chain: string): void => {
    // The kernel takes no loops; whoever reads what somebody wrote ends all the same.
    if (isTree.has(chain)) return;
    isTree.add(chain);
    for (const { device, target } of rulesIn(chain)) {
      if (device.endsWith('+') && target.kind === 'goto') walk(target.chain);
      else found.set(device, target);
    }
  };
  walk(chainName(tree));
  const before = chains.get(chainName(entry)) ?? [];
  const end = before.findIndex((rule) => jumpOfAll(rule) === chainName(tree));
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
