/** What was heard of each scope, and how much of it is in the view. */
import type { HostView } from '../feed/host-view.js';
import type { Scope } from '../feed/scopes.js';

export interface Heard {
  /** Of etcd. */
  readonly revision: number;
  /** Of a key in the scope; '' for its mark. */
  readonly name: string;
  /** Undefined for what is gone. */
  readonly text: string | undefined;
}

export interface Followed {
  /** Revision of etcd of its mark, as far as was heard; 0 for none. */
  heard: number;
  /** The same, as far as it is in the view; and the commit that wrote it. */
  applied: number;
  by: string;
  /** What is not in the view yet, in order. */
  events: Heard[];
  /** Of the stream of watches that there is now. */
  watch: number;
}

export type Scopes = ReadonlyMap<Scope, Followed>;

export function isMark({ name }: Heard): boolean {
  return name === '';
}

/** Brings what was heard of a scope into the view. @param at up to that revision of etcd */
export function apply(view: HostView, scope: Scope, followed: Followed, at: number): void {
  for (const event of followed.events) {
    const { revision, name, text } = event;
    if (revision > at) break;
    view.change(scope, name, text);
    if (!isMark(event)) continue;
    followed.applied = text === undefined ? 0 : revision;
    followed.by = text ?? '';
  }
  followed.events = followed.events.filter(({ revision }) => revision > at);
}
