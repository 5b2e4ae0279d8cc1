/**
 * Where a topology comes from, for as long as somebody listens. What every source promises (test/support/source-contract.ts holds each
 * of them to it; docs/decisions/sources.md):
 *
 * - The first event that is not `stale` is the whole topology. After each event, what was told is what the policy was at some time, as a
 *   whole: nothing names what is not there, no change is told by halves.
 * - It may leave out what was in between, and tell a thing twice. It does not go back: what is told later is no older.
 * - In the end it tells the newest policy, whatever broke meanwhile.
 * - That nobody can be followed is told as `stale`, once for each reason; when somebody can again, an event that is not `stale` follows,
 *   also when nothing changed.
 * - An event that the listener throws at is lost: a whole topology follows.
 * - After `stop` it tells nothing.
 *
 * A Neutron is asked object by object, and has no commits: of that source states are whole only when nothing changes meanwhile.
 */
import type { TopologyChanges } from './changes.js';
import type { HostReport } from './host-report.js';
import type { Isolation } from './isolation.js';
import type { Problem } from './problem.js';
import type { Topology } from './topology.js';

export type SourceEvent =
  /** The topology as it is now. The first one, and every one that differs in what it was read from. */
  | {
      readonly kind: 'topology';
      readonly topology: Topology;
      readonly problems: readonly Problem[];
      /** Of all bad objects: what stands in for them is in the topology. */
      readonly isolations: readonly Isolation[];
      /** Why the source itself doubts that it is meant; undefined when it does not. */
      readonly doubt?: string | undefined;
      /** The revision that this is; absent where a source knows none. */
      readonly revision?: number;
    }
  /** What changed since the last event, for a source that knows. */
  | {
      readonly kind: 'changes';
      readonly changes: TopologyChanges;
      readonly problems: readonly Problem[];
      /** Of all bad objects that there are now. */
      readonly isolations: readonly Isolation[];
      /** The revision that this leads to; absent where a source knows none. */
      readonly revision?: number;
    }
  /** What is there cannot be used: the last good topology stays. Told once for each distinct reason. */
  | { readonly kind: 'stale'; readonly problems: readonly Problem[] };

/** The one problem of a source that cannot be read at all. */
export function unreadable(file: string, message: string): Problem {
  return { severity: 'error', code: 'unreadable', file, path: '', message };
}

/** That a source cannot be read at all, or not now. */
export function stale(source: string, reason: string): SourceEvent {
  return { kind: 'stale', problems: [unreadable(source, reason)] };
}

export interface Source {
  /** What it reads, for people. */
  readonly name: string;
  /**
   * Begins to read; `listener` is called from now on. To be called once.
   * @param inForce what is in force at the moment: the last good versions of objects that become bad.
   */
  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void;
  /** Reads again, changed or not. */
  reload(): void;
  /** Somebody says that the last topology is meant, whatever the source itself has against it. */
  accept?(): void;
  /** Passes on what this host says of itself; rejects when that cannot be done now. Absent where nobody asks. */
  report?(host: string, report: HostReport): Promise<void>;
  stop(): void;
}
