/**
 * Ports on any host and address groups -> sets of the addresses that rules of this host's groups name. An exact address is handled:
 * one element. A set that came, or whose name or prefixes changed, is computed anew; groups are told that name a set by another name.
 */
import { comparePrefixes, covers, isExact, type Port, type Prefix, type SecurityGroup } from '../model/index.js';
import { compareText, memberKey, type MemberSet } from '../host-policy.js';
import { ShortNames } from '../names.js';
import type { CompileOptions } from '../options.js';
import { aggregatePrefixes } from '../prefixes.js';
import type { GroupContext, MemberSetNames } from '../ruleset/group-chain.js';
import { memberSetNames } from '../ruleset/member-set-names.js';
import { namedMemberSets } from '../ruleset/member-sets.js';
import { HANDLED, type Calculator } from './calculator.js';
import type { Known, PortChange } from './known.js';
import { MultiMap } from './multimap.js';
import type { HostTables } from './tables.js';
import type { TouchedCollector } from './touched.js';

type MemberChange =
  | PortChange
  /** An address group came, changed or went: what it held, and holds. */
  | {
      readonly kind: 'address-group';
      readonly id: string;
      readonly before: readonly Prefix[];
      readonly after: readonly Prefix[];
    }
  /** A group whose rules name sets, as it is now; undefined: no port of this host has it. */
  | { readonly kind: 'group'; readonly id: string; readonly group: SecurityGroup | undefined };

type MemberSetOf = Pick<MemberSet, 'kind' | 'id' | 'family'>;

/** The addresses of a remote group or address group. */
interface Named {
  readonly of: MemberSetOf;
  /** Ids of the groups that name it. */
  readonly users: Set<string>;
  /** Exact addresses and prefixes by text. */
  readonly found: Map<string, Prefix>;
  /** How many ports give each that several give: hardly any. */
  readonly shared: Map<string, number>;
  /** Prefixes as they stand in the interval set. */
  aggregated: readonly Prefix[];
  names: MemberSetNames | undefined;
}

/** Keys: those of member sets. Outputs: ids of groups that name a set whose name is another one now. */
export class Members implements Calculator<MemberChange, string, string> {
  readonly #sets = new Map<string, Named>();
  /** Keys of the sets of a remote group or address group: see {@link ownerOf}. */
  readonly #setsOf = new MultiMap<string>();
  /** Keys of the sets that a group's rules name, by the group's id. */
  readonly #namedBy = new Map<string, ReadonlySet<string>>();
  readonly #names = new ShortNames();

  constructor(
    private readonly known: Known,
    private readonly tables: HostTables,
    private readonly touched: TouchedCollector,
    private readonly options: Pick<CompileOptions, 'widestPairLength'>,
  ) {}

  /** True when an address is in a set; undefined for a set that no group of this host names. */
  isMember(kind: MemberSet['kind'], id: string, address: Prefix): boolean | undefined {
    const named = this.#sets.get(memberKey(kind, id, address.family));
    if (named === undefined) return undefined;
    return named.found.has(address.text) || named.aggregated.some((prefix) => covers(prefix, address));
  }

  /** As {@link HostPolicy} has them. */
  all(): ReadonlyMap<string, MemberSet> {
    const sets = [...this.#sets].sort(([a], [b]) => compareText(a, b));
    return new Map(
      sets.map(([key, { of, found, aggregated }]) => [
        key,
        {
          ...of,
          // Only who asks for them pays for it.
          get addresses(): readonly Prefix[] {
            return exactOf(found).sort(comparePrefixes);
          },
          prefixes: aggregated,
        },
      ]),
    );
  }

  /** What a group's chains call the sets that its rules name. */
  namesFor(groupId: string): Omit<GroupContext, 'name'> {
    const names = new Map<string, MemberSetNames>();
    const shortNames = new Map<string, string>();
    for (const key of this.#namedBy.get(groupId) ?? []) {
      const named = this.#sets.get(key);
      if (named?.names === undefined) continue;
      names.set(key, named.names);
      shortNames.set(named.of.id, this.#names.get(named.of.id));
    }
    return { memberSetNames: names, shortNames };
  }

  change(change: MemberChange): readonly string[] {
    switch (change.kind) {
      case 'port-came':
        return this.#countPort(change.port, 1);
      case 'port-went':
        return this.#countPort(change.port, -1);
      case 'address-group':
        return [...this.#setsOf.get(ownerOf('address-group', change.id))].flatMap((key) => [
          ...this.#countIn(key, change.before, -1),
          ...this.#countIn(key, change.after, 1),
        ]);
      case 'group':
        return this.#nameSets(change.id, change.group);
    }
  }

  recompute(keys: ReadonlySet<string>): readonly string[] {
    const users: string[] = [];
    for (const key of keys) {
      const named = this.#sets.get(key);
      if (named !== undefined && this.#write(named)) users.push(...named.users);
    }
    return users;
  }

  // Addresses

  #countPort(port: Port, by: 1 | -1): readonly string[] {
    const keys: string[] = [];
    for (const id of port.securityGroupIds) keys.push(...this.#setsOf.get(ownerOf('security-group', id)));
    if (keys.length === 0) return HANDLED;
    const addresses = memberAddresses(port, this.options);
    return keys.flatMap((key) => this.#countIn(key, addresses, by));
  }

  /** Returns the key if prefixes came or went: intervals are written all together. */
  #countIn(key: string, prefixes: readonly Prefix[], by: 1 | -1): readonly string[] {
    const named = this.#sets.get(key);
    if (named === undefined) return HANDLED;
    let isHandled = true;
    for (const prefix of prefixes) {
      if (prefix.family !== named.of.family || !isFirstOrLast(named, prefix, by)) continue;
      this.touched.member(prefix);
      if (!isExact(prefix)) isHandled = false;
      else if (named.names !== undefined) this.#writeAddress(named.names, prefix, by);
    }
    return isHandled ? HANDLED : [key];
  }

  #writeAddress({ addresses }: MemberSetNames, prefix: Prefix, by: 1 | -1): void {
    if (by === 1) this.tables.main.addElement(addresses, [prefix]);
    else this.tables.main.deleteElement(addresses, [prefix]);
  }

  // Sets that rules name

  #nameSets(groupId: string, group: SecurityGroup | undefined): readonly string[] {
    const wanted = namedSets(group);
    const before = this.#namedBy.get(groupId) ?? [];
    const unwritten = [...wanted].flatMap(([key, of]) => this.#use(key, of, groupId));
    const renamed = [...before].filter((key) => !wanted.has(key)).flatMap((key) => this.#leave(key, groupId));
    if (group === undefined) this.#namedBy.delete(groupId);
    else this.#namedBy.set(groupId, new Set(wanted.keys()));
    return [...unwritten, ...renamed];
  }

  /** Returns the keys of sets that are new or get another name. */
  #use(key: string, of: MemberSetOf, groupId: string): readonly string[] {
    const known = this.#sets.get(key);
    if (known !== undefined) {
      known.users.add(groupId);
      return HANDLED;
    }
    this.#sets.set(key, {
      of,
      users: new Set([groupId]),
      found: new Map(),
      shared: new Map(),
      aggregated: [],
      names: undefined,
    });
    this.#setsOf.add(ownerOf(of.kind, of.id), key);
    const renamed = this.#keysOf(this.#names.add(of.id));
    for (const prefixes of this.#sources(of)) this.#countIn(key, prefixes, 1);
    return [key, ...renamed];
  }

  /** Returns the keys of sets that get another name. */
  #leave(key: string, groupId: string): readonly string[] {
    const named = this.#sets.get(key);
    if (named === undefined) return HANDLED;
    named.users.delete(groupId);
    if (named.users.size > 0) return HANDLED;
    const { kind, id } = named.of;
    this.#sets.delete(key);
    this.#setsOf.delete(ownerOf(kind, id), key);
    if (named.names !== undefined) this.#deleteSets(named.names);
    return this.#keysOf([id]).length > 0 ? HANDLED : this.#keysOf(this.#names.delete(id));
  }

  #keysOf(ids: readonly string[]): readonly string[] {
    return ids.flatMap((id) =>
      (['security-group', 'address-group'] as const).flatMap((kind) => [...this.#setsOf.get(ownerOf(kind, id))]),
    );
  }

  *#sources({ kind, id }: MemberSetOf): Iterable<readonly Prefix[]> {
    if (kind === 'address-group') yield this.known.addressGroups.get(id)?.prefixes ?? [];
    else for (const port of this.known.portsOf(id)) yield memberAddresses(port, this.options);
  }

  // What the kernel gets

  /** Returns true when what chains call the set has changed. */
  #write(named: Named): boolean {
    const { main } = this.tables;
    const { of, names: before, aggregated } = named;
    const prefixes = aggregatePrefixes(prefixesOf(named.found));
    const names = memberSetNames(of, this.#names.get(of.id), prefixes.length > 0);
    named.names = names;
    named.aggregated = prefixes;
    if (before?.addresses !== names.addresses) {
      if (before !== undefined) this.#deleteSets(before);
      for (const set of namedMemberSets({ ...of, addresses: exactOf(named.found), prefixes }, names)) main.addSet(set);
      return true;
    }
    if (before.prefixes !== names.prefixes) {
      if (before.prefixes !== undefined) main.deleteSet(before.prefixes);
      const [, set] = namedMemberSets({ ...of, addresses: [], prefixes }, names);
      if (set !== undefined) main.addSet(set);
      return true;
    }
    if (names.prefixes !== undefined) {
      for (const prefix of aggregated) main.deleteElement(names.prefixes, [prefix]);
      for (const prefix of prefixes) main.addElement(names.prefixes, [prefix]);
    }
    return false;
  }

  #deleteSets({ addresses, prefixes }: MemberSetNames): void {
    this.tables.main.deleteSet(addresses);
    if (prefixes !== undefined) this.tables.main.deleteSet(prefixes);
  }
}

function ownerOf(kind: MemberSet['kind'], id: string): string {
  return `${kind}/${id}`;
}

function namedSets(group: SecurityGroup | undefined): ReadonlyMap<string, MemberSetOf> {
  const named = new Map<string, MemberSetOf>();
  for (const { remote, family } of group?.rules ?? []) {
    if (remote.kind !== 'security-group' && remote.kind !== 'address-group') continue;
    named.set(memberKey(remote.kind, remote.id, family), { kind: remote.kind, id: remote.id, family });
  }
  return named;
}

/** Counts who gives a prefix; true when it is the first that does, or was the last. */
function isFirstOrLast({ found, shared }: Named, prefix: Prefix, by: 1 | -1): boolean {
  const { text } = prefix;
  const before = found.has(text) ? (shared.get(text) ?? 1) : 0;
  const count = before + by;
  if (count > 1) shared.set(text, count);
  else shared.delete(text);
  if (count === 0) found.delete(text);
  else if (before === 0) found.set(text, prefix);
  return count === (by === 1 ? 1 : 0);
}

function exactOf(found: Named['found']): Prefix[] {
  return [...found.values()].filter(isExact);
}

function prefixesOf(found: Named['found']): readonly Prefix[] {
  return [...found.values()].filter((prefix) => !isExact(prefix));
}

/** What a port gives the sets of its groups. */
function memberAddresses(
  port: Port,
  { widestPairLength }: Pick<CompileOptions, 'widestPairLength'>,
): readonly Prefix[] {
  const pairs = port.allowedAddressPairs.map(({ prefix }) => prefix);
  const all = [...port.fixedIps, ...pairs.filter((prefix) => prefix.length >= widestPairLength[prefix.family])];
  return [...new Map(all.map((prefix) => [prefix.text, prefix])).values()];
}
