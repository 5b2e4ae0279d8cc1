/** Names of the sets that hold the members of a remote group or an address group: as they are given, and read back. */
import type { MemberSet } from '../host-policy.js';
import type { Family } from '../model/index.js';
import type { MemberSetNames } from './group-chain.js';

/** Names of the sets of a member set; `short` is the name of its group. */
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

export interface MemberSetName extends Pick<MemberSet, 'kind' | 'family'> {
  readonly short: string;
  readonly holds: 'addresses' | 'prefixes';
}

/** What {@link memberSetNames} said; undefined for the name of any other set. Other names that begin so are a group's own. */
export function readMemberSetName(name: string): MemberSetName | undefined {
  const [, kind, short = '', holds, digit] = /^(sg|ag)_(.+)_(addresses|prefixes)([46])$/.exec(name) ?? [];
  if (kind === undefined) return undefined;
  const family: Family = digit === '4' ? 'IPv4' : 'IPv6';
  return {
    kind: kind === 'sg' ? 'security-group' : 'address-group',
    family,
    short,
    holds: holds === 'addresses' ? 'addresses' : 'prefixes',
  };
}
