/** Every record in memory, with the indexes that the API asks. What the store holds, no more and no less. */
import {
  KINDS,
  type Kind,
  type PortRecord,
  type RbacRecord,
  type RecordChange,
  type Records,
  type RuleRecord,
  type SubnetRecord,
} from './records.js';

/** What may be asked of a state. */
export interface View {
  get<K extends Kind>(kind: K, id: string): Records[K] | undefined;
  /** In no order. */
  all<K extends Kind>(kind: K): Iterable<Records[K]>;
  count(kind: Kind): number;
  rulesOf(groupId: string): Iterable<RuleRecord>;
  /** Rules of any group whose remote group, or remote address group, that is. */
  rulesNaming(id: string): Iterable<RuleRecord>;
  portsWith(groupId: string): Iterable<PortRecord>;
  portsOf(networkId: string): Iterable<PortRecord>;
  portsOfDevice(deviceId: string): Iterable<PortRecord>;
  subnetsOf(networkId: string): Iterable<SubnetRecord>;
  /** Policies that share an object. */
  policiesOf(objectId: string): Iterable<RbacRecord>;
  /** How many objects of a kind a project has. */
  countOf(kind: ProjectIndexed, projectId: string): number;
  /** The port that has an address in a network. */
  portWithAddress(networkId: string, address: string): PortRecord | undefined;
  portWithMac(networkId: string, mac: string): PortRecord | undefined;
}

/** True when there is at least one. */
export function isAny(items: Iterable<unknown>): boolean {
  return items[Symbol.iterator]().next().done !== true;
}

type Tables = { readonly [K in Kind]: Map<string, Records[K]> };

function emptyTables(): Tables {
  return {
    network: new Map(),
    subnet: new Map(),
    port: new Map(),
    security_group: new Map(),
    security_group_rule: new Map(),
    address_group: new Map(),
    default_security_group_rule: new Map(),
    default_security_group: new Map(),
    quota: new Map(),
    revoked_token: new Map(),
    rbac_policy: new Map(),
    server: new Map(),
  };
}

/** Records by a key that several may have. */
class Index<T extends { readonly id: string }> {
  readonly #groups = new Map<string, Map<string, T>>();

  constructor(private readonly keysOf: (record: T) => Iterable<string>) {}

  replace(before: T | undefined, after: T | undefined): void {
    if (before !== undefined) {
      for (const key of this.keysOf(before)) {
        const group = this.#groups.get(key);
        group?.delete(before.id);
        if (group?.size === 0) this.#groups.delete(key);
      }
    }
    if (after === undefined) return;
    for (const key of this.keysOf(after)) {
      const group = this.#groups.get(key);
      if (group === undefined) this.#groups.set(key, new Map([[after.id, after]]));
      else group.set(after.id, after);
    }
  }

  of(key: string): Iterable<T> {
    return this.#groups.get(key)?.values() ?? [];
  }

  first(key: string): T | undefined {
    return this.#groups.get(key)?.values().next().value;
  }

  size(key: string): number {
    return this.#groups.get(key)?.size ?? 0;
  }
}

const PROJECT_INDEXED = [
  'network',
  'subnet',
  'port',
  'security_group',
  'security_group_rule',
  'address_group',
  'rbac_policy',
  'server',
] as const;
type ProjectIndexed = (typeof PROJECT_INDEXED)[number];

interface Owned {
  readonly id: string;
  readonly project_id: string;
}

export class State implements View {
  readonly #tables = emptyTables();
  readonly #rulesOf = new Index<RuleRecord>((rule) => [rule.security_group_id]);
  readonly #rulesNaming = new Index<RuleRecord>((rule) =>
    [rule.remote_group_id, rule.remote_address_group_id].filter((id) => id !== null),
  );
  readonly #portsWith = new Index<PortRecord>((port) => port.security_groups);
  readonly #portsOf = new Index<PortRecord>((port) => [port.network_id]);
  readonly #portsOfDevice = new Index<PortRecord>((port) => (port.device_id === '' ? [] : [port.device_id]));
  readonly #subnetsOf = new Index<SubnetRecord>((subnet) => [subnet.network_id]);
  readonly #policiesOf = new Index<RbacRecord>((policy) => [policy.object_id]);
  readonly #addresses = new Index<PortRecord>((port) =>
    port.fixed_ips.map(({ ip_address }) => `${port.network_id} ${ip_address}`),
  );
  readonly #macs = new Index<PortRecord>((port) => [`${port.network_id} ${port.mac_address}`]);
  readonly #byProject: Readonly<Record<ProjectIndexed, Index<Owned>>> = {
    network: new Index(ownerOf),
    subnet: new Index(ownerOf),
    port: new Index(ownerOf),
    security_group: new Index(ownerOf),
    security_group_rule: new Index(ownerOf),
    address_group: new Index(ownerOf),
    rbac_policy: new Index(ownerOf),
    server: new Index(ownerOf),
  };

  /** @returns the change that takes it back. */
  apply(change: RecordChange): RecordChange {
    const before = this.get(change.kind, change.id);
    // The kind of the change says which table and which record belong together.
    const table = this.#tables[change.kind] as Map<string, Records[Kind]>;
    if (change.record === undefined) table.delete(change.id);
    else table.set(change.id, change.record);
    this.#reindex(change, before);
    return { kind: change.kind, id: change.id, record: before } as RecordChange;
  }

  get<K extends Kind>(kind: K, id: string): Records[K] | undefined {
    return this.#tables[kind].get(id);
  }

  all<K extends Kind>(kind: K): Iterable<Records[K]> {
    return this.#tables[kind].values();
  }

  count(kind: Kind): number {
    return this.#tables[kind].size;
  }

  rulesOf(groupId: string): Iterable<RuleRecord> {
    return this.#rulesOf.of(groupId);
  }

  rulesNaming(id: string): Iterable<RuleRecord> {
    return this.#rulesNaming.of(id);
  }

  portsWith(groupId: string): Iterable<PortRecord> {
    return this.#portsWith.of(groupId);
  }

  portsOf(networkId: string): Iterable<PortRecord> {
    return this.#portsOf.of(networkId);
  }

  portsOfDevice(deviceId: string): Iterable<PortRecord> {
    return this.#portsOfDevice.of(deviceId);
  }

  subnetsOf(networkId: string): Iterable<SubnetRecord> {
    return this.#subnetsOf.of(networkId);
  }

  policiesOf(objectId: string): Iterable<RbacRecord> {
    return this.#policiesOf.of(objectId);
  }

  countOf(kind: ProjectIndexed, projectId: string): number {
    return this.#byProject[kind].size(projectId);
  }

  portWithAddress(networkId: string, address: string): PortRecord | undefined {
    return this.#addresses.first(`${networkId} ${address}`);
  }

  portWithMac(networkId: string, mac: string): PortRecord | undefined {
    return this.#macs.first(`${networkId} ${mac}`);
  }

  #reindex(change: RecordChange, before: Records[Kind] | undefined): void {
    if (change.kind === 'port') {
      const old = before as PortRecord | undefined;
      for (const index of [this.#portsWith, this.#portsOf, this.#portsOfDevice, this.#addresses, this.#macs]) {
        index.replace(old, change.record);
      }
    }
    if (change.kind === 'security_group_rule') {
      const old = before as RuleRecord | undefined;
      for (const index of [this.#rulesOf, this.#rulesNaming]) index.replace(old, change.record);
    }
    if (change.kind === 'subnet') this.#subnetsOf.replace(before as SubnetRecord | undefined, change.record);
    if (change.kind === 'rbac_policy') this.#policiesOf.replace(before as RbacRecord | undefined, change.record);
    if (isProjectIndexed(change.kind)) {
      this.#byProject[change.kind].replace(before as Owned | undefined, change.record as Owned | undefined);
    }
  }
}

function ownerOf({ project_id: project }: Owned): Iterable<string> {
  return [project];
}

function isProjectIndexed(kind: Kind): kind is ProjectIndexed {
  return (PROJECT_INDEXED as readonly Kind[]).includes(kind);
}

/** The store's key of a record, and back; undefined for a key of something else. */
export function keyOf(kind: Kind, id: string): string {
  return `${kind}/${id}`;
}

export function kindAndId(key: string): { readonly kind: Kind; readonly id: string } | undefined {
  const slash = key.indexOf('/');
  const kind = KINDS.find((one) => one === key.slice(0, slash));
  return kind === undefined ? undefined : { kind, id: key.slice(slash + 1) };
}
