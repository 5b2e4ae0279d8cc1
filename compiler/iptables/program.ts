/**
 * Host policy -> iptables and ipset. What a packet meets, in either family's mangle table:
 *
 * from a port: PREROUTING -> pc-egress -> tree of devices -> pc-from_<device> (own addresses) -> pc-profile_*_out -> group
 * chains -> drop. To a port: POSTROUTING -> pc-ingress -> tree -> pc-profile_*_in -> group chains -> drop.
 *
 * The same places and the same order of judgement as the nftables ruleset (ruleset/skeleton.ts). ARP and frames that are not
 * IP never get to iptables: table arp, or table bridge, judges them.
 */
import {
  covers,
  FAMILIES,
  isExact,
  type Direction,
  type Family,
  type Port,
  type Prefix,
  type SecurityGroup,
} from '../model/index.js';
import { compareText, memberKey, ownAddresses, type HostPolicy, type MemberSet } from '../host-policy.js';
import { shortNames } from '../names.js';
import type { CompileOptions } from '../options.js';
import { mergeRules } from '../permits.js';
import { flowBits, type FlowBits } from '../ruleset/admission.js';
import { memberSetNames } from '../ruleset/member-set-names.js';
import { groupChainName, type MemberSetNames } from '../ruleset/group-chain.js';
import type { ZoneAssignment } from '../zones.js';
import { profileChainName, profilesOf, type Profile } from '../ruleset/profiles.js';
import { owedBits } from '../ruleset/guard.js';
import { isBridged } from '../datapath.js';
import { dispatchTree } from './dispatch.js';
import { groupRules, netEntries, type MemberNames } from './group.js';
import { ADMIT_CHAIN, chainName, ownAddressesName, PASS, setName, word } from './names.js';
import { egressChains, fromPortName, SPOOFED } from './port.js';
import { ruleText } from './rule.js';
import { serviceRules, toDhcpServer } from './services.js';
import type { FamilyTables, IpSet, IptablesChain, IptablesProgram } from './types.js';

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];
const DROP = '-j DROP';

/** What was compiled of ports and groups that are still the same objects: they are never changed in place. */
export class IptablesMemory {
  /** A port's profile follows from the port alone. */
  readonly ports = new WeakMap<Port, PortChains>();
  readonly groups = new WeakMap<SecurityGroup, RememberedGroup>();
}

type PortChains = Readonly<Record<Family, readonly IptablesChain[]>>;

interface RememberedGroup {
  readonly names: string;
  readonly sets: readonly IpSet[];
  readonly chains: Readonly<Record<Family, readonly IptablesChain[]>>;
}

/** Compiles what a host needs. Deterministic: equal policies give equal programs. */
export function iptablesProgram(policy: HostPolicy, options: CompileOptions): IptablesProgram {
  const { sets, families } = iptablesRules(policy, options, new IptablesMemory());
  return { sets: [...memberSets(policy), ...sets], families };
}

/**
 * The program without the sets of members.
 * @param memory what the last compilation with the same options left; the result is the same without it.
 */
export function iptablesRules(policy: HostPolicy, options: CompileOptions, memory: IptablesMemory): IptablesProgram {
  const groups = groupChains(policy, memory);
  const profiles = profilesOf(policy.ports, policy.groups);
  const ports = portChains(policy.ports, profiles, memory);
  const groupNames = shortNames(policy.groups.keys());
  const entries = entryChains(policy.ports, profiles, options);
  const stateless = statelessSets(policy.ports, profiles);
  const tables = (family: Family): FamilyTables => ({
    raw: rawChains(
      policy.zones.zones,
      sourceRules(policy.zones, family),
      stateless.filter((set) => set.family === family).flatMap(untrackedRules),
      isBridged(options.datapath),
    ),
    mangle: [
      ...fixedChains(family, options),
      ...unfilteredChains(family, options),
      ...groups.flatMap(({ chains }) => chains[family]),
      ...profileChains(profiles, family, groupNames, flowBits(options)),
      ...ports.flatMap((chains) => chains[family]),
      ...entries,
    ],
  });
  return {
    sets: [...stateless, ...addressSets(policy.ports, options), ...groups.flatMap(({ sets }) => sets)],
    families: { IPv4: tables('IPv4'), IPv6: tables('IPv6') },
  };
}

// Members

/** The sets that {@link iptablesRules} leaves out. */
export function memberSets(policy: HostPolicy): readonly IpSet[] {
  const sets: IpSet[] = [];
  for (const [member, { addresses, prefixes }] of namesOfMembers(policy)) {
    const { family } = member;
    sets.push(addressSet(addresses, family, member.addresses));
    if (prefixes !== undefined) sets.push(netSet(prefixes, family, member.prefixes));
  }
  return sets;
}

function addressSet(name: string, family: Family, addresses: readonly Prefix[]): IpSet {
  return { name: setName(name), type: 'hash:ip', family, entries: addresses.map(({ text }) => text) };
}

function netSet(name: string, family: Family, prefixes: readonly Prefix[]): IpSet {
  return { name: setName(name), type: 'hash:net', family, entries: prefixes.flatMap(netEntries) };
}

/** Names as in the ruleset of nftables. */
function namesOfMembers(policy: HostPolicy): readonly (readonly [MemberSet, MemberSetNames])[] {
  const short = shortNames(new Set([...policy.memberSets.values()].map(({ id }) => id)));
  return [...policy.memberSets.values()].map((member) => [
    member,
    memberSetNames(member, short.get(member.id) ?? member.id, member.prefixes.length > 0),
  ]);
}

// Groups and profiles

function groupChains(policy: HostPolicy, memory: IptablesMemory): readonly RememberedGroup[] {
  const names = shortNames(policy.groups.keys());
  const memberNames: MemberNames = new Map(
    namesOfMembers(policy).map(([{ kind, id, family }, { addresses, prefixes }]) => [
      memberKey(kind, id, family),
      [addresses, ...(prefixes === undefined ? [] : [prefixes])].map(setName),
    ]),
  );
  return [...policy.groups.values()].map((group) => {
    const short = names.get(group.id) ?? group.id;
    const used = [short, ...usedNames(group, memberNames)].join(' ');
    const known = memory.groups.get(group);
    if (known?.names === used) return known;
    const made = compileGroup(group, short, memberNames);
    const remembered = { names: used, ...made };
    memory.groups.set(group, remembered);
    return remembered;
  });
}

function usedNames({ rules }: SecurityGroup, memberNames: MemberNames): readonly string[] {
  return rules.flatMap(({ remote, family }) =>
    remote.kind === 'security-group' || remote.kind === 'address-group'
      ? (memberNames.get(memberKey(remote.kind, remote.id, family)) ?? [])
      : [],
  );
}

function compileGroup(
  group: SecurityGroup,
  short: string,
  memberNames: MemberNames,
): Pick<RememberedGroup, 'sets' | 'chains'> {
  const sets: IpSet[] = [];
  const chains: Record<Family, IptablesChain[]> = { IPv4: [], IPv6: [] };
  for (const direction of DIRECTIONS) {
    const permits = mergeRules(group.rules, direction);
    const name = groupChainName(short, direction);
    for (const family of FAMILIES) {
      const made = groupRules(permits, { name, direction, family }, memberNames);
      chains[family].push({ name: chainName(name), rules: made.rules });
      sets.push(...made.sets);
    }
  }
  return { sets, chains };
}

function profileChains(
  profiles: ReadonlyMap<string, Profile>,
  family: Family,
  groupNames: ReadonlyMap<string, string>,
  bits: FlowBits,
): readonly IptablesChain[] {
  const distinct = [...new Map([...profiles.values()].map((profile) => [profile.name, profile])).values()];
  return distinct
    .sort((a, b) => compareText(a.name, b.name))
    .flatMap((profile) =>
      DIRECTIONS.map((direction) => ({
        name: chainName(profileChainName(profile, direction)),
        rules: [
          ...(direction === 'ingress' && !profile.families.includes(family) ? closedFamily(family) : []),
          ...(profile.stateful ? admittedRules(direction, family, bits) : []),
          `-j ${SERVICE[direction]}`,
          ...(profile.stateful ? [`-j ${STATE[direction]}`] : []),
          ...profile.groups.map(
            (group) => `-j ${chainName(groupChainName(groupNames.get(group.id) ?? group.id, direction))}`,
          ),
          DROP,
        ],
      })),
    );
}

/** Link-local IPv6 is open to every port; one that has no IPv4 address gets what DHCP servers answer, and nothing else. */
function closedFamily(family: Family): readonly string[] {
  return family === 'IPv4' ? [`-j ${SERVICE.ingress}`, DROP] : [`-j ${LINK_LOCAL_ONLY}`];
}

// The fixed part

const STATE: Readonly<Record<Direction, string>> = { egress: chainName('state_out'), ingress: chainName('state_in') };
const LINK_LOCAL_ONLY = chainName('link_local_only');
const SERVICE: Readonly<Record<Direction, string>> = {
  egress: chainName('service_out'),
  ingress: chainName('service_in'),
};

const hex = (value: number): string => `0x${value.toString(16)}`;
const carries = (set: number, unset = 0): string => `-m connmark --mark ${hex(set)}/${hex((set | unset) >>> 0)}`;
const runs = (direction: 'ORIGINAL' | 'REPLY'): string => `-m conntrack --ctdir ${direction}`;
const gives = (bit: number): string => `-j CONNMARK --set-xmark ${hex(bit)}/${hex(bit)}`;

/**
 * Of a flow that the port admitted. They stand first: most packets are of one, and no flow of services has the bits. But ICMPv6 goes the long
 * way, since a redirect belongs to a flow and no port may send one.
 */
function admittedRules(
  direction: Direction,
  family: Family,
  { originator, responder, revoked }: FlowBits,
): readonly string[] {
  const [began, answers] = direction === 'egress' ? [originator, responder] : [responder, originator];
  const notIcmp = family === 'IPv4' ? '' : '! -p ipv6-icmp ';
  return [
    `${notIcmp}${carries(began, revoked)} ${runs('ORIGINAL')} ${PASS}`,
    `${notIcmp}${carries(answers, revoked)} ${runs('REPLY')} ${PASS}`,
  ];
}

/** As in ruleset/admission.ts. */
function stateRules(direction: Direction, family: Family, bits: FlowBits): readonly string[] {
  const { originator, responder, revoked } = bits;
  const icmp = family === 'IPv4' ? 'icmp' : 'ipv6-icmp';
  return [
    ...(family === 'IPv4' ? [] : admittedRules(direction, family, bits).map((rule) => rule.replace('! ', ''))),
    '-m conntrack --ctstate NEW -j RETURN',
    `-m conntrack --ctstate RELATED,ESTABLISHED ${carries(revoked)} ${DROP}`,
    // Linux calls UDP-Lite invalid as it is sent.
    `! -p udplite -m conntrack --ctstate INVALID ${DROP}`,
    ...[originator, responder].map(
      (bit) => `! -p ${icmp} -m conntrack --ctstate RELATED ${carries(bit)} -g ${ADMIT_CHAIN[direction]}`,
    ),
  ];
}

function admitChains(family: Family, { originator, responder }: FlowBits): readonly IptablesChain[] {
  // What is for several stations is judged for each of them.
  const toSeveral = ['broadcast', 'multicast'].map((type) => `-m pkttype --pkt-type ${type} ${PASS}`);
  return [
    { name: ADMIT_CHAIN.egress, rules: [`${runs('ORIGINAL')} ${gives(originator)}`, PASS] },
    {
      name: ADMIT_CHAIN.ingress,
      rules: [...toSeveral, `${toDhcpServer(family)} ${PASS}`, `${runs('ORIGINAL')} ${gives(responder)}`, PASS],
    },
  ];
}

/** True when these rules, or such ones, tell flows that ports admitted from others: then live flows carry the bits. */
export function iptablesHoldsAdmission({ families }: IptablesProgram): boolean {
  return families.IPv4.mangle.some(({ name }) => name === ADMIT_CHAIN.egress);
}

function fixedChains(family: Family, options: CompileOptions): readonly IptablesChain[] {
  const bits = flowBits(options);
  const { egress, ingress } = owedBits(options);
  const paid = `-j MARK --set-xmark 0x0/${hex((egress | ingress) >>> 0)}`;
  return [
    { name: SPOOFED, rules: [DROP] },
    { name: chainName('pass'), rules: [paid, '-j ACCEPT'] },
    ...admitChains(family, bits),
    ...DIRECTIONS.map((direction) => ({ name: STATE[direction], rules: stateRules(direction, family, bits) })),
    {
      name: LINK_LOCAL_ONLY,
      rules: family === 'IPv6' ? ['-d fe80::/10 -j RETURN', '-d ff02::/16 -j RETURN', DROP] : [DROP],
    },
    ...DIRECTIONS.map((direction) => ({ name: SERVICE[direction], rules: serviceRules(direction, family) })),
  ];
}

// Ports

function portChains(
  ports: readonly Port[],
  profiles: ReadonlyMap<string, Profile>,
  memory: IptablesMemory,
): readonly PortChains[] {
  return ports.flatMap((port) => {
    const profile = profiles.get(port.id);
    if (profile === undefined) return [];
    const known = memory.ports.get(port);
    if (known !== undefined) return known;
    const target = chainName(profileChainName(profile, 'egress'));
    const chains = { IPv4: egressChains(port, 'IPv4', target), IPv6: egressChains(port, 'IPv6', target) };
    memory.ports.set(port, chains);
    return chains;
  });
}

/** From the kernel's chains to the ports, and the end of what belongs to no port. The same for both families. */
function entryChains(
  ports: readonly Port[],
  profiles: ReadonlyMap<string, Profile>,
  options: CompileOptions,
): readonly IptablesChain[] {
  const { datapath, devicePrefixes } = options;
  const policyBridges = [...new Set(ports.map(({ bridge }) => bridge))].sort(compareText);
  return DIRECTIONS.flatMap((direction) => {
    const ask = DEVICE_RULE[isBridged(datapath) ? 'bridged' : 'routed'][direction];
    const [entry, tree, hook] =
      direction === 'egress' ? ['egress', 'from', 'PREROUTING'] : ['ingress', 'to', 'POSTROUTING'];
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
const UNFILTERED_OUT = chainName('unfiltered_out');
const OTHERS_OUT = chainName('others_out');

function addressSets(ports: readonly Port[], { datapath }: CompileOptions): readonly IpSet[] {
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

function unfilteredChains(family: Family, { datapath }: CompileOptions): readonly IptablesChain[] {
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

// The raw table: zones, and what is not tracked

/** The entry of the raw table's PREROUTING. */
export const RAW_ENTRY = chainName('raw_in');

/**
 * The chains that give packets their zone, or keep them from being tracked.
 * @param zones by device; on bridges by bridge, which is the device of their packets where iptables sees them.
 * @param sources rules for sources that leave the zone of their device.
 * @param untracked rules that stand before: a packet that has a zone cannot be kept from tracking any more (xt_CT.c).
 * @param isAlways whether there are chains when there is nothing to say.
 */
export function rawChains(
  zones: ReadonlyMap<string, number>,
  sources: readonly string[],
  untracked: readonly string[],
  isAlways: boolean,
): readonly IptablesChain[] {
  if (zones.size + sources.length + untracked.length === 0 && !isAlways) return [];
  const destinations = [...zones].map(([device, zone]) => ({ device, target: `-j CT --zone ${zone.toString()}` }));
  const tree = (way: 'in' | 'out'): readonly IptablesChain[] => {
    const side = way === 'in' ? 'input' : 'output';
    return dispatchTree(`zone_${way}`, destinations, (device, target) => ruleText({ [side]: device, target }));
  };
  return [
    ...tree('in'),
    { name: RAW_ENTRY, rules: [...untracked, ...sources, `-j ${chainName('zone_in')}`] },
    { name: 'PREROUTING', rules: [`-j ${RAW_ENTRY}`] },
    ...tree('out'),
    { name: 'OUTPUT', rules: [`-j ${chainName('zone_out')}`] },
  ];
}

function sourceRules({ sources }: ZoneAssignment, family: Family): readonly string[] {
  return sources
    .filter(({ source }) => source.family === family)
    .filter(({ device }) => !device.endsWith('+'))
    .map(({ device, source, zone }) => ruleText({ source, input: device, target: `-j CT --zone ${zone.toString()}` }));
}

/**
 * Between two ports of this host whose groups are stateless nobody asks for the state of a connection. Any other packet may be
 * of a flow that a stateful port, or the host's own rules and address translation, follow: docs/decisions/iptables.md.
 */
function untrackedRules({ name }: IpSet): readonly string[] {
  const both = ['src', 'dst'].map((side) => `-m set --match-set ${name} ${side}`);
  return [ruleText({ matches: both, target: '-j CT --notrack' })];
}

/** What only stateless ports of this host may send from; none where there is one such port at most. */
function statelessSets(ports: readonly Port[], profiles: ReadonlyMap<string, Profile>): readonly IpSet[] {
  const isStateless = (port: Port): boolean => profiles.get(port.id)?.stateful === false;
  const others = ports.filter((port) => !isStateless(port)).flatMap(ownAddresses);
  const theirs = new Set(others.map(({ prefix }) => prefix.text));
  const wide = others.filter(({ prefix }) => !isExact(prefix));
  return FAMILIES.flatMap((family): readonly IpSet[] => {
    const own = ports
      .filter(isStateless)
      .flatMap(ownAddresses)
      .filter(({ prefix }) => prefix.family === family && isExact(prefix))
      .filter(({ prefix }) => !theirs.has(prefix.text) && !wide.some((other) => covers(other.prefix, prefix)));
    const entries = [...new Set(own.map(({ prefix }) => prefix.text))].sort(compareText);
    if (entries.length < 2) return [];
    return [{ name: setName(family === 'IPv4' ? 'stateless4' : 'stateless6'), type: 'hash:ip', family, entries }];
  });
}
