/** From the kernel's chains to those of the ports: the trees of devices, and what becomes of ports that are not filtered. */
import { DIRECTIONS, FAMILIES, type Direction, type Family, type Port } from '../model/index.js';
import { compareText } from '../host-policy.js';
import { isBridged } from '../datapath.js';
import type { CompileOptions } from '../options.js';
import { flowBits } from '../ruleset/admission.js';
import { profileChainName, type Profile } from '../ruleset/profiles.js';
import { dispatchTree } from './dispatch.js';
import { gives, runs } from './fixed.js';
import { chainName, DROP, ownAddressesName, PASS, word } from './names.js';
import { fromPortName } from './port.js';
import { ruleText } from './rule.js';
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
    const targetOf = (port: Port): string => {
      const profile = profiles.get(port.id);
      const own = profile === undefined ? undefined : ownTarget(port, profile, direction);
      const unfiltered = direction === 'egress' && !isBridged(datapath) ? `-g ${UNFILTERED_OUT}` : PASS;
      return portTarget(port, own ?? DROP, unfiltered);
    };
    const [plain, wild] = [ports.filter(isExactName), ports.filter((port) => !isExactName(port))];
    return [
      ...dispatchTree(
        tree,
        plain.map((port) => ({ device: port.device, target: targetOf(port) })),
        ask,
      ),
      {
        name: chainName(entry),
        rules: [
          // A name that ends in + would stand for all that start so: closed.
          ...wild.map((port) => ask(port.device, DROP)),
          ...(direction === 'ingress' && isBridged(datapath) ? fromHost(policyBridges, options) : []),
          `-j ${chainName(tree)}`,
          ...devicePrefixes.map((prefix) => ask(`${prefix}+`, DROP)),
          ...(direction === 'egress' && !isBridged(datapath) ? [`-j ${OTHERS_OUT}`] : []),
        ],
      },
      { name: hook, rules: [`-j ${chainName(entry)}`] },
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
  const foreign = `-m set --match-set ${ownAddressesName(family)} src ${DROP}`;
  return [
    { name: UNFILTERED_OUT, rules: [foreign, PASS] },
    { name: OTHERS_OUT, rules: [foreign] },
  ];
}

/** What the host itself sends to a bridge is not judged (docs/datapaths.md): its answers pass. */
function fromHost(bridges: readonly string[], options: CompileOptions): readonly string[] {
  return bridges.map((output) =>
    ruleText({
      output,
      matches: ['-m physdev ! --physdev-is-bridged', runs('ORIGINAL')],
      target: gives(flowBits(options).responder),
    }),
  );
}

function isExactName(port: Port): boolean {
  return !port.device.endsWith('+');
}

function ownTarget(port: Port, profile: Profile, direction: Direction): string {
  const chain = direction === 'egress' ? fromPortName(port.device) : chainName(profileChainName(profile, direction));
  return `-g ${chain}`;
}

function portTarget(port: Port, filtered: string, unfiltered: string): string {
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

type AskForDevice = (device: string, target: string) => string;

/** How a device is asked for. */
const DEVICE_RULE: Readonly<Record<'routed' | 'bridged', Readonly<Record<Direction, AskForDevice>>>> = {
  routed: {
    egress: (input, target) => ruleText({ input, target }),
    ingress: (output, target) => ruleText({ output, target }),
  },
  bridged: {
    egress: (device, target) => ruleText({ matches: [`-m physdev --physdev-in ${word(device)}`], target }),
    ingress: (device, target) =>
      ruleText({ matches: [`-m physdev --physdev-out ${word(device)} --physdev-is-bridged`], target }),
  },
};
