/**
 * A topology that is told in parts: lines in Neutron's shapes, each with what changed. What a line costs is what it changes.
 *
 * An object is read by the same parser as a whole topology, in a small document with what it refers to.
 */
import { z } from 'zod';
import { flawOfJson } from '../../model/json-text.js';
import {
  parseTopology,
  quoteValue,
  type AddressGroup,
  type Port,
  type Problem,
  type SecurityGroup,
  type Topology,
  type TopologyChanges,
} from '../../model/index.js';

const COLLECTIONS = ['networks', 'subnets', 'address_groups', 'security_groups', 'ports'] as const;
type Collection = (typeof COLLECTIONS)[number];

type Fields = Readonly<Record<string, unknown>>;

const OBJECTS = z.array(z.looseObject({ id: z.string() })).optional();
const IDS = z.array(z.string()).optional();

/** One line of a feed: `reset` says that this is everything, else it is what came, what changed and what is gone. */
const LINE = z.object({
  revision: z.number().int().nonnegative(),
  /** Identity of the store whose revisions these are; where it is told, it is told in every line that is a whole. */
  store: z.string().optional(),
  reset: z.boolean().optional(),
  networks: OBJECTS,
  subnets: OBJECTS,
  address_groups: OBJECTS,
  security_groups: OBJECTS,
  ports: OBJECTS,
  gone: z.object({ networks: IDS, subnets: IDS, address_groups: IDS, security_groups: IDS, ports: IDS }).optional(),
});
export type FeedLine = z.infer<typeof LINE>;

/** @throws Error with one line for what is no line of a feed. */
export function parseFeedLine(text: string): FeedLine {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error('a line that is not JSON');
  }
  const flaw = flawOfJson(text);
  if (flaw !== undefined) throw new Error(`a line that ${flaw.message}`);
  const line = LINE.safeParse(content);
  if (line.success) return line.data;
  const [issue] = line.error.issues;
  throw new Error(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a line of a feed'}`);
}

export type FeedEvent =
  | {
      readonly kind: 'topology';
      readonly topology: Topology;
      readonly problems: readonly Problem[];
      readonly doubt: string | undefined;
    }
  | { readonly kind: 'changes'; readonly changes: TopologyChanges; readonly problems: readonly Problem[] };

export class TopologyFeed {
  /** What was told, as it was told. */
  #told: Readonly<Record<Collection, Map<string, Fields>>> = emptyCollections();
  /** Ports as they were read, by the device that they have on a host: more than one is nobody's. */
  readonly #devices = new Map<string, Map<string, Port>>();
  readonly #ports = new Map<string, Port>();
  /** Of the last line; undefined before the first. */
  #revision: number | undefined;
  #store: string | undefined;
  /** The same, of the last line that nothing spoke against. */
  #good: { readonly revision: number; readonly store: string | undefined } | undefined;
  #isDoubtful = false;

  /** @param name of the source, for problems. */
  constructor(private readonly name: string) {}

  /** @throws Error with one line for changes of what was not told: a feed begins with everything. */
  take(line: FeedLine): FeedEvent {
    if (line.reset === true) return this.#reset(line);
    if (this.#revision === undefined) throw new Error('the feed does not begin with everything');
    if (line.revision < this.#revision) {
      throw new Error(
        `revision ${line.revision.toString()} comes after ${this.#revision.toString()}: revisions only grow`,
      );
    }
    this.#revision = line.revision;
    if (!this.#isDoubtful) this.accept();
    return this.#change(line);
  }

  /** What was told last is meant, whatever speaks against it. */
  accept(): void {
    this.#isDoubtful = false;
    if (this.#revision !== undefined) this.#good = { revision: this.#revision, store: this.#store };
  }

  /** What speaks against a whole that comes after another; undefined for nothing. */
  #doubtOf({ revision, store }: FeedLine): string | undefined {
    if (this.#good === undefined) return undefined;
    const { store: known, revision: before } = this.#good;
    if (known !== undefined && store !== undefined && known !== store) {
      return `it is told from another store (${quoteValue(store)}, before ${quoteValue(known)})`;
    }
    return revision < before
      ? `its revision ${revision.toString()} is older than ${before.toString()}, which was told before`
      : undefined;
  }

  #reset(line: FeedLine): FeedEvent {
    const doubt = this.#doubtOf(line);
    this.#revision = line.revision;
    this.#store = line.store ?? this.#store;
    this.#isDoubtful = doubt !== undefined;
    if (doubt === undefined) this.accept();
    this.#told = emptyCollections();
    for (const collection of COLLECTIONS) {
      for (const fields of line[collection] ?? []) this.#told[collection].set(fields.id, fields);
    }
    const content = Object.fromEntries(COLLECTIONS.map((name) => [name, line[name] ?? []]));
    const { topology, problems } = parseTopology([{ file: this.name, content }]);
    this.#ports.clear();
    this.#devices.clear();
    for (const port of topology.ports.values()) this.#place(port.id, port);
    return { kind: 'topology', topology, problems, doubt };
  }

  #change(line: FeedLine): FeedEvent {
    for (const collection of COLLECTIONS) {
      for (const id of line.gone?.[collection] ?? []) this.#told[collection].delete(id);
      for (const fields of line[collection] ?? []) this.#told[collection].set(fields.id, fields);
    }
    const { topology, problems } = parseTopology([{ file: this.name, content: this.#document(line) }]);
    const named = <T>(
      collection: 'ports' | 'security_groups' | 'address_groups',
      parsed: ReadonlyMap<string, T>,
    ): Map<string, T | undefined> =>
      new Map([
        ...(line.gone?.[collection] ?? []).map((id): [string, undefined] => [id, undefined]),
        ...(line[collection] ?? []).map(({ id }): [string, T | undefined] => [id, parsed.get(id)]),
      ]);
    const ports = new Map<string, Port | undefined>();
    for (const [id, port] of named<Port>('ports', topology.ports)) {
      for (const [other, changed] of this.#place(id, port)) ports.set(other, changed);
    }
    const changes = {
      ports,
      securityGroups: named<SecurityGroup>('security_groups', topology.securityGroups),
      addressGroups: named<AddressGroup>('address_groups', topology.addressGroups),
    };
    return { kind: 'changes', changes, problems };
  }

  /** What changed, and of what it refers to as much as the parser asks. */
  #document(line: FeedLine): Fields {
    const { ports = [], security_groups: groups = [], address_groups: addressGroups = [] } = line;
    const rules = groups.flatMap((group) => objectsIn(group['security_group_rules']));
    const stubs = (
      collection: Collection,
      ids: Iterable<unknown>,
      told: readonly { readonly id: string }[],
    ): Fields[] => {
      const isTold = new Set(told.map(({ id }) => id));
      return [...new Set(ids)].flatMap((id) => {
        const known = typeof id === 'string' && !isTold.has(id) ? this.#told[collection].get(id) : undefined;
        return known === undefined ? [] : [known];
      });
    };
    const groupIds = [
      ...ports.flatMap((port) => listIn(port['security_groups'])),
      ...rules.map((rule) => rule['remote_group_id']),
    ];
    return {
      networks: stubs(
        'networks',
        ports.map((port) => port['network_id']),
        [],
      ),
      security_groups: [
        ...groups,
        ...stubs('security_groups', groupIds, groups).map((group) => ({ ...group, security_group_rules: [] })),
      ],
      address_groups: [
        ...addressGroups,
        ...stubs(
          'address_groups',
          rules.map((rule) => rule['remote_address_group_id']),
          addressGroups,
        ).map((group) => ({
          ...group,
          addresses: [],
        })),
      ],
      ports,
    };
  }

  /** @returns what that changes: a device that two ports have belongs to none of them. */
  #place(id: string, port: Port | undefined): ReadonlyMap<string, Port | undefined> {
    const changes = new Map<string, Port | undefined>([[id, port]]);
    const before = this.#ports.get(id);
    if (before !== undefined) {
      const left = this.#devices.get(placeOf(before));
      left?.delete(id);
      if (left?.size === 1) for (const [other, alone] of left) changes.set(other, alone);
      if (left?.size === 0) this.#devices.delete(placeOf(before));
      this.#ports.delete(id);
    }
    if (port === undefined) return changes;
    this.#ports.set(id, port);
    const sharers = this.#devices.get(placeOf(port)) ?? new Map<string, Port>();
    this.#devices.set(placeOf(port), sharers.set(id, port));
    if (sharers.size > 1) for (const other of sharers.keys()) changes.set(other, undefined);
    return changes;
  }
}

function emptyCollections(): Readonly<Record<Collection, Map<string, Fields>>> {
  return {
    networks: new Map(),
    subnets: new Map(),
    address_groups: new Map(),
    security_groups: new Map(),
    ports: new Map(),
  };
}

function placeOf({ device, host }: Port): string {
  return `${device} ${host ?? ''}`;
}

function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

function objectsIn(value: unknown): readonly Fields[] {
  return listIn(value).filter((entry): entry is Fields => typeof entry === 'object' && entry !== null);
}
