/**
 * Stage 3c: profiles. Ports with the same groups (and the same families) share one chain per direction, so that a port
 * costs a map element and no rule.
 */
import { FAMILIES, type Direction, type Family, type Port, type SecurityGroup } from '../model/index.js';
import { hasFamily } from '../host-policy.js';
import { digest } from '../names.js';
import { SERVICES } from './admission.js';
import { chainOf, dropped, is, jump, rule } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { groupChainName } from './group-chain.js';
import { CHAINS } from './fixed-names.js';
import type { Chain, Match, Rule } from './types.js';
import { isBridged, type Datapath } from '../datapath.js';

export interface Profile {
  readonly name: string;
  /** Sorted by id. */
  readonly groups: readonly SecurityGroup[];
  /** Families in which the ports have an address. */
  readonly families: readonly Family[];
  /** A port without a group is stateful. */
  readonly stateful: boolean;
}

/** Name of a profile's chain. */
export function profileChainName(profile: Pick<Profile, 'name'>, direction: Direction): string {
  return `profile_${profile.name}_${direction === 'ingress' ? 'in' : 'out'}`;
}

/** The profile of each filtered port, by port id. Ports that agree get the same object. */
export function profilesOf(
  ports: readonly Port[],
  groups: ReadonlyMap<string, SecurityGroup>,
): ReadonlyMap<string, Profile> {
  const byContent = new Map<string, Profile>();
  const profiles = new Map<string, Profile>();
  for (const port of ports) {
    if (port.filtering !== 'filtered') continue;
    const content = profileContent(port);
    const profile = byContent.get(content) ?? profileOf(port, groups);
    byContent.set(content, profile);
    profiles.set(port.id, profile);
  }
  return profiles;
}

/** What ports of one profile agree in, as text. */
export function profileContent(port: Port): string {
  return [...familiesOf(port), ...port.securityGroupIds].join(' ');
}

/** The profile of a filtered port. */
export function profileOf(port: Port, groups: ReadonlyMap<string, SecurityGroup>): Profile {
  const mine = port.securityGroupIds.flatMap((id) => groups.get(id) ?? []);
  return {
    name: profileName(port),
    groups: mine,
    families: familiesOf(port),
    stateful: isStateful(port, groups),
  };
}

/** The name of a filtered port's profile. */
export function profileName(port: Port): string {
  // 48 bits: two of 10 000 profiles agree once in five million hosts, and the compiler then refuses (compile.ts).
  return digest(profileContent(port), 12);
}

/** Whether all groups of a port are stateful, as far as they are known. */
export function isStateful(port: Port, groups: ReadonlyMap<string, SecurityGroup>): boolean {
  return port.securityGroupIds.every((id) => groups.get(id)?.stateful ?? true);
}

function familiesOf(port: Port): readonly Family[] {
  return FAMILIES.filter((family) => hasFamily(port, family));
}

/** The chain of a profile: the common prologue, then a jump per group; what nothing accepts is dropped. */
export function profileChain(
  profile: Profile,
  direction: Direction,
  groupNames: ReadonlyMap<string, string>,
  datapath: Datapath,
): Chain {
  const ids = profile.groups.map((group) => group.id).join(' ');
  const comment = `${direction} of ports in ${ids === '' ? 'no group' : ids}`;
  return chainOf({ kind: 'profile', direction }, profileChainName(profile, direction), comment, [
    ...(direction === 'ingress' ? closedFamilies(profile, datapath) : []),
    rule([], jump(prologue(profile, direction)), 'checks that every port shares'),
    ...profile.groups.map((group) =>
      rule([], jump(groupChainName(groupNames.get(group.id) ?? group.id, direction)), group.name),
    ),
    rule([], jump(SERVICES[direction]), 'service traffic'),
    ...dropped(direction, [], 'no rule allows it'),
  ]);
}

/**
 * A family without an address is closed. Egress needs no rule for that: no source address is known.
 *
 * On a bridge these rules are of untagged packets alone: what is tagged is for the checks that follow, though its protocol is the same.
 */
function closedFamilies(profile: Profile, datapath: Datapath): readonly Rule[] {
  const isOf = (family: Family): Match => is(isBridged(datapath) ? 'ether type' : 'meta protocol', ETHERTYPE[family]);
  return [
    ...(profile.families.includes('IPv4')
      ? []
      : [
          // Who has no address yet may ask for one.
          rule([isOf('IPv4')], jump(SERVICES.ingress), 'answers of DHCP servers'),
          ...dropped('ingress', [isOf('IPv4')], 'the ports have no IPv4 address'),
        ]),
    ...(profile.families.includes('IPv6')
      ? []
      : [rule([isOf('IPv6')], jump(CHAINS.linkLocalOnly), 'the ports have no IPv6 address')]),
  ];
}

function prologue(profile: Profile, direction: Direction): string {
  switch (direction) {
    case 'egress':
      return profile.stateful ? CHAINS.egressStateful : CHAINS.egressStateless;
    case 'ingress':
      return profile.stateful ? CHAINS.ingressStateful : CHAINS.ingressStateless;
  }
}
