/**
 * Host policy -> iptables and ipset. What a packet meets, in either family's mangle table:
 *
 * from a port: PREROUTING -> pc-egress -> tree of devices -> pc-from_<device> (own addresses) -> pc-profile_*_out -> group
 * chains -> drop. To a port: POSTROUTING -> pc-ingress -> tree -> pc-profile_*_in -> group chains -> drop.
 *
 * The same places and the same order of judgement as the nftables ruleset (ruleset/skeleton.ts). ARP and frames that are not
 * IP never get to iptables: table arp, or table bridge, judges them.
 */
import { DIRECTIONS, FAMILIES, type Family, type Port, type SecurityGroup } from '../model/index.js';
import { compareText, memberKey, type HostPolicy } from '../host-policy.js';
import { shortNames } from '../names.js';
import type { CompileOptions } from '../options.js';
import { mergeRules } from '../permits.js';
import { flowBits, type FlowBits } from '../ruleset/admission.js';
import { groupChainName } from '../ruleset/group-chain.js';
import { profileChainName, profilesOf, type Profile } from '../ruleset/profiles.js';
import { isBridged } from '../datapath.js';
import { addressSets, entryChains, profileTargets, unfilteredChains } from './entries.js';
import { admittedRules, fixedChains, LINK_LOCAL_ONLY, SERVICE, STATE } from './fixed.js';
import { groupRules, type MemberRemotes } from './group.js';
import { isUnspecified, memberSets, namesOfMembers } from './members.js';
import { chainName, setName } from './names.js';
import { egressChains } from './port.js';
import { DROP, jumpTo, type IptablesRule } from './rule.js';
import type { FamilyTables, IpSet, IptablesChain, IptablesProgram } from './types.js';
import { rawChains, rawZones, statelessSets } from './zones.js';

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
  const tables = (family: Family): FamilyTables => {
    const zones = rawZones(policy.zones, family, stateless);
    return {
      zones,
      raw: rawChains(zones, isBridged(options.datapath)),
      mangle: [
        ...fixedChains(family, options),
        ...unfilteredChains(family, options),
        ...groups.flatMap(({ chains }) => chains[family]),
        ...profileChains(profiles, family, groupNames, flowBits(options)),
        ...ports.flatMap((chains) => chains[family]),
        ...entries,
      ],
    };
  };
  return {
    sets: [...stateless, ...addressSets(policy.ports, options), ...groups.flatMap(({ sets }) => sets)],
    families: { IPv4: tables('IPv4'), IPv6: tables('IPv6') },
  };
}

// Groups and profiles

function groupChains(policy: HostPolicy, memory: IptablesMemory): readonly RememberedGroup[] {
  const names = shortNames(policy.groups.keys());
  const members: MemberRemotes = new Map(
    namesOfMembers(policy).map(([member, { addresses, prefixes }]) => [
      memberKey(member.kind, member.id, member.family),
      [
        ...[addresses, ...(prefixes === undefined ? [] : [prefixes])].map((name) => ({ set: setName(name) })),
        ...member.addresses.filter(isUnspecified).map((prefix) => ({ prefix })),
      ],
    ]),
  );
  return [...policy.groups.values()].map((group) => {
    const short = names.get(group.id) ?? group.id;
    const used = [short, ...usedMembers(group, members)].join(' ');
    const known = memory.groups.get(group);
    if (known?.names === used) return known;
    const made = compileGroup(group, short, members);
    const remembered = { names: used, ...made };
    memory.groups.set(group, remembered);
    return remembered;
  });
}

function usedMembers({ rules }: SecurityGroup, members: MemberRemotes): readonly string[] {
  return rules.flatMap(({ remote, family }) =>
    remote.kind === 'security-group' || remote.kind === 'address-group'
      ? (members.get(memberKey(remote.kind, remote.id, family)) ?? []).map(
          ({ set, prefix }) => set ?? prefix?.text ?? '',
        )
      : [],
  );
}

function compileGroup(
  group: SecurityGroup,
  short: string,
  members: MemberRemotes,
): Pick<RememberedGroup, 'sets' | 'chains'> {
  const sets: IpSet[] = [];
  const chains: Record<Family, IptablesChain[]> = { IPv4: [], IPv6: [] };
  for (const direction of DIRECTIONS) {
    const permits = mergeRules(group.rules, direction);
    const name = groupChainName(short, direction);
    for (const family of FAMILIES) {
      const made = groupRules(permits, { name, direction, family }, members);
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
          { target: jumpTo(SERVICE[direction]) },
          ...(profile.stateful ? [{ target: jumpTo(STATE[direction]) }] : []),
          ...profile.groups.map(({ id }) => ({
            target: jumpTo(chainName(groupChainName(groupNames.get(id) ?? id, direction))),
          })),
          { target: DROP },
        ],
      })),
    );
}

/** Link-local IPv6 is open to every port; one that has no IPv4 address gets what DHCP servers answer, and nothing else. */
function closedFamily(family: Family): readonly IptablesRule[] {
  return family === 'IPv4'
    ? [{ target: jumpTo(SERVICE.ingress) }, { target: DROP }]
    : [{ target: jumpTo(LINK_LOCAL_ONLY) }];
}

// Ports

function portChains(
  ports: readonly Port[],
  profiles: ReadonlyMap<string, Profile>,
  memory: IptablesMemory,
): readonly PortChains[] {
  const targets = profileTargets(profiles, 'egress');
  return ports.flatMap((port) => {
    const profile = profiles.get(port.id);
    const target = profile === undefined ? undefined : targets.get(profile);
    if (target === undefined) return [];
    const known = memory.ports.get(port);
    if (known !== undefined) return known;
    const chains = egressChains(port, target);
    memory.ports.set(port, chains);
    return chains;
  });
}
