/** Where a topology comes from, for as long as somebody listens. */
import type { Problem, Topology, TopologyChanges } from '../model/index.js';

export type SourceEvent =
  /** The topology as it is now. The first one, and every one that differs in what it was read from. */
  | {
      readonly kind: 'topology';
      readonly topology: Topology;
      readonly problems: readonly Problem[];
      /** Why the source itself doubts that it is meant; undefined when it does not. */
      readonly doubt?: string | undefined;
    }
  /** What changed since the last event, for a source that knows. */
  | { readonly kind: 'changes'; readonly changes: TopologyChanges; readonly problems: readonly Problem[] }
  /** What is there cannot be used: the last good topology stays. Told once for each distinct reason. */
  | { readonly kind: 'stale'; readonly problems: readonly Problem[] };

/** Between tries, in milliseconds: doubled each time. */
export const BACKOFF = { first: 250, most: 5000 };

/** The one problem of a source that cannot be read at all. */
export function unreadable(file: string, message: string): Problem {
  return { severity: 'error', code: 'unreadable', file, path: '', message };
}

export interface Source {
  /** What it reads, for people. */
  readonly name: string;
  /** Begins to read; `listener` is called from now on. To be called once. */
  start(listener: (event: SourceEvent) => void): void;
  /** Reads again, changed or not. */
  reload(): void;
  /** Somebody says that the last topology is meant, whatever the source itself has against it. */
  accept?(): void;
  stop(): void;
}
