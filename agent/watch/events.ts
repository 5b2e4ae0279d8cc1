/** What the watching process tells the agent. */
import type { Link } from '../netlink/links.js';

export type WatchEvent =
  /** Every link, at the start and after news were lost. */
  | { readonly kind: 'links'; readonly links: readonly Link[] }
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'link-gone'; readonly index: number }
  /** A transaction that touched a table of our name. */
  | { readonly kind: 'table-changed'; readonly pid: number; readonly program: string };
