/**
 * Names of our sets and chains, read: the only place where that is done. Names are all that a table which was read back from the kernel says
 * of what its sets and chains are for; whoever has the ruleset asks their roles (types.ts).
 */
import type { Direction, Family } from '../model/index.js';
import type { SetRole } from './types.js';

export interface MemberSetName {
  readonly role: Extract<SetRole, { kind: 'members' }>;
  /** Short name of the group whose members they are (compiler/names.ts). */
  readonly short: string;
}

/** What `memberSetNames` said; undefined for the name of any other set. Other names that begin so are a group's own. */
export function readMemberSetName(name: string): MemberSetName | undefined {
  const [, kind, short = '', holds, digit] = /^(sg|ag)_(.+)_(addresses|prefixes)([46])$/.exec(name) ?? [];
  if (kind === undefined) return undefined;
  const family: Family = digit === '4' ? 'IPv4' : 'IPv6';
  return {
    role: {
      kind: 'members',
      of: kind === 'sg' ? 'security-group' : 'address-group',
      family,
      holds: holds === 'addresses' ? 'addresses' : 'prefixes',
    },
    short,
  };
}

/** The role of the set of that name. */
export function readSetRole(name: string): SetRole {
  return readMemberSetName(name)?.role ?? { kind: /^sg_.+_(in|out)_/.test(name) ? 'group' : 'fixed' };
}

export type ChainName =
  | { readonly kind: 'group'; readonly short: string; readonly direction: Direction }
  | { readonly kind: 'profile'; readonly direction: Direction };

/** What `groupChainName` and `profileChainName` said; undefined for a chain of the fixed part. */
export function readChainName(name: string): ChainName | undefined {
  const [, group, profile, end] = /^(?:sg_(.+)|profile_(\w+))_(in|out)$/.exec(name) ?? [];
  const direction = end === 'in' ? 'ingress' : 'egress';
  if (group !== undefined) return { kind: 'group', short: group, direction };
  return profile === undefined ? undefined : { kind: 'profile', direction };
}

/** How the names begin of all that is a group's own and, for either kind of group, of its members. */
export function startOfNames(kind: 'security-group' | 'address-group', short: string): string {
  return `${kind === 'security-group' ? 'sg' : 'ag'}_${short}`;
}

/** True for the name of a chain or set of whom {@link startOfNames} is of. */
export function isNamedAfter(name: string, start: string): boolean {
  return name.startsWith(`${start}_`);
}

/** The place that a set of flows which audit counts belongs to (audit.ts); undefined for any other set. */
export function placeOfFlows(set: string): { readonly chain: string; readonly family: Family } | undefined {
  const [, chain, digit] = /^audit_(.+)_([46])$/.exec(set) ?? [];
  return chain === undefined ? undefined : { chain, family: digit === '4' ? 'IPv4' : 'IPv6' };
}
