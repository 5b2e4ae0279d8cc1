/** Whose the short names of kernel objects are (compiler/names.ts), as far as the topology knows them. */
import { harmless, readChainName, readMemberSetName, startOfNames } from '../../../compiler/index.js';
import { shortNames } from '../../../compiler/names.js';
import type { Topology } from '../../../compiler/model/index.js';

interface Named {
  readonly id: string;
  readonly name: string;
}

export class Names {
  readonly #groups: ReadonlyMap<string, readonly Named[]>;
  readonly #addressGroups: ReadonlyMap<string, readonly Named[]>;
  /** Names that several groups have: each project has its `default`. */
  readonly #shared: ReadonlySet<string>;

  constructor({ securityGroups, addressGroups }: Pick<Topology, 'securityGroups' | 'addressGroups'>) {
    this.#groups = byShortName(securityGroups.values());
    this.#addressGroups = byShortName(addressGroups.values());
    const seen = new Set<string>();
    const shared = new Set<string>();
    for (const { name } of [...securityGroups.values(), ...addressGroups.values()])
      (seen.has(name) ? shared : seen).add(name);
    shared.delete('');
    this.#shared = shared;
  }

  /** Id of the security group; undefined where it is none of the topology's, or several are named so. */
  idOf(short: string): string | undefined {
    return only(this.#groups, short)?.id;
  }

  /** "group web"; undefined as for {@link idOf}. */
  group(short: string): string | undefined {
    const group = only(this.#groups, short);
    return group === undefined ? undefined : `group ${this.#nameOf(group)}`;
  }

  /** "web", as what is loaded has it in comments; undefined as for {@link idOf}. */
  plainName(short: string): string | undefined {
    const group = only(this.#groups, short);
    return group === undefined ? undefined : shownName(group);
  }

  /** "address group office" */
  addressGroup(short: string): string | undefined {
    const group = only(this.#addressGroups, short);
    return group === undefined ? undefined : `address group ${this.#nameOf(group)}`;
  }

  #nameOf(group: Named): string {
    return this.#shared.has(group.name) ? `${shownName(group)} (${group.id})` : shownName(group);
  }
}

/** What a user wrote goes to an administrator's terminal: harmless there. */
export function shownName({ id, name }: Named): string {
  return name === '' ? id : harmless(name);
}

function byShortName<T extends Named>(all: Iterable<T>): ReadonlyMap<string, readonly T[]> {
  const named = new Map<string, T[]>();
  for (const one of all) {
    const short = shortNames([one.id]).get(one.id) ?? one.id;
    const same = named.get(short);
    if (same === undefined) named.set(short, [one]);
    else same.push(one);
  }
  return named;
}

/** Where several ids begin alike, their names have a digest behind them, and nobody is named. */
function only(named: ReadonlyMap<string, readonly Named[]>, short: string): Named | undefined {
  const [one, ...others] = named.get(short) ?? [];
  return others.length === 0 ? one : undefined;
}

/** Stands behind how the id of a group begins whose name is not known. */
export const UNNAMED = '…';

/** How names of what is a group's begin; that of a group is enough to tell it from others. */
export function subjectOfGroup(short: string): string {
  return startOfNames('security-group', short);
}

/** The same, of those whose members a set holds; '' for a set of something else. */
export function subjectOfMembers(set: string): string {
  const members = readMemberSetName(set);
  return members === undefined ? '' : startOfNames(members.role.of, members.short);
}

/** Of a group's two chains, the one that stands for the group says whose it is. */
export function shortOfChain(chain: string): string | undefined {
  const name = readChainName(chain);
  return name?.kind === 'group' && name.direction === 'ingress' ? name.short : undefined;
}

/** Whose members a set holds; undefined for a set of something else. */
export function membersIn(set: string, names: Names): string | undefined {
  const members = readMemberSetName(set);
  switch (members?.role.of) {
    case 'security-group':
      return names.group(members.short) ?? `a group whose id begins with ${members.short}`;
    case 'address-group':
      return names.addressGroup(members.short) ?? `an address group whose id begins with ${members.short}`;
    case undefined:
      return undefined;
  }
}
