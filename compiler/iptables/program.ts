/**
 * Host policy -> iptables and ipset. What a packet meets, in either family's mangle table:
 *
 * from a port: PREROUTING -> pc-egress -> tree of devices -> pc-from_<device> (own addresses) -> pc-profile_*_out -> group
 * chains -> drop. To a port: POSTROUTING -> pc-ingress -> tree -> pc-profile_*_in -> group chains -> drop.
 *
 * The same places and the same order of judgement as the nftables ruleset (ruleset/skeleton.ts). ARP and frames that are not
 * IP never get to iptables: table arp, or table bridge, judges them.
 */
import { FAMILIES, type Direction, type Family, type Port } from '../../src/model/index.js';
import { compareText, memberKey, type HostPolicy } from '../host-policy.js';
import { shortNames } from '../names.js';
import type { CompileOptions } from '../options.js';
import { mergeRules } from '../permits.js';
import { memberSetNames } from '../ruleset/compile.js';
import { groupChainName } from '../ruleset/group-chain.js';
import { profileChainName, profilesOf, type Profile } from '../ruleset/profiles.js';
import { isBridged, type Datapath } from '../ruleset/types.js';
import { dispatchTree } from './dispatch.js';
import { groupRules, netEntries, type MemberNames } from './group.js';
import { chainName, setName, word } from './names.js';
import { egressChains, fromPortName, SPOOFED } from './port.js';
import type { FamilyTables, IpSet, IptablesChain, IptablesProgram } from './types.js';

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];
const DROP = '-j DROP';
const ACCEPT = '-j ACCEPT';

/** Compiles what a host needs. Deterministic: equal policies give equal programs. */
export function iptablesProgram(policy: HostPolicy, options: CompileOptions): IptablesProgram {
  const members = memberSets(policy);
  const groups = groupChains(policy, members.names);
  const profiles = profilesOf(policy.ports, policy.groups);
  const tables = (family: Family): FamilyTables => ({
    raw: zoneChains(policy, options.datapath),
    mangle: [
      ...fixedChains(family, options),
      ...groups.chains[family],
      ...profileChains(profiles, family, shortNames(policy.groups.keys())),
      ...portChains(policy.ports, profiles, family),
      ...entryChains(policy.ports, profiles, options),
    ],
  });
  return { sets: [...members.sets, ...groups.sets], families: { IPv4: tables('IPv4'), IPv6: tables('IPv6') } };
}

// Members

function memberSets(policy: HostPolicy): { readonly sets: readonly IpSet[]; readonly names: MemberNames } {
  const short = shortNames(new Set([...policy.memberSets.values()].map(({ id }) => id)));
  const sets: IpSet[] = [];
  const names = new Map<string, readonly string[]>();
  for (const member of policy.memberSets.values()) {
    const own = memberSetNames(member, short.get(member.id) ?? member.id, member.prefixes.length > 0);
    const { family } = member;
    const addresses: IpSet = {
      name: setName(own.addresses),
      type: 'hash:ip',
      family,
      entries: member.addresses.map(({ text }) => text),
    };
    const prefixes: readonly IpSet[] =
      own.prefixes === undefined
        ? []
        : [{ name: setName(own.prefixes), type: 'hash:net', family, entries: member.prefixes.flatMap(netEntries) }];
    sets.push(addresses, ...prefixes);
    names.set(
      memberKey(member.kind, member.id, family),
      [addresses, ...prefixes].map(({ name }) => name),
    );
  }
  return { sets, names };
}

// Groups and profiles

function groupChains(
  policy: HostPolicy,
  memberNames: MemberNames,
): { readonly sets: readonly IpSet[]; readonly chains: Readonly<Record<Family, readonly IptablesChain[]>> } {
  const names = shortNames(policy.groups.keys());
  const sets: IpSet[] = [];
  const chains: Record<Family, IptablesChain[]> = { IPv4: [], IPv6: [] };
  for (const group of policy.groups.values()) {
    for (const direction of DIRECTIONS) {
      const permits = mergeRules(group.rules, direction);
      const name = groupChainName(names.get(group.id) ?? group.id, direction);
      for (const family of FAMILIES) {
        const made = groupRules(permits, { name, direction, family }, memberNames);
        chains[family].push({ name: chainName(name), rules: made.rules });
        sets.push(...made.sets);
      }
    }
  }
  return { sets, chains };
}

function profileChains(
  profiles: ReadonlyMap<string, Profile>,
  family: Family,
  groupNames: ReadonlyMap<string, string>,
): readonly IptablesChain[] {
  const distinct = [...new Map([...profiles.values()].map((profile) => [profile.name, profile])).values()];
  return distinct
    .sort((a, b) => compareText(a.name, b.name))
    .flatMap((profile) =>
      DIRECTIONS.map((direction) => ({
        name: chainName(profileChainName(profile, direction)),
        rules: [
          ...(direction === 'ingress' && !profile.families.includes(family) ? closedFamily(family) : []),
          `-j ${SERVICE[direction]}`,
          ...(profile.stateful ? [`-j ${STATE}`] : []),
          ...profile.groups.map(
            (group) => `-j ${chainName(groupChainName(groupNames.get(group.id) ?? group.id, direction))}`,
          ),
          DROP,
        ],
      })),
    );
}

/** Link-local IPv6 is open to every port; an IPv4 address that is not there cannot be sent to. */
function closedFamily(family: Family): readonly string[] {
  return family === 'IPv4' ? [DROP] : [`-j ${LINK_LOCAL_ONLY}`];
}

// The fixed part

const STATE = chainName('state');
const LINK_LOCAL_ONLY = chainName('link_local_only');
const SERVICE: Readonly<Record<Direction, string>> = {
  egress: chainName('service_out'),
  ingress: chainName('service_in'),
};

function fixedChains(family: Family, { revokedMark }: CompileOptions): readonly IptablesChain[] {
  const bit = `0x${revokedMark.toString(16)}`;
  const tracked = '-m conntrack --ctstate ESTABLISHED,RELATED';
  return [
    { name: SPOOFED, rules: [DROP] },
    {
      name: STATE,
      rules: [
        `${tracked} -m connmark ! --mark ${bit}/${bit} ${ACCEPT}`,
        `${tracked} ${DROP}`,
        `-m conntrack --ctstate INVALID ${DROP}`,
      ],
    },
    {
      name: LINK_LOCAL_ONLY,
      rules: family === 'IPv6' ? ['-d fe80::/10 -j RETURN', '-d ff02::/16 -j RETURN', DROP] : [DROP],
    },
    { name: SERVICE.egress, rules: family === 'IPv4' ? SERVICE_OUT4 : SERVICE_OUT6 },
    { name: SERVICE.ingress, rules: family === 'IPv4' ? SERVICE_IN4 : SERVICE_IN6 },
  ];
}

const udp = (from: number, to: number): string => `-p udp -m udp --sport ${from.toString()} --dport ${to.toString()}`;
const icmpv6 = (type: number): string => `-p icmpv6 -m icmp6 --icmpv6-type ${type.toString()}`;

/** DHCP (RFC 2131) and DHCPv6 (RFC 8415): clients, never servers. */
const SERVICE_OUT4 = [`${udp(68, 67)} ${ACCEPT}`, `${udp(67, 68)} ${DROP}`];
const SERVICE_IN4 = [`${udp(67, 68)} ${ACCEPT}`];
/** Neighbour discovery and MLD as in ruleset/skeleton.ts; an advertisement was judged before. */
const SERVICE_OUT6 = [
  `${udp(546, 547)} ${ACCEPT}`,
  `${udp(547, 546)} ${DROP}`,
  ...[131, 132, 133, 135, 143].map((type) => `${icmpv6(type)} ${ACCEPT}`),
  ...[134, 137].map((type) => `${icmpv6(type)} ${DROP}`),
];
const SERVICE_IN6 = [`${udp(547, 546)} ${ACCEPT}`, ...[130, 134, 135, 136].map((type) => `${icmpv6(type)} ${ACCEPT}`)];

// Ports

function portChains(
  ports: readonly Port[],
  profiles: ReadonlyMap<string, Profile>,
  family: Family,
): readonly IptablesChain[] {
  return ports.flatMap((port) => {
    const profile = profiles.get(port.id);
    return profile === undefined ? [] : egressChains(port, family, chainName(profileChainName(profile, 'egress')));
  });
}

/** From the kernel's chains to the ports, and the end of what belongs to no port. */
function entryChains(
  ports: readonly Port[],
  profiles: ReadonlyMap<string, Profile>,
  { datapath, devicePrefix }: CompileOptions,
): readonly IptablesChain[] {
  return DIRECTIONS.flatMap((direction) => {
    const match = DEVICE_MATCH[isBridged(datapath) ? 'bridged' : 'routed'][direction];
    const [entry, tree, hook] =
      direction === 'egress' ? ['egress', 'from', 'PREROUTING'] : ['ingress', 'to', 'POSTROUTING'];
    const targetOf = (port: Port): string => {
      const profile = profiles.get(port.id);
      const own = profile === undefined ? undefined : ownTarget(port, profile, direction);
      return portTarget(port, own ?? DROP);
    };
    const [plain, wild] = [ports.filter(isExactName), ports.filter((port) => !isExactName(port))];
    return [
      ...dispatchTree(
        tree,
        plain.map((port) => ({ device: port.device, target: targetOf(port) })),
        match,
      ),
      {
        name: chainName(entry),
        rules: [
          // A name that ends in + would stand for all that start so: closed.
          ...wild.map((port) => `${match(word(port.device))} ${DROP}`),
          `-j ${chainName(tree)}`,
          `${match(word(`${devicePrefix}+`))} ${DROP}`,
        ],
      },
      { name: hook, rules: [`-j ${chainName(entry)}`] },
    ];
  });
}

function isExactName(port: Port): boolean {
  return !port.device.endsWith('+');
}

function ownTarget(port: Port, profile: Profile, direction: Direction): string {
  const chain = direction === 'egress' ? fromPortName(port.device) : chainName(profileChainName(profile, direction));
  return `-g ${chain}`;
}

function portTarget(port: Port, filtered: string): string {
  switch (port.filtering) {
    case 'filtered':
      return filtered;
    case 'port-security-off':
    case 'trusted':
      return ACCEPT;
    case 'down':
      return DROP;
  }
}

/** How a device is asked for; the argument is a word of iptables-restore. */
const DEVICE_MATCH = {
  routed: { egress: (device: string) => `-i ${device}`, ingress: (device: string) => `-o ${device}` },
  bridged: {
    egress: (device: string) => `-m physdev --physdev-in ${device}`,
    ingress: (device: string) => `-m physdev --physdev-is-bridged --physdev-out ${device}`,
  },
} as const satisfies Record<string, Record<Direction, (device: string) => string>>;

// Zones

/** Packets of bridges have the bridge as their device where iptables sees them. */
function zoneChains({ zones }: HostPolicy, datapath: Datapath): readonly IptablesChain[] {
  if (zones.zones.size === 0 && !isBridged(datapath)) return [];
  const destinations = [...zones.zones].map(([device, zone]) => ({
    device,
    target: `-j CT --zone ${zone.toString()}`,
  }));
  return (['in', 'out'] as const).flatMap((way) => {
    const tree = `zone_${way}`;
    return [
      ...dispatchTree(tree, destinations, (device) => `-${way[0] ?? ''} ${device}`),
      { name: way === 'in' ? 'PREROUTING' : 'OUTPUT', rules: [`-j ${chainName(tree)}`] },
    ];
  });
}
