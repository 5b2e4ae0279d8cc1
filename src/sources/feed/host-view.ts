/** What a host knows of a policy: the scopes that concern it, and what changed in them as a line of a feed. Pure state. */
import { COLLECTIONS, type Collection, type FeedLine } from './feed.js';
import { ObjectTexts } from './object-texts.js';
import { readObject, scopeOf, type Scope } from './scopes.js';

type Fields = Readonly<Record<string, unknown>>;
/** By the name in the scope. */
type Entries = ReadonlyMap<string, string>;

/** What is known of a scope. */
interface Known {
  /** Texts by name, of all but ports. */
  readonly texts: Map<string, string>;
  /** The same of ports, by id: of members there are many. */
  readonly ports: ObjectTexts;
}

const PORT = 'port/';

export class HostView {
  readonly #own: Scope;
  readonly #scopes = new Map<Scope, Known>();
  /** Ids of objects that may have changed since the last line. */
  #dirty = emptyDirty();
  /** Groups whose members are watched. */
  readonly #watched = new Map<string, ObjectTexts>();
  /** How many members are in a network: it is named for no other reason. */
  readonly #membersIn = new Map<string, number>();
  /** What is needed, for as long as nothing changed on which it hangs. */
  #needed: ReadonlySet<Scope> | undefined;

  /** @param always what is needed beside what follows from its ports */
  constructor(
    host: string,
    private readonly always: readonly Scope[] = [],
  ) {
    this.#own = scopeOf.host(host);
  }

  /** Since the last line. */
  get isChanged(): boolean {
    return COLLECTIONS.some((collection) => this.#dirty[collection].size > 0);
  }

  get known(): Iterable<Scope> {
    return this.#scopes.keys();
  }

  has(scope: Scope): boolean {
    return this.#scopes.has(scope);
  }

  /** Everything that concerns the host, as far as what is known tells: its ports, their networks and groups, and what these name. */
  needed(): ReadonlySet<Scope> {
    this.#needed ??= this.#findNeeded();
    return this.#needed;
  }

  /** A scope as it is now, in place of what was known of it. */
  load(scope: Scope, entries: Entries): void {
    const before = this.#scopes.get(scope);
    if (before === undefined) this.#begin(scope);
    for (const name of namesOf(before)) if (!entries.has(name)) this.change(scope, name, undefined);
    for (const [name, text] of entries) this.change(scope, name, text);
  }

  drop(scope: Scope): void {
    for (const name of namesOf(this.#scopes.get(scope))) this.change(scope, name, undefined);
    this.#scopes.delete(scope);
    const [kind, id = ''] = scope.split('/');
    if (kind === 'members') this.#watched.delete(id);
  }

  #begin(scope: Scope): void {
    const known = { texts: new Map<string, string>(), ports: new ObjectTexts() };
    this.#scopes.set(scope, known);
    const [kind, id = ''] = scope.split('/');
    if (kind === 'members') this.#watched.set(id, known.ports);
  }

  /** @param name '' for the scope's mark, which says nothing. @param text undefined for what is gone */
  change(scope: Scope, name: string, text: string | undefined): void {
    const known = this.#scopes.get(scope);
    const before = this.#textOf(scope, name);
    if (known === undefined || name === '' || before === text) return;
    const [kind = '', id = ''] = scope.split('/');
    const [what = '', told = ''] = name.split('/');
    const part = wholeText(told);
    if (what === 'port') {
      if (kind === 'members') this.#countMember(scope + name, before, text);
      if (text === undefined) known.ports.delete(part);
      else known.ports.set(part, text);
    } else if (text === undefined) known.texts.delete(name);
    else known.texts.set(name, text);
    switch (kind) {
      case 'hosts':
        this.#dirty.ports.add(part);
        this.#needed = undefined;
        return;
      case 'networks':
        if (what === 'subnet') this.#dirty.subnets.add(part);
        else this.#dirty.networks.add(id);
        return;
      case 'groups':
        this.#dirty.security_groups.add(id);
        this.#needed = undefined;
        return;
      case 'members':
        if (what === 'port') this.#dirty.ports.add(part);
        else this.#dirty.security_groups.add(id);
        return;
      default:
        this.#dirty.address_groups.add(id);
    }
  }

  /** Every port that was told and is not gone, as it is now. @throws Error for what was not written by us */
  allPorts(): readonly Fields[] {
    const scopes = [this.#scopes.get(this.#own)?.ports, ...this.#watched.values()];
    const ids = new Set(scopes.flatMap((ports) => [...(ports?.ids() ?? [])]));
    return [...ids].map((id) => this.#port(id)).filter((port) => port !== undefined);
  }

  /** What changed since the last line; everything, after what was told before, where `isWhole`. @throws Error for what was not written by us */
  line(revision: number, isWhole: boolean, store?: string): FeedLine {
    const told: Record<string, Fields[]> = {};
    const gone: Record<string, string[]> = {};
    for (const collection of COLLECTIONS) {
      for (const id of this.#dirty[collection]) {
        const object = this.#object(collection, id);
        if (object !== undefined) (told[collection] ??= []).push(object);
        else (gone[collection] ??= []).push(id);
      }
    }
    this.#dirty = emptyDirty();
    // The feed reads the same objects again, field by field.
    if (!isWhole) return { revision, ...told, gone };
    return { revision, ...told, reset: true, ...(store === undefined ? {} : { store }) };
  }

  #findNeeded(): ReadonlySet<Scope> {
    const needed = new Set<Scope>([this.#own, ...this.always]);
    for (const port of this.#objects(this.#own, 'port/')) {
      needed.add(scopeOf.network(String(port['network_id'])));
      for (const group of listIn(port['security_groups'])) needed.add(scopeOf.group(group));
    }
    for (const scope of [...needed].filter((one) => one.startsWith('groups/'))) {
      for (const { remote_group_id: group, remote_address_group_id: addresses } of this.#objects(scope, 'rule/')) {
        if (typeof group === 'string') needed.add(scopeOf.members(group));
        if (typeof addresses === 'string') needed.add(scopeOf.addressGroup(addresses));
      }
    }
    return needed;
  }

  *#objects(scope: Scope, prefix: 'port/' | 'rule/'): Iterable<Fields> {
    for (const name of namesOf(this.#scopes.get(scope))) {
      const object = name.startsWith(prefix) ? this.#read(scope, name) : undefined;
      if (object !== undefined) yield object;
    }
  }

  #textOf(scope: Scope, name: string): string | undefined {
    const known = this.#scopes.get(scope);
    return name.startsWith(PORT) ? known?.ports.get(name.slice(PORT.length)) : known?.texts.get(name);
  }

  #read(scope: Scope, name: string): Fields | undefined {
    const text = this.#textOf(scope, name);
    return text === undefined ? undefined : readObject(scope + name, text);
  }

  /** @throws Error for what was not written by us, before anything is counted. */
  #countMember(key: string, before: string | undefined, after: string | undefined): void {
    const [was, is] = [before, after].map((text) =>
      text === undefined ? undefined : String(readObject(key, text)['network_id']),
    );
    if (was !== undefined) this.#countIn(was, -1);
    if (is !== undefined) this.#countIn(is, 1);
  }

  #countIn(network: string, by: 1 | -1): void {
    const count = (this.#membersIn.get(network) ?? 0) + by;
    if (count === 0) this.#membersIn.delete(network);
    else this.#membersIn.set(network, count);
    if (count === 0 || (count === 1 && by === 1)) this.#dirty.networks.add(network);
  }

  /** As it is now; undefined for what is gone, or concerns the host no more. */
  #object(collection: Collection, id: string): Fields | undefined {
    switch (collection) {
      case 'ports':
        return this.#port(id);
      case 'security_groups':
        return this.#group(id);
      case 'address_groups':
        return this.#addressGroup(id);
      case 'networks':
        return this.#read(scopeOf.network(id), 'network') ?? (this.#membersIn.has(id) ? { id } : undefined);
      case 'subnets':
        for (const scope of this.#scopes.keys()) {
          const subnet = scope.startsWith('networks/') ? this.#read(scope, `subnet/${id}`) : undefined;
          if (subnet !== undefined) return subnet;
        }
        return undefined;
    }
  }

  /** The host's own, else one that rules reach: of its groups those that are watched for members. */
  #port(id: string): Fields | undefined {
    const own = this.#read(this.#own, PORT + id);
    if (own !== undefined) return { ...own, id };
    const groups = [...this.#watched].flatMap(([group, ports]) => (ports.has(id) ? [group] : []));
    const [first] = groups;
    const member = first === undefined ? undefined : this.#read(scopeOf.members(first), PORT + id);
    return member === undefined ? undefined : { ...member, id, security_groups: groups.sort() };
  }

  #group(id: string): Fields | undefined {
    const group = this.#read(scopeOf.group(id), 'group');
    if (group !== undefined) {
      return { ...group, security_group_rules: [...this.#objects(scopeOf.group(id), 'rule/')].sort(byId) };
    }
    const remote = this.#read(scopeOf.members(id), 'group');
    return remote === undefined ? undefined : { ...remote, security_group_rules: [] };
  }

  #addressGroup(id: string): Fields | undefined {
    const scope = scopeOf.addressGroup(id);
    const group = this.#read(scope, 'group');
    if (group === undefined) return undefined;
    const addresses = [...(this.#scopes.get(scope)?.texts ?? [])].flatMap(([name, text]) =>
      name.startsWith('address/') ? [JSON.parse(text) as unknown] : [],
    );
    return { ...group, addresses };
  }
}

function namesOf(known: Known | undefined): readonly string[] {
  return known === undefined ? [] : [...known.texts.keys(), ...[...known.ports.ids()].map((id) => PORT + id)];
}

/** The same text, which keeps nothing alive that it was cut out of. */
function wholeText(part: string): string {
  return Buffer.from(part).toString();
}

function emptyDirty(): Readonly<Record<Collection, Set<string>>> {
  return {
    networks: new Set(),
    subnets: new Set(),
    address_groups: new Set(),
    security_groups: new Set(),
    ports: new Set(),
  };
}

function listIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

function byId(one: Fields, other: Fields): number {
  return String(one['id']) < String(other['id']) ? -1 : 1;
}
