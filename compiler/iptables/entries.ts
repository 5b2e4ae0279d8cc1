/** From the kernel's chains to those of the ports: the trees of devices, and what becomes of ports that are not filtered. */
import { DIRECTIONS, FAMILIES, type Direction, type Family, type Port } from '../model/index.js';
import { compareText } from '../host-policy.js';
import { isBridged } from '../datapath.js';
import type { CompileOptions } from '../options.js';
import { flowBits } from '../ruleset/admission.js';
import { profileChainName, type Profile } from '../ruleset/profiles.js';
import { dispatchTree } from './dispatch.js';
import { gives, runs } from './fixed.js';
import { chainName, ownAddressesName } from './names.js';
import { fromPortName } from './port.js';
import { DROP, goTo, jumpTo, PASS, type IptablesRule, type Target } from './rule.js';
import type { IpSet, IptablesChain } from './types.js';

/** Names of what a direction's packets meet first, without our prefix: the chain and the tree of devices behind it. */
export const ENTRIES = {
  egress: { entry: 'egress', tree: 'from', hook: 'PREROUTING' },
  ingress: { entry: 'ingress', tree: 'to', hook: 'POSTROUTING' },
} as const satisfies Record<Direction, unknown>;

/** From the kernel's chains to the ports, and the end of what belongs to no port. The same for both families. */
export function entryChains(
  ports: readonly Port[],
  profiles: ReadonlyMap<string, Profile>,
  options: CompileOptions,
): readonly IptablesChain[] {
  const { datapath, devicePrefixes } = options;
  const policyBridges = [...new Set(ports.map(({ bridge }) => bridge))].sort(compareText);
  return DIRECTIONS.flatMap((direction) => {
    const ask = DEVICE_RULE[isBridged(datapath) ? 'bridged' : 'routed'][direction];
    const { entry, tree, hook } = ENTRIES[direction];
    const ownTarget = ownTargets(profiles, direction);
    const targetOf = (port: Port): Target => {
      const profile = profiles.get(port.id);
      const own = profile === undefined ? undefined : ownTarget(port, profile);
      const unfiltered = direction === 'egress' && !isBridged(datapath) ? goTo(UNFILTERED_OUT) : PASS;
      return portTarget(port, own ?? DROP, unfiltered);
    };
    return [
      ...dispatchTree(
        tree,
        // A name that ends in + would stand for all that start so. In no tree it is closed, and it alone: by the guard (ruleset/guard.ts).
        ports.filter(isExactName).map((port) => ({ device: port.device, target: targetOf(port) })),
        ask,
      ),
      {
        name: chainName(entry),
        rules: [
          ...(direction === 'ingress' && isBridged(datapath) ? fromHost(policyBridges, options) : []),
          { target: jumpTo(chainName(tree)) },
          ...devicePrefixes.map((prefix) => ask(`${prefix}+`, DROP)),
          ...(direction === 'egress' && !isBridged(datapath) ? [{ target: jumpTo(OTHERS_OUT) }] : []),
        ],
      },
      { name: hook, rules: [{ target: jumpTo(chainName(entry)) }] },
    ];
  });
}

/** Where the host routes, an address of a port comes from that port alone. */
export const UNFILTERED_OUT = chainName('unfiltered_out');
export const OTHERS_OUT = chainName('others_out');

export function addressSets(ports: readonly Port[], { datapath }: CompileOptions): readonly IpSet[] {
  if (isBridged(datapath)) return [];
  // A port that migrates is on either host for a while.
  const fixed = ports
    .filter(({ filtering, migratingTo }) => filtering === 'filtered' && migratingTo === undefined)
    .flatMap(({ fixedIps }) => fixedIps);
  return FAMILIES.map((family) => ({
    name: ownAddressesName(family),
    type: 'hash:ip',
    family,
    entries: [...new Set(fixed.filter((prefix) => prefix.family === family).map(({ text }) => text))].sort(compareText),
  }));
}

export function unfilteredChains(family: Family, { datapath }: CompileOptions): readonly IptablesChain[] {
  if (isBridged(datapath)) return [];
  const foreign: IptablesRule = {
    matches: [{ kind: 'set', set: ownAddressesName(family), side: 'src' }],
    target: DROP,
  };
  return [
    { name: UNFILTERED_OUT, rules: [foreign, { target: PASS }] },
    { name: OTHERS_OUT, rules: [foreign] },
  ];
}

/** What the host itself sends to a bridge is not judged (docs/datapaths.md): its answers pass. */
function fromHost(bridges: readonly string[], options: CompileOptions): readonly IptablesRule[] {
  return bridges.map((output) => ({
    output,
    matches: [{ kind: 'not-bridged' }, runs('ORIGINAL')],
    target: gives(flowBits(options).responder),
  }));
}

function isExactName(port: Port): boolean {
  return !port.device.endsWith('+');
}

/** Where a filtered port's packets go on from the tree. */
function ownTargets(
  profiles: ReadonlyMap<string, Profile>,
  direction: Direction,
): (port: Port, profile: Profile) => Target | undefined {
  if (direction === 'egress') return (port) => goTo(fromPortName(port.device));
  const targets = profileTargets(profiles, direction);
  return (_port, profile) => targets.get(profile);
}

/** The chain of a profile, as a target: one object for all its ports. */
export function profileTargets(
  profiles: ReadonlyMap<string, Profile>,
  direction: Direction,
): ReadonlyMap<Profile, Target> {
  const distinct = new Set(profiles.values());
  return new Map([...distinct].map((profile) => [profile, goTo(chainName(profileChainName(profile, direction)))]));
}

function portTarget(port: Port, filtered: Target, unfiltered: Target): Target {
  switch (port.filtering) {
    case 'filtered':
      return filtered;
    case 'port-security-off':
      return unfiltered;
    case 'trusted':
      return PASS;
    case 'down':
    case 'closed':
      return DROP;
  }
}

type AskForDevice = (device: string, target: Target) => IptablesRule;

/** How a device is asked for. */
const DEVICE_RULE: Readonly<Record<'routed' | 'bridged', Readonly<Record<Direction, AskForDevice>>>> = {
  routed: {
    egress: (input, target) => ({ input, target }),
    ingress: (output, target) => ({ output, target }),
  },
  bridged: {
    egress: (device, target) => ({ matches: [{ kind: 'bridge-input', device }], target }),
    ingress: (device, target) => ({ matches: [{ kind: 'bridge-output', device }], target }),
  },
};
