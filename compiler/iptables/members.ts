/** Sets of members: whole, and what changes in them. Names and contents are those of nftables. */
import { isExact, parsePrefix, type Family, type Prefix } from '../model/index.js';
import type { HostPolicy, MemberSet } from '../host-policy.js';
import { shortNames } from '../names.js';
import type { MemberSetNames } from '../ruleset/group-chain.js';
import { memberSetNames } from '../ruleset/member-set-names.js';
import type { Transaction } from '../nftables/transaction.js';
import type { Change, Element, ListedElement, SetHead } from '../ruleset/change.js';
import { netEntries } from './group.js';
import { setName } from './names.js';
import type { IpSet, SetChange } from './types.js';

/** The sets that `iptablesRules` (program.ts) leaves out. */
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
  return {
    name: setName(name),
    type: 'hash:ip',
    family,
    entries: addresses.filter((address) => !isUnspecified(address)).map(({ text }) => text),
  };
}

/** 0.0.0.0 or ::, which no set of addresses takes (ip_set_hash_ip.c): who may come from there has a rule that says so. */
export function isUnspecified(prefix: Prefix): boolean {
  return isExact(prefix) && prefix.network === 0n;
}

function netSet(name: string, family: Family, prefixes: readonly Prefix[]): IpSet {
  return { name: setName(name), type: 'hash:net', family, entries: prefixes.flatMap(netEntries) };
}

/** Names as in the ruleset of nftables. */
export function namesOfMembers(policy: HostPolicy): readonly (readonly [MemberSet, MemberSetNames])[] {
  const short = shortNames(new Set([...policy.memberSets.values()].map(({ id }) => id)));
  return [...policy.memberSets.values()].map((member) => [
    member,
    memberSetNames(member, short.get(member.id) ?? member.id, member.prefixes.length > 0),
  ]);
}

export interface MemberChanges {
  readonly sets: readonly SetChange[];
  /** True when there is something else in the transaction: then the rules must be compiled. */
  readonly isMore: boolean;
}

/**
 * What changes in them, from the changes that the incremental compiler gives for nftables.
 * @param isLocal whether a port of this host is among what changed: what these rules say of stateless ports depends on all others, where
 * nftables has nothing to do.
 */
export function memberChanges(transaction: Transaction, isLocal: boolean): MemberChanges {
  const changed = new Map<string, { added: readonly string[]; removed: readonly string[] }>();
  const made = new Map<string, Omit<IpSet, 'entries'>>();
  const gone: SetChange[] = [];
  let isMore = isLocal;
  for (const change of transaction.flatMap((table) => (table.kind === 'update' ? table.changes : []))) {
    const set = setOf(change);
    if (set?.role.kind !== 'members') {
      isMore = true;
      continue;
    }
    const { name, role } = set;
    const known = changed.get(name) ?? { added: [], removed: [] };
    const entriesOf = (elements: readonly (Element | ListedElement)[]): readonly string[] => {
      const members = elements.flatMap(membersOf);
      const entries = role.holds === 'prefixes' ? members : members.filter((member) => !isUnspecified(member));
      if (entries.length < members.length) isMore = true;
      return entries.flatMap(netEntries);
    };
    switch (change.kind) {
      case 'add-set':
        made.set(name, { name: setName(name), type: IPSET_TYPE[role.holds], family: role.family });
        isMore = true;
        break;
      case 'delete-set':
        gone.push({ kind: 'destroy-set', name: setName(name) });
        isMore = true;
        break;
      case 'add-elements':
        changed.set(name, { ...known, added: entriesOf(change.elements) });
        break;
      case 'delete-elements':
        changed.set(name, { ...known, removed: entriesOf(change.elements) });
        break;
      case 'add-chain':
      case 'rewrite-chain':
      case 'delete-chain':
        break;
    }
  }
  const sets: SetChange[] = [...made].map(([name, set]) => ({
    kind: 'create-set',
    set: { ...set, entries: changed.get(name)?.added ?? [] },
  }));
  for (const [name, { added, removed }] of changed) {
    if (!made.has(name)) sets.push({ kind: 'change-set', name: setName(name), added, removed });
  }
  return { sets: [...sets, ...gone], isMore };
}

const IPSET_TYPE = { addresses: 'hash:ip', prefixes: 'hash:net' } as const;

function setOf(change: Change): Pick<SetHead, 'name' | 'role'> | undefined {
  switch (change.kind) {
    case 'add-set':
    case 'add-elements':
    case 'delete-elements':
      return change.set;
    case 'delete-set':
      return { name: change.set, role: change.role };
    case 'add-chain':
    case 'rewrite-chain':
    case 'delete-chain':
      return undefined;
  }
}

/** A member is one address or prefix: of an address it is the same entry in either kind of set. */
function membersOf(element: Element | ListedElement): readonly Prefix[] {
  const [member] = 'listed' in element ? [parsePrefix(element.listed)] : 'key' in element ? element.key : element;
  return typeof member === 'object' && 'family' in member ? [member] : [];
}
