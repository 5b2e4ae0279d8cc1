/** What a host needs of a Neutron, as far as it was read, and how new each part is. Pure state. */
import type { NeutronObject } from '../../openstack/neutron.js';
import type { FeedLine } from '../feed/feed.js';
import { HostView } from '../feed/host-view.js';
import { scopeOf, type Scope } from '../feed/scopes.js';
import type { Dirty, Hint } from './hints.js';
import * as texts from './texts.js';

const NOTHING: texts.Entries = new Map();

export class NeutronView {
  readonly #view: HostView;
  readonly #own: Scope;
  /** Revisions of ports by id, in each scope that has ports: the host's own and each group of members. */
  readonly #ports = new Map<Scope, Map<string, number>>();
  /** The same of groups whose rules are known. */
  readonly #groups = new Map<string, number>();
  /** The group of each known rule: who hears that a rule is gone is told no more than its id. */
  readonly #groupOfRule = new Map<string, string>();
  /** Of each own port, its network. */
  readonly #networkOfOwn = new Map<string, string>();
  readonly #networks = new Set<string>();

  constructor(private readonly host: string) {
    this.#view = new HostView(host);
    this.#own = scopeOf.host(host);
  }

  get isChanged(): boolean {
    return this.#view.isChanged;
  }

  /** What concerns the host, as far as what is known tells, and is not known. */
  missing(): readonly Scope[] {
    return [...this.#view.needed()].filter((scope) => !this.#view.has(scope));
  }

  /** Forgets what concerns the host no more. */
  forget(): void {
    const needed = this.#view.needed();
    for (const scope of [...this.#view.known].filter((one) => !needed.has(one))) {
      this.#view.drop(scope);
      this.#ports.delete(scope);
      for (const id of texts.idsOf([scope], 'group')) this.#groups.delete(id);
      for (const id of texts.idsOf([scope], 'network')) this.#networks.delete(id);
    }
  }

  /** The host's own ports, each with its network. */
  get ownPorts(): ReadonlyMap<string, string> {
    return this.#networkOfOwn;
  }

  hasNetwork(id: string): boolean {
    return this.#networks.has(id);
  }

  /** Of members: ids of the groups, and of each the revisions of its ports by id. */
  get members(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return new Map(
      texts
        .idsOf(this.#ports.keys(), 'members')
        .map((id) => [id, this.#ports.get(scopeOf.members(id)) ?? new Map<string, number>()]),
    );
  }

  /** Revisions of the host's own ports, by id. */
  get ownRevisions(): ReadonlyMap<string, number> {
    return this.#ports.get(this.#own) ?? new Map<string, number>();
  }

  get groupRevisions(): ReadonlyMap<string, number> {
    return this.#groups;
  }

  idsOf(kind: 'network' | 'group' | 'members' | 'addressGroup'): readonly string[] {
    return texts.idsOf(this.#view.known, kind);
  }

  loadOwn(ports: readonly NeutronObject[]): void {
    this.#view.load(this.#own, NOTHING);
    this.#ports.set(this.#own, new Map());
    for (const port of ports) this.#takeOwn(port.id, port);
  }

  /** @param ids of what was asked for: what is not among the answers is not there. */
  loadNetworks(ids: readonly string[], networks: readonly NeutronObject[], subnets: readonly NeutronObject[]): void {
    const byId = indexed(networks);
    for (const id of ids) {
      const network = byId.get(id);
      if (network === undefined) this.#networks.delete(id);
      else this.#networks.add(id);
      this.#view.load(scopeOf.network(id), network === undefined ? NOTHING : texts.networkEntries(network, subnets));
    }
  }

  loadGroups(ids: readonly string[], groups: readonly NeutronObject[]): void {
    const byId = indexed(groups);
    for (const id of ids) {
      const found = byId.get(id);
      const entries = found === undefined ? NOTHING : texts.groupEntries(found);
      this.#view.load(scopeOf.group(id), entries);
      this.#groups.set(id, found === undefined ? 0 : texts.revisionOf(found));
      for (const [rule, group] of this.#groupOfRule) if (group === id) this.#groupOfRule.delete(rule);
      for (const name of entries.keys()) {
        if (name.startsWith('rule/')) this.#groupOfRule.set(name.slice('rule/'.length), id);
      }
    }
  }

  /** @param ports each that has one of the groups. */
  loadMembers(ids: readonly string[], names: readonly NeutronObject[], ports: readonly NeutronObject[]): void {
    for (const id of ids) {
      const scope = scopeOf.members(id);
      if (!this.#view.has(scope)) this.#view.load(scope, NOTHING);
      if (!this.#ports.has(scope)) this.#ports.set(scope, new Map());
    }
    this.nameGroups(ids, names);
    for (const port of ports) this.#takeMember(port.id, port);
  }

  /** Names of groups that rules name. */
  nameGroups(ids: readonly string[], groups: readonly NeutronObject[]): void {
    const byId = indexed(groups);
    for (const id of ids) {
      const group = byId.get(id);
      this.#view.change(scopeOf.members(id), 'group', group === undefined ? undefined : texts.groupNameText(group));
    }
  }

  loadAddressGroups(ids: readonly string[], groups: readonly NeutronObject[]): void {
    const byId = indexed(groups);
    for (const id of ids) {
      const group = byId.get(id);
      this.#view.load(scopeOf.addressGroup(id), group === undefined ? NOTHING : texts.addressGroupEntries(group));
    }
  }

  /** @param port as it is now; undefined for one that is not there. @param isOwn whether this host has a binding of it. */
  takePort(id: string, port: NeutronObject | undefined, isOwn: boolean): void {
    this.#takeOwn(id, isOwn ? port : undefined);
    this.#takeMember(id, port);
  }

  #takeOwn(id: string, port: NeutronObject | undefined): void {
    const text = port === undefined ? undefined : texts.ownPortText(port, this.host);
    this.#view.change(this.#own, `port/${id}`, text);
    const revisions = this.#ports.get(this.#own);
    if (port === undefined) {
      revisions?.delete(id);
      this.#networkOfOwn.delete(id);
    } else {
      revisions?.set(id, texts.revisionOf(port));
      this.#networkOfOwn.set(id, String(port['network_id']));
    }
  }

  #takeMember(id: string, port: NeutronObject | undefined): void {
    const groups = new Set(port === undefined ? [] : texts.groupsOf(port));
    for (const group of texts.idsOf(this.#ports.keys(), 'members')) {
      const scope = scopeOf.members(group);
      const isMember = port !== undefined && groups.has(group);
      this.#view.change(scope, `port/${id}`, isMember ? texts.memberText(port) : undefined);
      if (isMember) this.#ports.get(scope)?.set(id, texts.revisionOf(port));
      else this.#ports.get(scope)?.delete(id);
    }
  }

  /** Marks what a hint is about, if that concerns the host and is not known already. */
  note(hint: Hint, dirty: Dirty): void {
    switch (hint.kind) {
      case 'port': {
        const known = [...this.#ports.values()].flatMap((revisions) => revisions.get(hint.id) ?? []);
        // As a member it may have been read after it came here, and the host's own ports before: then nothing of it is older.
        const scopes = [
          ...(hint.hosts.includes(this.host) ? [this.#own] : []),
          ...hint.groups.map((id) => scopeOf.members(id)),
        ];
        const isMissing = scopes.some((scope) => this.#ports.get(scope)?.has(hint.id) === false);
        if (isMissing || isOlder(known, hint.revision)) dirty.ports.add(hint.id);
        return;
      }
      case 'group': {
        const known = this.#groups.get(hint.id);
        const isNamed = this.#view.has(scopeOf.members(hint.id));
        if (known === undefined ? isNamed : isOlder([known], hint.revision)) dirty.groups.add(hint.id);
        return;
      }
      case 'rule': {
        const group = hint.group ?? this.#groupOfRule.get(hint.id);
        if (group !== undefined && this.#groups.has(group)) dirty.groups.add(group);
        return;
      }
      case 'address group':
        if (this.#view.has(scopeOf.addressGroup(hint.id))) dirty.addressGroups.add(hint.id);
        return;
    }
  }

  /** As {@link HostView.allPorts}. */
  allPorts(): ReturnType<HostView['allPorts']> {
    return this.#view.allPorts();
  }

  /** As {@link HostView.line}. */
  line(revision: number, isWhole: boolean): FeedLine {
    return this.#view.line(revision, isWhole);
  }
}

/** Whether any of what is known is older than what is spoken of, as far as that is said. */
function isOlder(known: readonly number[], revision: number | undefined): boolean {
  return known.some((one) => revision === undefined || one < revision);
}

function indexed(objects: readonly NeutronObject[]): ReadonlyMap<string, NeutronObject> {
  return new Map(objects.map((object) => [object.id, object]));
}
