/**
 * Parts of a policy that concern a host as a whole or not at all. What is in one has a name there, and a text: JSON in Neutron's shapes, with
 * what matters to a host and nothing else.
 *
 * | scope | names in it |
 * |---|---|
 * | `hosts/HOST/` | `port/ID`: a port that is bound to the host, or on the way there |
 * | `networks/ID/` | `network`, `subnet/ID` |
 * | `groups/ID/` | `group`, `rule/ID`: a group that ports have |
 * | `members/ID/` | `group`, `port/ID`: a group that rules name, and of each of its ports what concerns others |
 * | `address-groups/ID/` | `group`, `address/PREFIX` |
 */
import { z } from 'zod';
import { jsonOf } from '../../../compiler/model/json-text.js';

/** Ends with a slash: no scope begins as another one. `asked/` is etcd's alone (etcd/layout.ts). */
export type Scope = `${'hosts' | 'networks' | 'groups' | 'members' | 'address-groups'}/${string}/` | 'asked/';

export const scopeOf = {
  host: (name: string): Scope => `hosts/${encodeURIComponent(name)}/`,
  network: (id: string): Scope => `networks/${id}/`,
  group: (id: string): Scope => `groups/${id}/`,
  members: (groupId: string): Scope => `members/${groupId}/`,
  addressGroup: (id: string): Scope => `address-groups/${id}/`,
} as const;

const OBJECT = z.record(z.string(), z.unknown());

/** An object as it was written. @throws Error for what is none; one line. */
export function readObject(key: string, text: string): Readonly<Record<string, unknown>> {
  const object = OBJECT.safeParse(jsonOf(text));
  if (!object.success) throw new Error(`${key}: not as it was written`);
  return object.data;
}
