/** What a plan is made of, and of what it is made. */
import type { Direction } from '../../../compiler/model/index.js';
import type { Permit } from './permits.js';

export interface PlanLine {
  readonly sign: '+' | '-' | '~';
  readonly kind: 'group' | 'members' | 'port' | 'rest';
  /** What of the kernel it speaks of: how the names of a group's chains and sets begin, or a device; '' for what is no group's and no port's. */
  readonly subject: string;
  /** Without the sign: `group web: ...`. */
  readonly text: string;
}

export interface Plan {
  readonly lines: readonly PlanLine[];
  /** Live flows that what is wanted does not admit; undefined where they could not be listed. */
  readonly cut: number | undefined;
  /** What cannot be said of what goes, and why; undefined for nothing. */
  readonly unsaid: string | undefined;
}

/** What is loaded, or what is wanted, in the same form whichever packet filter holds it. */
export interface Side {
  /** By the short name of their id (compiler/names.ts). */
  readonly groups: ReadonlyMap<string, SideGroup>;
  /** Members of remote groups and address groups, by their set's name as nftables has it: `sg_<short>_addresses4`. */
  readonly members: ReadonlyMap<string, Keys>;
  /** By device. */
  readonly ports: ReadonlyMap<string, SidePort>;
}

/** A set, or the keys of a map. */
export interface Keys {
  has(key: string): boolean;
  keys(): Iterable<string>;
}

export interface SideGroup {
  /** As what is loaded has it; undefined where that has no names. */
  readonly name: string | undefined;
  readonly rules: Readonly<Record<Direction, SideRules>>;
}

/** What a group's rules of one direction are. */
export interface SideRules {
  readonly permits: readonly Permit[];
  /** False where some are of a form that ours do not have. */
  readonly areAllKnown: boolean;
  /** Equal for rules that are written alike. */
  readonly text: string;
}

export interface SidePort {
  /** "groups db, web", "closed", "not filtered" */
  readonly state: string;
  readonly isFiltered: boolean;
  /** What it may send from, without what every port may; text as {@link Prefix} has it. */
  readonly addresses: ReadonlySet<string>;
}

/** What becomes of a port that is not filtered. */
export const UNFILTERED = 'not filtered';
export const CLOSED = 'closed';

/** The state of a port that is in these groups. */
export function stateOfGroups(groups: readonly string[]): string {
  if (groups.length === 0) return 'no groups';
  return `${groups.length === 1 ? 'group' : 'groups'} ${groups.join(', ')}`;
}

/** Link-local addresses every port has. */
export function isOfEveryPort(address: string): boolean {
  return address.startsWith('fe80:');
}
