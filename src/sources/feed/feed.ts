/**
 * A topology that is told in parts: lines in Neutron's shapes, each with what changed. What a line costs is what it changes.
 *
 * An object is read by the same parser as a whole topology, in a small document with what it refers to.
 */
import { z } from 'zod';
import { flawOfJson } from '../../../compiler/model/json-text.js';
import {
  applyTo,
  deviceKey,
  devicePlaces,
  diffTopologies,
  EMPTY_TOPOLOGY,
  objectKey,
  parseTopology,
  quoteValue,
  SharedValues,
  type AddressGroup,
  type Isolation,
  type ObjectKind,
  type ParsedTopology,
  type Port,
  type SecurityGroup,
  type Topology,
} from '../../../compiler/model/index.js';
import type { SourceEvent } from '../../../compiler/model/index.js';
import { ObjectTexts } from './object-texts.js';
import { PortsRead } from './ports-read.js';

export const COLLECTIONS = ['networks', 'subnets', 'address_groups', 'security_groups', 'ports'] as const;
export type Collection = (typeof COLLECTIONS)[number];

type Fields = Readonly<Record<string, unknown>>;

const OBJECTS = z.array(z.looseObject({ id: z.string() })).optional();
const IDS = z.array(z.string()).optional();

/**
 * Of feeds; told in each line that is a whole. An object with a field that a reader does not know is a bad one to it. So whoever adds
 * one, or gives one another meaning, raises this: then a reader of before keeps what it has, and says who is to be upgraded.
 */
export const FEED_VERSION = 1;

/** Why something of a later version is not read; one line. */
export function newer(what: string, found: number, known: number): string {
  return `${what} is of a newer version (${found.toString()}; this agent reads up to ${known.toString()}): upgrade the agent`;
}

/** One line of a feed: `reset` says that this is everything, else it is what came, what changed and what is gone. */
const LINE = z.object({
  version: z.int().positive().optional(),
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
  if (line.success) {
    const { version = 1 } = line.data;
    if (version > FEED_VERSION) throw new Error(newer('the feed', version, FEED_VERSION));
    return line.data;
  }
  const [issue] = line.error.issues;
  throw new Error(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a line of a feed'}`);
}

export type FeedEvent = Exclude<SourceEvent, { kind: 'stale' }>;

export class TopologyFeed {
  /** What was told, as it was told, but for ports. */
  #told: Readonly<Record<Collection, Map<string, Fields>>> = emptyCollections();
  /** The same of ports, where nobody else keeps them; who does. */
  #toldPorts = new ObjectTexts();
  #allPorts: (() => readonly Fields[]) | undefined;
  /** The same as it was read, with what stands in for bad objects. */
  readonly #ports = new PortsRead();
  readonly #shared = new SharedValues();
  readonly #securityGroups = new Map<string, SecurityGroup>();
  readonly #addressGroups = new Map<string, AddressGroup>();
  /** Of the last time that everything was read. */
  #networks: Topology['networks'] = new Map();
  #subnets: Topology['subnets'] = new Map();
  /** Of the bad objects that there are. */
  #isolations: readonly Isolation[] = [];
  /** What their fates hang on; a line that touches any of it has everything read again. */
  #hangsOn: ReadonlySet<string> = new Set();
  /** Of the last line; undefined before the first. */
  #revision: number | undefined;
  #store: string | undefined;
  /** The same, of the last line that nothing spoke against. */
  #good: { readonly revision: number; readonly store: string | undefined } | undefined;
  #isDoubtful = false;

  /** @param name of the source, for problems. */
  constructor(private readonly name: string) {}

  /**
   * @param inForce bad objects keep their versions of it.
   * @param allPorts every port with this line, from who tells them and keeps them; they are kept here where nobody does.
   * @throws Error with one line for changes of what was not told: a feed begins with everything.
   */
  take(line: FeedLine, inForce: Topology, allPorts?: () => readonly Fields[]): FeedEvent {
    this.#allPorts = allPorts;
    if (line.reset === true) return this.#reset(line, inForce);
    if (this.#revision === undefined) throw new Error('the feed does not begin with everything');
    if (line.revision < this.#revision) {
      throw new Error(
        `revision ${line.revision.toString()} comes after ${this.#revision.toString()}: revisions only grow`,
      );
    }
    this.#revision = line.revision;
    if (!this.#isDoubtful) this.accept();
    return this.#change(line, inForce);
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

  #reset(line: FeedLine, inForce: Topology): FeedEvent {
    const doubt = this.#doubtOf(line);
    this.#revision = line.revision;
    this.#store = line.store ?? this.#store;
    this.#isDoubtful = doubt !== undefined;
    if (doubt === undefined) this.accept();
    this.#told = emptyCollections();
    this.#toldPorts = new ObjectTexts();
    this.#keep(line);
    const content = Object.fromEntries(COLLECTIONS.map((name) => [name, line[name] ?? []]));
    const { topology, problems, isolations } = this.#readAll(content, inForce);
    return { kind: 'topology', topology, problems, isolations, doubt, revision: line.revision };
  }

  #change(line: FeedLine, inForce: Topology): FeedEvent {
    this.#keep(line);
    const short = this.#touchesBadObjects(line) ? undefined : this.#changeAlone(line);
    if (short !== undefined) return short;
    const before: Topology = {
      ...EMPTY_TOPOLOGY,
      ports: new Map(this.#ports.all()),
      securityGroups: new Map(this.#securityGroups),
      addressGroups: new Map(this.#addressGroups),
    };
    const told = Object.fromEntries(COLLECTIONS.map((name) => [name, [...this.#told[name].values()]]));
    const content = { ...told, ports: this.#allPorts?.() ?? [...this.#toldPorts.all()] };
    const { topology, problems, isolations } = this.#readAll(content, inForce);
    return {
      kind: 'changes',
      changes: diffTopologies(before, topology),
      problems,
      isolations,
      revision: line.revision,
    };
  }

  #keep(line: FeedLine): void {
    for (const collection of COLLECTIONS) {
      if (collection === 'ports') continue;
      for (const id of line.gone?.[collection] ?? []) this.#told[collection].delete(id);
      for (const fields of line[collection] ?? []) this.#told[collection].set(fields.id, fields);
    }
    if (this.#allPorts !== undefined) return;
    for (const id of line.gone?.ports ?? []) this.#toldPorts.delete(id);
    for (const port of line.ports ?? []) this.#toldPorts.set(port.id, JSON.stringify(port));
  }

  #readAll(content: Fields, inForce: Topology): ParsedTopology {
    // Changes do not tell of networks: what is in force of them is what was read here.
    const lastGood =
      this.#networks.size === 0 ? inForce : { ...inForce, networks: this.#networks, subnets: this.#subnets };
    const parsed = parseTopology([{ file: this.name, content }], { lastGood, shared: this.#shared });
    const { topology, isolations } = parsed;
    for (const known of [this.#ports, this.#securityGroups, this.#addressGroups]) known.clear();
    for (const [id, port] of topology.ports) this.#ports.put(id, port);
    for (const [id, group] of topology.securityGroups) this.#securityGroups.set(id, group);
    for (const [id, group] of topology.addressGroups) this.#addressGroups.set(id, group);
    this.#networks = topology.networks;
    this.#subnets = topology.subnets;
    this.#isolations = isolations;
    this.#hangsOn = new Set(isolations.flatMap(({ hangsOn }) => hangsOn));
    return parsed;
  }

  /** Whether a line may change what is in force of bad objects, or be read otherwise because of them. */
  #touchesBadObjects({ gone, ...line }: FeedLine): boolean {
    if (this.#isolations.length === 0) return false;
    const { ports = [], security_groups: groups = [], address_groups: addressGroups = [] } = line;
    const networks = [...(line.networks ?? []), ...(line.subnets ?? [])];
    const goneBeside = [gone?.networks, gone?.subnets, gone?.security_groups, gone?.address_groups].flatMap(
      (ids) => ids ?? [],
    );
    if (networks.length + goneBeside.length > 0) return true;
    // What has no valid id may be anything.
    if (this.#isolations.some(({ hangsOn }) => hangsOn.length === 0)) return true;
    const rules = groups.flatMap((group) => objectsIn(group['security_group_rules']));
    const portIds = [...ports.map(({ id }) => id), ...(gone?.ports ?? [])];
    const devices = portIds.flatMap((id) => {
      const before = this.#ports.get(id);
      return before === undefined ? [] : devicePlaces(before).map((place) => deviceKey(place));
    });
    const named: readonly (readonly [ObjectKind, readonly unknown[]])[] = [
      ['port', portIds],
      ['network', ports.map((port) => port['network_id'])],
      [
        'security group',
        [
          ...groups.map(({ id }) => id),
          ...ports.flatMap((port) => listIn(port['security_groups'])),
          ...rules.map((rule) => rule['remote_group_id']),
        ],
      ],
      [
        'address group',
        [...addressGroups.map(({ id }) => id), ...rules.map((rule) => rule['remote_address_group_id'])],
      ],
    ];
    const keys = named.flatMap(([kind, ids]) => ids.map((id) => objectKey(kind, String(id))));
    return [...keys, ...devices].some((key) => this.#hangsOn.has(key));
  }

  /** What a line changes where all of it is good; undefined where it is not. */
  #changeAlone(line: FeedLine): FeedEvent | undefined {
    const { topology, problems, isolations } = parseTopology([{ file: this.name, content: this.#document(line) }], {
      shared: this.#shared,
    });
    const isContested = [...topology.ports.values()].some((port) =>
      devicePlaces(port).some(
        (place) =>
          this.#hangsOn.has(deviceKey(place)) ||
          this.#ports.ownersOf(place).some((owner) => owner !== port.id && line.gone?.ports?.includes(owner) !== true),
      ),
    );
    if (isolations.length > 0 || isContested) return undefined;
    const named = <T>(
      collection: 'ports' | 'security_groups' | 'address_groups',
      parsed: ReadonlyMap<string, T>,
    ): Map<string, T | undefined> =>
      new Map([
        ...(line.gone?.[collection] ?? []).map((id): [string, undefined] => [id, undefined]),
        ...(line[collection] ?? []).map(({ id }): [string, T | undefined] => [id, parsed.get(id)]),
      ]);
    const changes = {
      ports: named<Port>('ports', topology.ports),
      securityGroups: named<SecurityGroup>('security_groups', topology.securityGroups),
      addressGroups: named<AddressGroup>('address_groups', topology.addressGroups),
    };
    for (const [id, port] of changes.ports) this.#ports.put(id, port);
    applyTo(this.#securityGroups, changes.securityGroups);
    applyTo(this.#addressGroups, changes.addressGroups);
    return { kind: 'changes', changes, problems, isolations: this.#isolations, revision: line.revision };
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

function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

function objectsIn(value: unknown): readonly Fields[] {
  return listIn(value).filter((entry): entry is Fields => typeof entry === 'object' && entry !== null);
}
