/**
 * What a cloud needs in etcd, on agents and on the wire, counted from its numbers alone: docs/scale.md has the formulas. Knows the layout's keys
 * (src/sources/etcd/layout.ts) and none of the code that writes them, so that a run can find either of them wrong.
 */
import { hostName, RULES_OF_GROUP, type Cloud } from './cloud.js';
import type { Change } from './changes.js';

/** Values as they are stored, in bytes, with UUIDs for ids and IPv4; an address more or a long name is a few tens of bytes. */
const VALUE = {
  network: { record: 425, view: 200 },
  subnet: { record: 520, view: 195 },
  group: { record: 245, view: 130, members: 110 },
  rule: { record: 450, view: 360 },
  port: { record: 725, view: 505, member: 365 },
  /** The name of a commit. */
  mark: 50,
  head: 91,
  identity: 36,
  version: 1,
} as const;
const UUID = 36;
const PREFIX = '/portcullis/'.length;
const key = (rest: string): number => PREFIX + rest.length;
const KEY = {
  record: (kind: string): number => key(`records/${kind}/`) + UUID,
  host: key(`view/hosts/${hostName(0)}/`),
  network: key('view/networks//') + UUID,
  group: key('view/groups//') + UUID,
  members: key('view/members//') + UUID,
  /** Behind a scope: `port/ID`. */
  part: (what: string): number => what.length + 1 + UUID,
} as const;

/** On the wire, in bytes, beside keys and values: protocol buffers (api/mvccpb/kv.proto), gRPC's and HTTP/2's frames. */
const WIRE = {
  keyValue: 20,
  event: 24,
  /** A message of a watch; what says that there is one now. */
  message: 65,
  created: 50,
  /** An answer, its headers and trailers; and the question. */
  answer: 115,
  question: 160,
  /** A comparison of a mark's revision. */
  compare: 16,
} as const;
/** Marks of one question; etcd takes 128. */
const MOST_COMPARED = 100;
/** Between two looks of an agent, and between two reports; in seconds. */
export const LOOK_EVERY = 10;

export interface AgentNeeds {
  /** Watches; one for each scope. */
  readonly scopes: number;
  /** That it reads at its start, and their bytes on the wire. */
  readonly keys: number;
  readonly startBytes: number;
  /** Members that its rules name. */
  readonly members: number;
  /** Of one question whether anything is missing: to the agent, and from it. */
  readonly lookReceived: number;
  readonly lookSent: number;
  readonly memory: number;
}

export interface CloudNeeds {
  readonly ports: number;
  readonly groups: number;
  readonly keys: number;
  /** Of keys and values; and of a member's file with them, compacted and defragmented. */
  readonly bytes: number;
  readonly fileBytes: number;
  readonly engineMemory: number;
  /** Of all agents together. */
  readonly watches: number;
  /** Hosts that one change of a port wakes: mean over ports, and the most. */
  readonly fanOut: { readonly mean: number; readonly most: number };
}

export interface ChangeNeeds {
  /** That etcd sends to some agents, and to one process of the API. */
  readonly agentEvents: number;
  readonly engineEvents: number;
  /** To the agents, from them; without looks. */
  readonly agentBytes: number;
  readonly engineBytes: number;
}

/** Bytes of a file of etcd for each byte of keys and values, after a defragmentation. Measured: docs/scale.md. */
const FILE = 1.25;
/** In bytes, of processes on Node 20: their own, and for each key that an agent knows, each record that the engine has. Measured, likewise. */
const MEMORY = { agent: 84e6, agentKey: 3000, engine: 75e6, engineRecord: 4600 };

export class ScaleModel {
  readonly #groupsOf: readonly ReadonlySet<number>[];
  /** Hosts by group. */
  readonly #hostsOf: readonly ReadonlySet<number>[];

  constructor(private readonly cloud: Cloud) {
    this.#groupsOf = cloud.groupsByHost();
    const hosts = Array.from({ length: cloud.groupCount }, () => new Set<number>());
    for (const [host, groups] of this.#groupsOf.entries()) for (const group of groups) hosts[group]?.add(host);
    this.#hostsOf = hosts;
  }

  cloudNeeds(): CloudNeeds {
    const { groupCount: groups, portCount: ports, shape } = this.cloud;
    const records = [
      [groups, 'network', VALUE.network.record],
      [groups, 'subnet', VALUE.subnet.record],
      [groups, 'security_group', VALUE.group.record],
      [RULES_OF_GROUP * groups, 'security_group_rule', VALUE.rule.record],
      [ports, 'port', VALUE.port.record],
    ] as const;
    const hosts = Array.from({ length: shape.hosts }, () => this.#hostScope());
    const views = [...hosts, ...this.cloud.sizes.map((size) => this.#groupScopes(size))];
    const itself = {
      keys: 3,
      bytes: key('head') + VALUE.head + key('identity') + VALUE.identity + key('view') + VALUE.version,
    };
    const stored = total([
      itself,
      ...views,
      ...records.map(([keys, kind, value]) => ({ keys, bytes: keys * (KEY.record(kind) + value) })),
    ]);
    const fanOuts = this.cloud.sizes.map((size, group) => ({ size, hosts: this.#hostsOf[group]?.size ?? 0 }));
    return {
      ...stored,
      fileBytes: stored.bytes * FILE,
      engineMemory: MEMORY.engine + records.reduce((sum, [keys]) => sum + keys, 0) * MEMORY.engineRecord,
      watches: this.#groupsOf.reduce((sum, { size }) => sum + scopesOf(size), 0),
      fanOut: {
        mean: fanOuts.reduce((sum, { size, hosts }) => sum + size * hosts, 0) / ports,
        most: fanOuts.reduce((most, { hosts }) => Math.max(most, hosts), 0),
      },
      ports: shape.hosts * shape.ports,
      groups,
    };
  }

  agentNeeds(host: number): AgentNeeds {
    const groups = this.#groupsOf[host] ?? new Set();
    const scopes = scopesOf(groups.size);
    const members = [...groups].map((group) => this.cloud.sizes[group] ?? 0);
    const read = total([this.#hostScope(), ...members.map((size) => this.#groupScopes(size))]);
    const questions = Math.ceil(scopes / MOST_COMPARED);
    const answer = WIRE.answer + key('head') + VALUE.head + WIRE.keyValue;
    const marks = KEY.host + key('view/asked/') + groups.size * (KEY.network + KEY.group + KEY.members);
    return {
      scopes,
      keys: read.keys,
      startBytes: read.bytes + read.keys * WIRE.keyValue + scopes * (WIRE.answer + WIRE.created) + 3 * answer,
      members: members.reduce((sum, size) => sum + size, 0),
      lookReceived: questions * answer,
      lookSent: questions * (WIRE.question + key('identity') + VALUE.identity) + marks + scopes * WIRE.compare,
      memory: MEMORY.agent + read.keys * MEMORY.agentKey,
    };
  }

  /** Of some hosts' agents, when changes come one by one. */
  changeNeeds(changes: readonly Change[], hosts: readonly number[]): ChangeNeeds {
    const isAgent = new Set(hosts);
    const needs = { agentEvents: 0, engineEvents: 0, agentBytes: 0, engineBytes: 0 };
    for (const { kind, group, host } of changes) {
      // The record and the head.
      needs.engineEvents += 2;
      needs.engineBytes += WIRE.message + 2 * WIRE.event + this.#recordBytes(kind) + key('head') + VALUE.head;
      for (const woken of this.woken({ kind, group, host })) {
        if (!isAgent.has(woken)) continue;
        const isOwn = woken === host;
        // In each scope its mark and what changed.
        needs.agentEvents += isOwn ? 4 : 2;
        needs.agentBytes += this.agentNeeds(woken).lookReceived + this.#messageBytes(kind, isOwn);
      }
    }
    return needs;
  }

  /** The hosts that a change wakes. */
  woken({ kind, group }: Pick<Change, 'kind' | 'group' | 'host'>): ReadonlySet<number> {
    return kind === 'description' ? new Set() : (this.#hostsOf[group] ?? new Set());
  }

  #recordBytes(kind: Change['kind']): number {
    if (kind === 'rule comes') return KEY.record('security_group_rule') + VALUE.rule.record;
    if (kind === 'rule goes') return KEY.record('security_group_rule');
    return KEY.record('port') + (kind === 'port goes' ? 0 : VALUE.port.record);
  }

  #messageBytes(kind: Change['kind'], isOwn: boolean): number {
    const message = (scope: number, part: string, value: number): number =>
      WIRE.message + 2 * WIRE.event + 2 * scope + VALUE.mark + KEY.part(part) + value;
    if (kind === 'rule comes') return message(KEY.group, 'rule', VALUE.rule.view);
    if (kind === 'rule goes') return message(KEY.group, 'rule', 0);
    const isGone = kind === 'port goes';
    const member = message(KEY.members, 'port', isGone ? 0 : VALUE.port.member);
    return isOwn ? member + message(KEY.host, 'port', isGone ? 0 : VALUE.port.view) : member;
  }

  /** A host's ports, and the mark. */
  #hostScope(): Stored {
    const { ports } = this.cloud.shape;
    return {
      keys: 1 + ports,
      bytes: KEY.host + VALUE.mark + ports * (KEY.host + KEY.part('port') + VALUE.port.view),
    };
  }

  /** A group's network, its rules, its members: as often as it has ports. */
  #groupScopes(size: number): Stored {
    const mark = VALUE.mark;
    const network = 3 * KEY.network + mark + 'network'.length + VALUE.network.view;
    const subnet = KEY.part('subnet') + VALUE.subnet.view;
    const group = 2 * KEY.group + mark + 'group'.length + VALUE.group.view;
    const rules = RULES_OF_GROUP * (KEY.group + KEY.part('rule') + VALUE.rule.view);
    const members = 2 * KEY.members + mark + 'group'.length + VALUE.group.members;
    const ports = size * (KEY.members + KEY.part('port') + VALUE.port.member);
    return {
      keys: 3 + 2 + RULES_OF_GROUP + 2 + size,
      bytes: network + subnet + group + rules + members + ports,
    };
  }
}

interface Stored {
  readonly keys: number;
  readonly bytes: number;
}

/** Of a host with ports in so many groups: its ports, the question to all, and of each group network, rules and members. */
function scopesOf(groups: number): number {
  return 2 + 3 * groups;
}

function total(parts: readonly Stored[]): Stored {
  return parts.reduce(({ keys, bytes }, part) => ({ keys: keys + part.keys, bytes: bytes + part.bytes }), {
    keys: 0,
    bytes: 0,
  });
}
