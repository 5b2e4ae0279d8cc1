/**
 * What agents read in etcd, and what they write. Below the store's prefix:
 *
 * | key | value |
 * |---|---|
 * | `view/hosts/HOST/port/ID` | a port that is bound to the host, or on the way there |
 * | `view/networks/ID/network`, `…/subnet/ID` | |
 * | `view/groups/ID/group`, `…/rule/ID` | a group that ports have, and its rules |
 * | `view/members/ID/group`, `…/port/ID` | a group that rules name, and of each of its ports what concerns others |
 * | `view/address-groups/ID/group`, `…/address/PREFIX` | |
 * | `view/asked/` | a mark by itself: see {@link ASKED} |
 * | `reports/HOST` | what the host says of itself, for as long as its lease lives |
 *
 * What stands before the kind is a *scope* (feed/scopes.ts): an agent reads and watches whole ones. The key of a scope alone (`view/groups/ID/`) is its
 * *mark*: written by each commit that changes anything in it, with the commit's name. Values are JSON, in Neutron's shapes, with what
 * matters to a host and nothing else: what does not matter wakes nobody.
 *
 * An object with a field that a reader does not know is a bad one to it. So whoever adds one, or gives one another meaning, raises
 * {@link VIEW_VERSION}: then a reader of before keeps what it has, and says who is to be upgraded.
 */
import { z } from 'zod';
import { jsonOf } from '../../../compiler/model/json-text.js';
import { newer } from '../feed/feed.js';

/** Of what is below {@link VIEW}; raised together with the store's schema, so that no API of before goes on writing. */
export const VIEW_VERSION = 1;

export const VIEW = 'view/';
export const REPORTS = 'reports/';

/** Touched by whoever wants to know how far hosts are: each of them says so. A scope of nothing but its mark. */
export const ASKED = 'asked/';

/** The last part of a key, as it may stand there. */
export function addressName(prefix: string): string {
  return encodeURIComponent(prefix);
}

export function reportKey(host: string): string {
  return `${REPORTS}${encodeURIComponent(host)}`;
}

/** Of `head`, what a reader of views asks; src/api/store/etcd-format.ts has the rest. */
const HEAD = z.looseObject({
  revision: z.int().nonnegative(),
  next: z.looseObject({ by: z.string() }).optional(),
  view: z.int().positive().optional(),
});

export interface ViewHead {
  readonly revision: number;
  /** The name of a commit that is being carried out; undefined for none. */
  readonly next: string | undefined;
}

/** @throws Error for what is none, and for one of a version that this one would misread; one line. */
export function readViewHead(text: string): ViewHead {
  const head = HEAD.safeParse(jsonOf(text));
  if (!head.success) throw new Error('head: not as it was written');
  const { view = 1 } = head.data;
  if (view > VIEW_VERSION) throw new Error(newer('the store', view, VIEW_VERSION));
  return { revision: head.data.revision, next: head.data.next?.by };
}
