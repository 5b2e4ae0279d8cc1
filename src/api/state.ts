/** Every record in memory, with the indexes that the API asks. What the store holds, no more and no less. */
import { idsIn, referencesIn } from './kinds/attribute.js';
import type { Fields } from './kinds/parsers.js';
import {
  ATTRIBUTES,
  KINDS,
  ownerOf,
  type Kind,
  type OwnedKind,
  type RecordChange,
  type Records,
  type ReferenceOf,
} from './records.js';

/** What may be asked of a state. */
export type View = Omit<State, 'apply'>;

/** True when there is at least one. */
export function isAny(items: Iterable<unknown>): boolean {
  return items[Symbol.iterator]().next().done !== true;
}

type Tables = { readonly [K in Kind]: Map<string, Records[K]> };
type Indexes = { readonly [K in Kind]: Map<string, Index<Records[K]>> };

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

  readonly of = (key: string): Iterable<T> => this.#groups.get(key)?.values() ?? [];

  first(key: string): T | undefined {
    return this.#groups.get(key)?.values().next().value;
  }
}

export class State {
  // What is empty is of any kind.
  readonly #tables = Object.fromEntries(KINDS.map((kind) => [kind, new Map()])) as Tables;
  readonly #indexes = Object.fromEntries(KINDS.map((kind) => [kind, new Map()])) as Indexes;
  /** How many objects of a kind a project has, by both. */
  readonly #owned = new Map<string, number>();

  readonly portsOfDevice = this.#indexed('port', 'device', ({ device_id: id }) => (id === '' ? [] : [id])).of;
  readonly #portsByAddress = this.#indexed('port', 'address', ({ network_id: network, fixed_ips: ips }) =>
    ips.map(({ ip_address: address }) => `${network} ${address}`),
  );
  readonly #portsByMac = this.#indexed('port', 'mac', (port) => [`${port.network_id} ${port.mac_address}`]);

  readonly addressGroupsOf = this.#indexed('address_group', 'project', ({ project_id: project }) => [project]).of;

  constructor() {
    for (const kind of KINDS) {
      for (const { name } of referencesIn(ATTRIBUTES[kind])) {
        this.#indexed(kind, name, (record: Fields) => idsIn(record[name]));
      }
    }
  }

  /** @returns the change that takes it back. */
  apply<K extends Kind>({ kind, id, record }: RecordChange<K>): RecordChange<K> {
    const before = this.get(kind, id);
    const table = this.#tables[kind];
    if (record === undefined) table.delete(id);
    else table.set(id, record);
    for (const index of this.#indexes[kind].values()) index.replace(before, record);
    if (before !== undefined) this.#count(kind, before, -1);
    if (record !== undefined) this.#count(kind, record, 1);
    return { kind, id, record: before };
  }

  get<K extends Kind>(kind: K, id: string): Records[K] | undefined {
    return this.#tables[kind].get(id);
  }

  /** In no order. */
  all<K extends Kind>(kind: K): Iterable<Records[K]> {
    return this.#tables[kind].values();
  }

  count(kind: Kind): number {
    return this.#tables[kind].size;
  }

  /** How many objects of a kind a project has. */
  countOf(kind: OwnedKind, projectId: string): number {
    return this.#owned.get(`${kind} ${projectId}`) ?? 0;
  }

  /** The objects of a kind that name another one by an attribute: the rules of a group, the ports of a network. */
  by<K extends Kind>(kind: K, attribute: ReferenceOf<K>, id: string): Iterable<Records[K]> {
    return this.#indexes[kind].get(attribute)?.of(id) ?? [];
  }

  /** The port that has an address in a network. */
  portWithAddress(networkId: string, address: string): Records['port'] | undefined {
    return this.#portsByAddress.first(`${networkId} ${address}`);
  }

  portWithMac(networkId: string, mac: string): Records['port'] | undefined {
    return this.#portsByMac.first(`${networkId} ${mac}`);
  }

  #indexed<K extends Kind>(kind: K, by: string, keysOf: (record: Records[K]) => Iterable<string>): Index<Records[K]> {
    const index = new Index(keysOf);
    this.#indexes[kind].set(by, index);
    return index;
  }

  #count(kind: Kind, record: Records[Kind], more: number): void {
    const owner = ownerOf(record);
    if (owner === undefined) return;
    const key = `${kind} ${owner}`;
    const count = (this.#owned.get(key) ?? 0) + more;
    if (count === 0) this.#owned.delete(key);
    else this.#owned.set(key, count);
  }
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
