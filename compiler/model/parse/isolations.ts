/** What is told of the bad objects of a topology, once it is known what is in force in their place. */
import { deviceKey, objectKey, type Isolation } from '../isolation.js';
import type { ObjectKind } from '../problem.js';
import type { Port, SecurityGroup, Topology } from '../topology.js';
import type { BadRule } from './groups.js';
import type { Bad, Fate } from './last-good.js';
import type { PortFate } from './port-fates.js';
import { field, isId, located, type Item } from './report.js';

export interface Fates extends Readonly<
  Record<Exclude<ObjectKind, 'security group rule' | 'port'>, readonly Fate<unknown>[]>
> {
  readonly port: readonly PortFate[];
  readonly rules: readonly BadRule[];
  /** Ports by the groups that they name and that are not in force. */
  readonly namesOfClosed: ReadonlyMap<string, readonly string[]>;
}

export function isolationsOf(topology: Topology, fates: Fates): readonly Isolation[] {
  const { rules, port: ports, namesOfClosed } = fates;
  const others = (['network', 'subnet', 'address group', 'security group'] as const).flatMap((kind) =>
    fates[kind].map((fate) => ({ kind, fate })),
  );
  if (rules.length + ports.length + others.length === 0) return [];
  const users = new Users(topology);
  const concerned = (kind: ObjectKind, id: string | undefined): readonly string[] => {
    if (id === undefined) return [];
    switch (kind) {
      case 'network':
        return users.ofNetwork(id);
      case 'address group':
        return users.ofAddressGroup(id);
      case 'security group':
        return topology.securityGroups.has(id) ? users.ofGroup(id) : (namesOfClosed.get(id) ?? []);
      default:
        return [];
    }
  };
  return [
    ...others.map(({ kind, fate: { bad, id, kept } }): Isolation => ({
      ...told(kind, bad.items),
      id,
      isKept: kept !== undefined,
      portIds: [...concerned(kind, id)].sort(),
      hangsOn: id === undefined ? [] : [objectKey(kind, id)],
    })),
    ...rules.map(({ item, groupId, isKept }): Isolation => ({
      ...told('security group rule', [item]),
      groupId,
      isKept,
      portIds: groupId === undefined ? [] : [...users.ofGroup(groupId)].sort(),
      hangsOn: groupId === undefined ? [] : [objectKey('security group', groupId)],
    })),
    ...ports.map(({ bad, id, kept, closedDevices, places }): Isolation => ({
      ...told('port', bad.items),
      id,
      isKept: kept !== undefined,
      portIds: id === undefined ? [] : [id],
      closedDevices,
      hosts: [...new Set(places.flatMap(({ host }) => host ?? []))],
      // Without an id it may be any port that goes.
      hangsOn:
        id === undefined
          ? []
          : [objectKey('port', id), ...namedBy(bad, kept), ...places.map((place) => deviceKey(place))],
    })),
  ];
}

function told(kind: ObjectKind, items: readonly [Item, ...Item[]]): Isolation {
  const [{ fields }] = items;
  const id = field(fields, 'id');
  const name = field(fields, 'name');
  // A fault that two items share is one.
  const faults = [...new Set(items.flatMap((item) => item.faults))];
  return {
    kind,
    id: isId(id) ? id : undefined,
    name: typeof name === 'string' ? name : '',
    groupId: undefined,
    places: items.map(({ place: { file, path } }) => ({ file, path })),
    problems: faults.map(located),
    isKept: false,
    portIds: [],
    closedDevices: [],
    hosts: [],
    hangsOn: [],
  };
}

/** The groups and the network of a bad port, as far as they can be read, and of its last good version. */
function namedBy({ items }: Bad, kept: Port | undefined): readonly string[] {
  const groups = items.flatMap(({ fields }) => {
    const value = field(fields, 'security_groups');
    return Array.isArray(value) ? (value as readonly unknown[]) : [];
  });
  const networks = items.map(({ fields }) => field(fields, 'network_id'));
  return [
    ...[...groups, ...(kept?.securityGroupIds ?? [])].map((group) => objectKey('security group', String(group))),
    ...[...networks, kept?.networkId].map((network) => objectKey('network', String(network))),
  ];
}

/** Which ports use an object, of a topology in force. */
class Users {
  #byGroup: ReadonlyMap<string, readonly string[]> | undefined;
  #byNetwork: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(private readonly topology: Topology) {}

  ofGroup(id: string): readonly string[] {
    this.#byGroup ??= grouped(
      [...this.topology.ports.values()].flatMap((port) => port.securityGroupIds.map((group) => [group, port.id])),
    );
    return this.#byGroup.get(id) ?? [];
  }

  ofNetwork(id: string): readonly string[] {
    this.#byNetwork ??= grouped([...this.topology.ports.values()].map((port) => [port.networkId, port.id]));
    return this.#byNetwork.get(id) ?? [];
  }

  ofAddressGroup(id: string): readonly string[] {
    const names = ({ rules }: SecurityGroup): boolean =>
      rules.some(({ remote }) =>
        remote.kind === 'address-group' ? remote.id === id : remote.kind === 'unknown' && remote.reference === id,
      );
    const groups = [...this.topology.securityGroups.values()].filter(names);
    return [...new Set(groups.flatMap((group) => this.ofGroup(group.id)))];
  }
}

function grouped(pairs: readonly (readonly [string, string])[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const [key, value] of pairs) {
    const same = groups.get(key);
    if (same === undefined) groups.set(key, [value]);
    else same.push(value);
  }
  return groups;
}
