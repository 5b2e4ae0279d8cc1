/** Names and roles of the sets that hold the members of a remote group or an address group. */
import type { MemberSet } from '../host-policy.js';
import type { MemberSetNames } from './group-chain.js';
import type { SetRole } from './types.js';

/** Names of the sets of a member set; `short` is the name of its group. {@link readSetName} reads them back. */
export function memberSetNames(
  { kind, family }: Pick<MemberSet, 'kind' | 'family'>,
  short: string,
  hasPrefixes: boolean,
): MemberSetNames {
  const prefix = `${kind === 'security-group' ? 'sg' : 'ag'}_${short}`;
  const digit = family === 'IPv4' ? '4' : '6';
  return {
    addresses: `${prefix}_addresses${digit}`,
    prefixes: hasPrefixes ? `${prefix}_prefixes${digit}` : undefined,
  };
}

/** The role of one of them. */
export function membersRole(
  { kind, family }: Pick<MemberSet, 'kind' | 'family'>,
  holds: 'addresses' | 'prefixes',
): SetRole {
  return { kind: 'members', of: kind, family, holds };
}
