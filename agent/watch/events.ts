/** What the watching process tells the agent, and what it is told. */
import type { Closing, Opened } from '../closing.js';
import type { Link } from '../netlink/links.js';

/** A transaction of nf_tables. */
export interface Committed {
  /** The generation that it made. */
  readonly generation: number;
  /** The port id of the socket that made it: the process id of nft(8), as its own process namespace has it. */
  readonly portId: number;
  /** The same process, as the first process namespace has it. */
  readonly pid: number;
  readonly program: string;
}

/** One that touched a table of our name. */
export interface TableChanged extends Committed {
  /** Families of tables of ours that may let through since then what they did not: what closes them has gone. */
  readonly opened: readonly Opened[];
  /** The watching process took it for somebody else's and closes these tables: `closed` follows. */
  readonly isClosing: boolean;
  /** A wrapper runs nft in a process of its own, and this came while one of ours was under way: it is compared, and not closed. */
  readonly mayBeOurs: boolean;
}

/** One that touched rules of ours in iptables-nft, or put something before them. */
export interface IptablesChanged extends Committed {
  /** True when rules of ours may be gone. */
  readonly isGone: boolean;
}

export type WatchEvent =
  /** Every link, at the start and after news were lost. */
  | { readonly kind: 'links'; readonly links: readonly Link[] }
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'link-gone'; readonly index: number }
  | { readonly kind: 'table-changed'; readonly change: TableChanged }
  | { readonly kind: 'iptables-changed'; readonly change: IptablesChanged }
  /** Tables that were opened were closed at once, or could not be, and why. */
  | { readonly kind: 'closed'; readonly opened: readonly Opened[]; readonly error: string | undefined }
  /** What somebody added to our tables was taken back at once: so many rules, and elements of sets. */
  | { readonly kind: 'withdrawn'; readonly count: number }
  /** Nothing happened; the process is there. */
  | { readonly kind: 'alive' };

/** A transaction of the agent's own, told before it can be made and when it is over: whatever it opens is meant. */
export type CommitOrder =
  | { readonly kind: 'own-begins'; readonly portId: number; readonly before: number }
  | {
      readonly kind: 'own-over';
      readonly portId: number;
      readonly before: number;
      readonly after: number;
      /** False when it failed, as far as is known. */
      readonly isMade: boolean;
    };

export type WatchOrder =
  /** What to load where a table is opened; undefined for nothing. */
  { readonly kind: 'closing'; readonly closing: Closing | undefined } | CommitOrder;

/** News of links. */
export type LinkEvent = Extract<WatchEvent, { kind: 'links' | 'link' | 'link-gone' }>;

/** Between two signs of life. */
export const BEAT_MS = 2000;
