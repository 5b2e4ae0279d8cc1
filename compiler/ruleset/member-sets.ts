/** The kernel's sets of the addresses that rules name: members of remote groups and address groups. */
import type { Prefix } from '../model/index.js';
import type { HostPolicy, MemberSet } from '../host-policy.js';
import { shortNames } from '../names.js';
import { intervalSet, plainSet } from './build.js';
import type { MemberSetNames } from './group-chain.js';
import { membersRole, memberSetNames } from './member-set-names.js';
import type { Key, NamedSet } from './types.js';

/** Names of a host's member sets, by their keys. */
export function memberNames(policy: HostPolicy): ReadonlyMap<string, MemberSetNames> {
  const short = remoteNames(policy);
  return new Map(
    [...policy.memberSets].map(([key, set]) => [
      key,
      memberSetNames(set, short.get(set.id) ?? set.id, set.prefixes.length > 0),
    ]),
  );
}

/** Short names of what rules name, by id. */
export function remoteNames(policy: HostPolicy): ReadonlyMap<string, string> {
  return shortNames(new Set([...policy.memberSets.values()].map((set) => set.id)));
}

/** The sets of all that a host's rules name. */
export function memberSets(policy: HostPolicy): readonly NamedSet[] {
  const names = memberNames(policy);
  return [...policy.memberSets].flatMap(([key, set]) => {
    const own = names.get(key);
    return own === undefined ? [] : namedMemberSets(set, own);
  });
}

/** The kernel's sets of a member set: hash set of addresses, interval set of prefixes where there are any. */
export function namedMemberSets(set: MemberSet, names: MemberSetNames): readonly NamedSet[] {
  const field = memberField(set);
  const keys = (prefixes: readonly Prefix[]): readonly Key[] => prefixes.map((prefix) => [prefix]);
  return [
    plainSet(names.addresses, [field], keys(set.addresses), membersRole(set, 'addresses')),
    ...(names.prefixes === undefined
      ? []
      : [intervalSet(names.prefixes, [field], keys(set.prefixes), membersRole(set, 'prefixes'))]),
  ];
}

/** Any field of the right type will do: one set serves source and destination look-ups. */
export function memberField(set: Pick<MemberSet, 'family'>): 'ip saddr' | 'ip6 saddr' {
  return set.family === 'IPv4' ? 'ip saddr' : 'ip6 saddr';
}
