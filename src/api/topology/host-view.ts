/** The records as agents read them in etcd: keys and values below `view/` (sources/etcd/layout.ts), and what a change of records changes there. */
import { addressName } from '../../sources/etcd/layout.js';
import { scopeOf, type Scope } from '../../sources/feed/scopes.js';
import { isStorable } from '../kinds/parsers.js';
import type { Kind, PortRecord, Records } from '../records.js';

/** A record before and after; undefined for none. */
export type RecordPair<K extends Kind = Kind> = {
  readonly [P in K]: {
    readonly kind: P;
    readonly before: Records[P] | undefined;
    readonly after: Records[P] | undefined;
  };
}[K];

/** What a commit writes below `view/`. */
export interface ViewChanges {
  /** By key; undefined for one that goes. */
  readonly writes: ReadonlyMap<string, string | undefined>;
  /** In which anything changed, and that are there afterwards. */
  readonly touched: ReadonlySet<Scope>;
  /** That are there no more. */
  readonly gone: ReadonlySet<Scope>;
}

export const NO_VIEW_CHANGES: ViewChanges = { writes: new Map(), touched: new Set(), gone: new Set() };

interface Entry {
  readonly scope: Scope;
  readonly name: string;
  readonly value: object | string;
  /** The scope is there for as long as this is. */
  readonly isScope?: true;
}

/** @param pairs each record once. */
export function viewChanges(pairs: Iterable<RecordPair>): ViewChanges {
  const writes = new Map<string, string | undefined>();
  const [touched, gone] = [new Set<Scope>(), new Set<Scope>()];
  for (const pair of pairs) {
    const { old, now } = textsOfPair(pair);
    for (const [key, { scope, isScope }] of old) {
      if (now.has(key)) continue;
      writes.set(key, undefined);
      (isScope === true ? gone : touched).add(scope);
    }
    for (const [key, { text, scope }] of now) {
      if (old.get(key)?.text === text) continue;
      writes.set(key, text);
      touched.add(scope);
    }
  }
  for (const scope of gone) touched.delete(scope);
  return { writes, touched, gone };
}

/** By key. */
type Texts = Map<string, { readonly text: string; readonly scope: Scope; readonly isScope: true | undefined }>;

function textsOfPair<K extends Kind>({
  kind,
  before,
  after,
}: RecordPair<K>): { readonly old: Texts; readonly now: Texts } {
  return { old: textsOf(kind, before), now: textsOf(kind, after) };
}

function textsOf<K extends Kind>(kind: K, record: Records[K] | undefined): Texts {
  const entries = record === undefined ? [] : ENTRIES[kind](record);
  return new Map(
    entries.map(({ scope, name, value, isScope }) => [
      `${scope}${name}`,
      { text: JSON.stringify(value), scope, isScope },
    ]),
  );
}

/** No host's policy depends on it. */
const none = (): readonly Entry[] => [];

const ENTRIES: { readonly [K in Kind]: (record: Records[K]) => readonly Entry[] } = {
  port: portEntries,
  network: ({ id, name, project_id, port_security_enabled, ...network }) => {
    const value = {
      ...{ id, name, project_id, port_security_enabled },
      'provider:network_type': network['provider:network_type'],
      'provider:segmentation_id': network['provider:segmentation_id'],
    };
    return [{ scope: scopeOf.network(id), name: 'network', value, isScope: true }];
  },
  subnet: ({ id, name, project_id, network_id, cidr, ip_version }) => {
    const value = { id, name, project_id, network_id, cidr, ip_version };
    return [{ scope: scopeOf.network(network_id), name: `subnet/${id}`, value }];
  },
  security_group: ({ id, name, project_id, stateful }) => [
    { scope: scopeOf.group(id), name: 'group', value: { id, name, project_id, stateful }, isScope: true },
    { scope: scopeOf.members(id), name: 'group', value: { id, name, project_id }, isScope: true },
  ],
  security_group_rule: (rule) => [ruleEntry(rule)],
  address_group: ({ id, name, project_id, addresses }) => {
    const scope = scopeOf.addressGroup(id);
    return [
      { scope, name: 'group', value: { id, name, project_id }, isScope: true },
      ...addresses.map((address): Entry => ({ scope, name: `address/${addressName(address)}`, value: address })),
    ];
  },
  default_security_group_rule: none,
  default_security_group: none,
  quota: none,
  revoked_token: none,
  rbac_policy: none,
  server: none,
};

function portEntries(port: PortRecord): readonly Entry[] {
  const { id, name, project_id, network_id, mac_address, admin_state_up, device_owner, security_groups } = port;
  const { fixed_ips, allowed_address_pairs, port_security_enabled } = port;
  const migratingTo = port['binding:profile']['migrating_to'];
  const host = port['binding:host_id'];
  const own = {
    ...{ id, name, project_id, network_id, mac_address, admin_state_up, device_owner, security_groups },
    ...{ fixed_ips, allowed_address_pairs, port_security_enabled },
    'binding:host_id': host,
    'binding:profile': migratingTo === undefined ? {} : { migrating_to: migratingTo },
  };
  // What a profile says may be anything: what is no valid Unicode is no host's name, and has no key.
  const hosts = new Set(
    [host, migratingTo].filter((one): one is string => typeof one === 'string' && one !== '' && isStorable(one)),
  );
  // The groups of a member that are not asked for are nobody's concern.
  const member = {
    ...{ id, project_id, network_id, mac_address, admin_state_up, device_owner, port_security_enabled },
    fixed_ips: fixed_ips.map(({ ip_address }) => ({ ip_address })),
    allowed_address_pairs,
    'binding:host_id': host,
  };
  return [
    ...[...hosts].map((one): Entry => ({ scope: scopeOf.host(one), name: `port/${id}`, value: own })),
    ...security_groups.map((group): Entry => ({ scope: scopeOf.members(group), name: `port/${id}`, value: member })),
  ];
}

function ruleEntry(rule: Records['security_group_rule']): Entry {
  const { id, security_group_id, project_id, direction, ethertype, protocol, description } = rule;
  const { port_range_min, port_range_max, remote_ip_prefix, remote_group_id, remote_address_group_id } = rule;
  return {
    scope: scopeOf.group(security_group_id),
    name: `rule/${id}`,
    value: {
      ...{ id, security_group_id, project_id, direction, ethertype, protocol, port_range_min, port_range_max },
      ...{ remote_ip_prefix, remote_group_id, remote_address_group_id, description },
    },
  };
}
