/** The same policy for iptables and ipset: chains of a family's mangle and raw tables, and the sets that they ask. */
import type { Family } from '../../src/model/index.js';

export interface IptablesProgram {
  /** Of both families, in order of creation. */
  readonly sets: readonly IpSet[];
  readonly families: Readonly<Record<Family, FamilyTables>>;
}

export interface FamilyTables {
  /** Zones. */
  readonly raw: readonly IptablesChain[];
  /** Everything else. */
  readonly mangle: readonly IptablesChain[];
}

export interface IptablesChain {
  /** At most 28 characters. One of the kernel's own (PREROUTING, ...) holds only our jump. */
  readonly name: string;
  /** Each without `-A CHAIN`. */
  readonly rules: readonly string[];
}

/** A set of ipset(8). */
export interface IpSet {
  /** At most 31 characters. */
  readonly name: string;
  readonly type: 'hash:ip' | 'hash:net' | 'bitmap:port';
  /** Of hash sets. */
  readonly family: Family;
  readonly entries: readonly string[];
}
