/** The same policy for iptables and ipset: chains of a family's mangle and raw tables, the sets that they ask; changes of both. */
import type { Family } from '../model/index.js';
import type { IptablesRule, RulePrefix } from './rule.js';

export interface IptablesProgram {
  /** Of both families, in order of creation. */
  readonly sets: readonly IpSet[];
  readonly families: Readonly<Record<Family, FamilyTables>>;
}

export interface FamilyTables {
  /** What `raw` says, as data. */
  readonly zones: RawZones;
  /** Zones. */
  readonly raw: readonly IptablesChain[];
  /** Everything else. */
  readonly mangle: readonly IptablesChain[];
}

/** Zones and what is not tracked, of one family. */
export interface RawZones {
  /** A device and its zone; on bridges a bridge, which is the device of its packets where iptables sees them. */
  readonly devices: readonly (readonly [string, number])[];
  /** Of sources that leave the zone of their device. */
  readonly sources: readonly {
    readonly device: string;
    readonly source: RulePrefix;
    readonly zone: number;
  }[];
  /** Sets between whose addresses nothing is tracked. */
  readonly untracked: readonly string[];
}

export interface IptablesChain {
  /** At most 28 characters. One of the kernel's own (PREROUTING, ...) holds only our jump. */
  readonly name: string;
  readonly rules: readonly IptablesRule[];
  /** Of the kernel's own, as it is loaded: rules of others that stand before ours; absent for none. */
  readonly overtaking?: readonly ForeignRule[];
}

/** A rule of somebody else's that a packet meets before ours. */
export interface ForeignRule {
  /** Without `-A CHAIN`. */
  readonly text: string;
  /** True when a packet may end there, and never gets to ours. */
  readonly isTerminal: boolean;
}

/** A set of ipset(8). */
export interface IpSet {
  /** At most 31 characters. */
  readonly name: string;
  /** `other` only of what is loaded: a type that we never make. */
  readonly type: 'hash:ip' | 'hash:net' | 'bitmap:port' | 'other';
  /** Of hash sets. */
  readonly family: Family;
  /** How many entries it takes; absent for ours, {@link capacityOf}. */
  readonly capacity?: number;
  readonly entries: readonly string[];
}

/** Entries of a hash set, at most (`maxelem`), unless it is to hold more; the kernel's default is 65 536. */
const SET_CAPACITY = 1_048_576;

/** One set that is full would have the changes of all others refused. */
export function capacityOf({ capacity, entries }: IpSet): number {
  return capacity ?? Math.max(SET_CAPACITY, 2 ** Math.ceil(Math.log2(entries.length)));
}

// Changes

export type IptablesChange = SetChange | ChainChange;

export type SetChange =
  | { readonly kind: 'create-set'; readonly set: IpSet }
  /** Its declaration differs: another one takes its place. */
  | { readonly kind: 'replace-set'; readonly set: IpSet; readonly before: readonly string[] }
  /** It is of another kind, for which the kernel swaps none: it goes, and is made. */
  | { readonly kind: 'remake-set'; readonly set: IpSet }
  | {
      readonly kind: 'change-set';
      readonly name: string;
      readonly added: readonly string[];
      readonly removed: readonly string[];
    }
  | { readonly kind: 'destroy-set'; readonly name: string };

export interface ChainChange {
  readonly kind: 'chain';
  readonly family: Family;
  readonly table: 'raw' | 'mangle';
  readonly name: string;
  /** Its rules; undefined where it is not there. Of the kernel's own chains, our jumps. */
  readonly before: readonly IptablesRule[] | undefined;
  readonly after: readonly IptablesRule[] | undefined;
  /** Of the kernel's own chains: what stands before our jumps, which go back to the front; absent for nothing. */
  readonly overtaking?: readonly ForeignRule[];
}
