/** Asks a Neutron for what a host needs: all of it, what a hint is about, or only whether anything differs. */
import { AnswerError } from '../../openstack/answer.js';
import type { Neutron, NeutronObject, Query } from '../../openstack/neutron.js';
import { nothingDirty, type Dirty } from './hints.js';
import * as texts from './texts.js';
import type { NeutronView } from './view.js';

/** Ids in one question: what addresses of 8 kB have room for. */
const MOST_IDS = 50;
const REVISIONS = ['id', 'revision_number'];
/** What a Neutron may still commit that it stamped before: changes are asked from so much earlier. */
const OVERLAP_MS = 30_000;

export class Reader {
  /** False for a Neutron that does not know `changed_since`. */
  #knowsTimes = true;

  constructor(
    private readonly neutron: Neutron,
    private readonly host: string,
  ) {}

  /** Reads what concerns the host by now and is not known, and forgets what does not. */
  async complete(view: NeutronView, signal: AbortSignal): Promise<void> {
    for (let missing = view.missing(); missing.length > 0; missing = view.missing()) {
      if (missing.some((scope) => scope.startsWith('hosts/'))) {
        const own = await this.#list('ports', { 'binding:host_id': this.host, fields: texts.PORT_FIELDS }, signal);
        texts.checkHosts(own);
        view.loadOwn(own);
        continue;
      }
      await this.#readNetworks(view, texts.idsOf(missing, 'network'), signal);
      await this.#readGroups(view, texts.idsOf(missing, 'group'), signal);
      await this.#readMembers(view, texts.idsOf(missing, 'members'), signal);
      await this.#readAddressGroups(view, texts.idsOf(missing, 'addressGroup'), signal);
    }
    view.forget();
  }

  /** @returns the ports that are not there. */
  async reread(view: NeutronView, dirty: Dirty, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const absent = new Set<string>();
    for (const ids of chunks([...dirty.ports])) {
      const ports = await this.#list('ports', { id: ids, fields: texts.PORT_FIELDS }, signal);
      await this.#checkHosts(ports, signal);
      const found = new Map(ports.map((port) => [port.id, port]));
      const bound = await this.#list('ports', { id: ids, 'binding:host_id': this.host, fields: 'id' }, signal);
      const here = new Set(bound.map(({ id }) => id));
      for (const id of ids) {
        const port = found.get(id);
        if (port === undefined) absent.add(id);
        view.takePort(id, port, port !== undefined && (here.has(id) || texts.hostOf(port) === this.host));
      }
    }
    const named = new Set(view.idsOf('members'));
    await this.#readGroups(
      view,
      [...dirty.groups].filter((id) => view.groupRevisions.has(id)),
      signal,
    );
    await this.#nameGroups(
      view,
      [...dirty.groups].filter((id) => named.has(id)),
      signal,
    );
    await this.#readAddressGroups(view, [...dirty.addressGroups], signal);
    return absent;
  }

  /**
   * Compares everything, by ids and revisions.
   * @returns what differs; what has no revisions is read.
   */
  async compare(view: NeutronView, signal: AbortSignal): Promise<Dirty> {
    const dirty = nothingDirty();
    const own = await this.#list('ports', { 'binding:host_id': this.host, fields: REVISIONS }, signal);
    differing(view.ownRevisions, own, dirty.ports);
    const { members: known } = view;
    for (const ids of chunks([...known.keys()])) {
      const fields = [...REVISIONS, 'security_groups'];
      const ports = await this.#list('ports', { security_groups: ids, fields }, signal);
      for (const id of ids) {
        const members = ports.filter((port) => texts.groupsOf(port).includes(id));
        differing(known.get(id) ?? new Map<string, number>(), members, dirty.ports);
      }
    }
    for (const ids of chunks(view.idsOf('group'))) {
      const revisions = new Map(ids.map((id) => [id, view.groupRevisions.get(id) ?? 0]));
      differing(revisions, await this.#list('security-groups', { id: ids, fields: REVISIONS }, signal), dirty.groups);
    }
    await this.#readNetworks(view, view.idsOf('network'), signal);
    for (const id of view.idsOf('addressGroup')) dirty.addressGroups.add(id);
    return dirty;
  }

  /**
   * What changed in the whole cloud since a time, as far as it concerns the host. What is gone is not told.
   * @returns undefined where the Neutron cannot tell.
   */
  async changedSince(view: NeutronView, time: number, signal: AbortSignal): Promise<Dirty | undefined> {
    if (!this.#knowsTimes) return undefined;
    const since = { changed_since: `${new Date(time - OVERLAP_MS).toISOString().slice(0, 19)}Z` };
    const dirty = nothingDirty();
    try {
      const here = await this.#list('ports', { ...since, 'binding:host_id': this.host, fields: REVISIONS }, signal);
      const hosts = new Map(here.map(({ id }) => [id, [this.host]]));
      const fields = [...REVISIONS, 'security_groups'];
      for (const port of await this.#list('ports', { ...since, fields }, signal)) {
        const { id } = port;
        const revision = texts.revisionOf(port);
        view.note({ kind: 'port', id, revision, hosts: hosts.get(id) ?? [], groups: texts.groupsOf(port) }, dirty);
      }
      for (const group of await this.#list('security-groups', { ...since, fields: REVISIONS }, signal)) {
        view.note({ kind: 'group', id: group.id, revision: texts.revisionOf(group) }, dirty);
      }
    } catch (error) {
      // It is an extension (standard-attr-timestamp), and a filter that a Neutron does not know is an error to it.
      if (!(error instanceof AnswerError) || error.status !== 400) throw error;
      this.#knowsTimes = false;
      return undefined;
    }
    for (const id of view.idsOf('addressGroup')) dirty.addressGroups.add(id);
    return dirty;
  }

  /** Whether it is these ports that have no host, or the user who is shown none, is told by those of this host. @throws Error for the user */
  async #checkHosts(ports: readonly NeutronObject[], signal: AbortSignal): Promise<void> {
    if (texts.haveHosts(ports)) return;
    const query = { 'binding:host_id': this.host, fields: ['id', 'binding:host_id'] };
    const own = await this.#list('ports', query, signal);
    texts.checkHosts(own.length === 0 ? ports : own);
  }

  async #readNetworks(view: NeutronView, all: readonly string[], signal: AbortSignal): Promise<void> {
    for (const ids of chunks(all)) {
      const networks = await this.#list('networks', { id: ids, fields: texts.NETWORK_FIELDS }, signal);
      const subnets = await this.#list('subnets', { network_id: ids, fields: texts.SUBNET_FIELDS }, signal);
      view.loadNetworks(ids, networks, subnets);
    }
  }

  async #readGroups(view: NeutronView, all: readonly string[], signal: AbortSignal): Promise<void> {
    for (const ids of chunks(all)) {
      view.loadGroups(ids, await this.#list('security-groups', { id: ids, fields: texts.GROUP_FIELDS }, signal));
    }
  }

  async #readMembers(view: NeutronView, all: readonly string[], signal: AbortSignal): Promise<void> {
    for (const ids of chunks(all)) {
      const names = await this.#list('security-groups', { id: ids, fields: texts.GROUP_NAME_FIELDS }, signal);
      view.loadMembers(
        ids,
        names,
        await this.#list('ports', { security_groups: ids, fields: texts.PORT_FIELDS }, signal),
      );
    }
  }

  async #nameGroups(view: NeutronView, all: readonly string[], signal: AbortSignal): Promise<void> {
    for (const ids of chunks(all)) {
      view.nameGroups(ids, await this.#list('security-groups', { id: ids, fields: texts.GROUP_NAME_FIELDS }, signal));
    }
  }

  async #readAddressGroups(view: NeutronView, all: readonly string[], signal: AbortSignal): Promise<void> {
    for (const ids of chunks(all)) {
      view.loadAddressGroups(
        ids,
        await this.#list('address-groups', { id: ids, fields: texts.ADDRESS_GROUP_FIELDS }, signal),
      );
    }
  }

  async #list(collection: string, query: Query, signal: AbortSignal): Promise<readonly NeutronObject[]> {
    return this.neutron.list(collection, query, signal);
  }
}

function differing(known: ReadonlyMap<string, number>, found: readonly NeutronObject[], dirty: Set<string>): void {
  const left = new Set(known.keys());
  for (const object of found) {
    left.delete(object.id);
    // A Neutron without revisions has everything read again.
    if (known.get(object.id) !== texts.revisionOf(object) || texts.revisionOf(object) === 0) dirty.add(object.id);
  }
  for (const id of left) dirty.add(id);
}

function chunks(ids: readonly string[]): readonly (readonly string[])[] {
  const count = Math.ceil(ids.length / MOST_IDS);
  return Array.from({ length: count }, (_, index) => ids.slice(index * MOST_IDS, (index + 1) * MOST_IDS));
}
