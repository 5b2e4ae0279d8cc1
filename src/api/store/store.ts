/**
 * What the control API asks of a store: a map of keys to JSON that changes by whole transactions, each with a revision.
 *
 * The interface is one that a distributed store can keep (etcd: a transaction that compares the revision of one key, and a watch):
 * several processes may commit, and each hears of every commit, its own too, in order.
 */

import type { HostReport } from '../../../compiler/model/index.js';
import type { ViewChanges } from '../topology/host-view.js';

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Snapshot {
  /** The version of what is stored; undefined for a store that was never written. */
  readonly schema: number | undefined;
  /** Of the last transaction in it; 0 for a store that was never written. */
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Json>;
  /** What agents read is not there yet: the next commit must bring all of it. Absent for a store in which no agent reads. */
  readonly lacksViews?: boolean;
}

/** By key; undefined for one that goes. */
export type Changes = ReadonlyMap<string, Json | undefined>;

export interface Commit {
  readonly revision: number;
  readonly changes: Changes;
  /** About; of what came, as it is stored. */
  readonly bytes: number;
}

export interface Store {
  /** For people. */
  readonly name: string;
  /**
   * Made with the store, and never again: revisions of two stores say nothing about each other. Undefined where none could be kept, or
   * for a reader of a store that has none.
   */
  readonly identity: string | undefined;
  /** True where agents read in it: each commit brings along what it changes for them. */
  readonly keepsViews: boolean;
  /** Where other processes may serve it at the same time: what hosts say goes through it. */
  readonly reports?: Reports;
  /** Everything, at one revision. What is committed later is of this version's schema. @throws StoreError when it is damaged */
  load(): Promise<Snapshot>;
  /**
   * Applies all changes or none, and returns when nothing but the loss of the medium can lose them.
   * @param base the revision that the changes were made from.
   * @param views what they change for agents, in the same transaction; of no concern to a store that keeps none.
   * @returns the new revision; `conflict` when somebody else committed after `base`: nothing is applied then.
   * @throws StoreError when the store cannot take it (disk full): nothing is applied. UnknownOutcome when nobody says whether it was:
   * if it was, the watchers hear of it.
   */
  commit(base: number, changes: Changes, views: ViewChanges): Promise<number | 'conflict'>;
  /**
   * Tells of each transaction after `revision`, in order.
   * @param listener its `onGap` is called, and nothing more, when the store does not know that far back: load again.
   * @returns ends it.
   */
  watch(revision: number, listener: WatchListener): () => void;
  /** The revision of the newest commit that anybody was told of by now; one that is not told of here yet will be. @throws StoreError */
  newest(): Promise<number>;
  /** Reads a part of what is stored, another one each time, and compares it with its checksums. @throws StoreError when it cannot be trusted */
  look(): void;
  /** Writes something that nobody reads. @throws StoreError when that cannot be done now */
  probe(): void;
  close(): Promise<void>;
}

/** What hosts say of themselves, for every process that serves a store. */
export interface Reports {
  /** To be heard by all who follow. @throws StoreError */
  say(host: string, report: HostReport): Promise<void>;
  /** @throws StoreError */
  forget(host: string): Promise<void>;
  /** Asks all hosts to say how far they are, once a second at most. */
  ask(): void;
  /** Tells what every host said last, and what it says from now on. To be called once; ends with the store. */
  follow(listener: (host: string, report: HostReport) => void): void;
}

export interface WatchListener {
  readonly onCommit: (commit: Commit) => void;
  readonly onGap: () => void;
}

/** The store cannot do what it is asked; one line. */
export class StoreError extends Error {
  override readonly name: string = 'StoreError';
}

/** Whether the store has it nobody can say. */
export class UnknownOutcome extends StoreError {
  override readonly name = 'UnknownOutcome';
}
