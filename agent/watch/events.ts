/** What the watching process tells the agent. */
import type { TableFamily } from '../../compiler/index.js';
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
}

/** One that touched rules of ours in iptables-nft, or put something before them. */
export interface IptablesChanged extends Committed {
  /** True when rules of ours may be gone. */
  readonly isGone: boolean;
}

export interface Opened {
  readonly family: TableFamily;
  /** The table is gone, or rules of it; it was made dormant and sees no packet; it leaves packets to rules that are gone. */
  readonly how: 'gone' | 'dormant' | 'unguarded';
}

export type WatchEvent =
  /** Every link, at the start and after news were lost. */
  | { readonly kind: 'links'; readonly links: readonly Link[] }
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'link-gone'; readonly index: number }
  | { readonly kind: 'table-changed'; readonly change: TableChanged }
  | { readonly kind: 'iptables-changed'; readonly change: IptablesChanged }
  /** Nothing happened; the process is there. */
  | { readonly kind: 'alive' };

/** News of links. */
export type LinkEvent = Extract<WatchEvent, { kind: 'links' | 'link' | 'link-gone' }>;

/** Between two signs of life; in milliseconds. */
export const BEAT = 2000;
