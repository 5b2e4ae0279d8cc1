/**
 * What is stored: one record for each object, as Neutron's and Nova's APIs show it, less what follows from other records. Each kind is
 * described in a file of kinds/, and named here, once.
 *
 * The store's keys are `KIND/ID`. Records are never changed in place. Whoever changes a shape raises SCHEMA (store/schema.ts).
 */
import { ADDRESS_GROUP } from './kinds/address-group.js';
import { ID, idsIn, kept, referencesIn, type Attributes, type RecordOf } from './kinds/attribute.js';
import { NETWORK } from './kinds/network.js';
import type { Fields } from './kinds/parsers.js';
import { PORT } from './kinds/port.js';
import { QUOTA } from './kinds/quota.js';
import { RBAC_POLICY } from './kinds/rbac-policy.js';
import { DEFAULT_RULE, RULE } from './kinds/rule.js';
import { DEFAULT_GROUP, SECURITY_GROUP } from './kinds/security-group.js';
import { SERVER } from './kinds/server.js';
import { SUBNET } from './kinds/subnet.js';

export type { AddressGroupRecord } from './kinds/address-group.js';
export type { NetworkRecord } from './kinds/network.js';
export type { AddressPair, DhcpOption, FixedIp, PortRecord } from './kinds/port.js';
export { QUOTA_NAMES, type QuotaName } from './kinds/quota.js';
export { SHARED_TYPES, type RbacRecord } from './kinds/rbac-policy.js';
export type { DefaultRuleRecord, RuleContent, RuleRecord } from './kinds/rule.js';
export type { GroupRecord } from './kinds/security-group.js';
export type { ServerRecord } from './kinds/server.js';
export type { AllocationPool, SubnetRecord } from './kinds/subnet.js';

/** The attributes of every kind, in the order in which kinds are listed, backed up and counted. */
export const ATTRIBUTES = {
  network: NETWORK,
  subnet: SUBNET,
  port: PORT,
  security_group: SECURITY_GROUP,
  security_group_rule: RULE,
  address_group: ADDRESS_GROUP,
  default_security_group_rule: DEFAULT_RULE,
  default_security_group: DEFAULT_GROUP,
  quota: QUOTA,
  /** A token of the file of users that was given back: of no use any more, as long as there is this record. Its id is a digest. */
  revoked_token: { id: kept(ID) },
  rbac_policy: RBAC_POLICY,
  server: SERVER,
} satisfies Readonly<Record<string, Attributes>>;

type Tables = typeof ATTRIBUTES;
export type Kind = keyof Tables;
export type Records = { readonly [K in Kind]: RecordOf<Tables[K]> };

/** The type of the table says which keys there are. */
export const KINDS = Object.keys(ATTRIBUTES) as readonly Kind[];

/** What a list of a kind's objects is called: `security_groups`, `rbac_policies`. */
export function pluralOf(kind: Kind): string {
  return `${kind}s`.replace(/ys$/, 'ies');
}

/** Kinds whose objects a project has. */
export type OwnedKind = { [K in Kind]: Records[K] extends { readonly project_id: string } ? K : never }[Kind];
/** Kinds whose objects have tags. */
export type TaggedKind = { [K in Kind]: Records[K] extends { readonly tags: readonly string[] } ? K : never }[Kind];

export function isTagged(kind: Kind): kind is TaggedKind {
  return 'tags' in ATTRIBUTES[kind];
}

/** The project that has a record; undefined for one that nobody has. */
export function ownerOf(record: Records[Kind]): string | undefined {
  return 'project_id' in record ? record.project_id : undefined;
}

/** A change of one record; `record` is undefined for one that goes. */
export type RecordChange<K extends Kind = Kind> = {
  readonly [P in K]: { readonly kind: P; readonly id: string; readonly record: Records[P] | undefined };
}[K];

/** Attributes of a kind that name other objects. */
export type ReferenceOf<K extends Kind> = {
  [N in keyof Tables[K] & string]: Tables[K][N] extends { readonly refersTo: unknown } ? N : never;
}[keyof Tables[K] & string];

/** What a record names by its attributes: all of it must be there. */
export function referencesOf(change: RecordChange) {
  const record: Fields = change.record ?? {};
  return referencesIn(ATTRIBUTES[change.kind]).flatMap(({ name, refersTo }) => {
    const kind = refersTo(record);
    return kind === undefined ? [] : idsIn(record[name]).map((id) => ({ name, kind, id }));
  });
}

/** A change of one kind is one of some kind: TypeScript does not follow that through a parameter. */
export function ofSomeKind<K extends Kind>(change: RecordChange<K>): RecordChange {
  return change as RecordChange;
}
