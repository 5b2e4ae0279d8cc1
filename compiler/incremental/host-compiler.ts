/**
 * Compiles changes: keeps what a host needs of a topology and, for each change, the steps that bring its tables from what
 * they were to what they must be. The work is that of the change: a port costs its elements, a member one element, a group
 * its own chains; nothing is walked that did not change.
 *
 * The result is always that of a compilation from scratch (compile.ts); a test holds both together.
 */
import {
  comparePrefixes,
  covers,
  isExact,
  type AddressGroup,
  type Direction,
  type Port,
  type Prefix,
  type SecurityGroup,
  type Topology,
  type TopologyChanges,
} from '../model/index.js';
import { compareText, hostPolicy, memberKey, type HostPolicy, type MemberSet } from '../host-policy.js';
import { ShortNames } from '../names.js';
import { elementKeyText } from '../nftables/text.js';
import type { TableChange, Transaction } from '../nftables/transaction.js';
import type { CompileOptions } from '../options.js';
import { aggregatePrefixes } from '../prefixes.js';
import { auditedChain, auditedElement } from '../ruleset/audit.js';
import { goTo, intervalSet } from '../ruleset/build.js';
import {
  compileRuleset,
  memberField,
  namedMemberSets,
  portMapName,
  portVerdict,
  tableFamilies,
  unfilteredVerdict,
  zonePart,
} from '../ruleset/compile.js';
import type { Element } from '../ruleset/change.js';
import { TABLE_NAME } from '../ruleset/closed.js';
import { groupProgram, type GroupProgram, type MemberSetNames } from '../ruleset/group-chain.js';
import { membersRole, memberSetNames } from '../ruleset/member-set-names.js';
import { ownKeys, ownSets, type OwnKeys, type OwnSet } from '../ruleset/own-sets.js';
import { profileChain, profileChainName, profileContent, profileOf } from '../ruleset/profiles.js';
import { CHAINS, SETS } from '../ruleset/skeleton.js';
import type { Chain, Ruleset, Verdict } from '../ruleset/types.js';
import { isBridged } from '../datapath.js';
import { overlapText, zoneOfPort, type ZoneAssignment } from '../zones.js';
import { ZoneTracker } from './zone-tracker.js';
import { WantedTable, type ObjectCount } from './wanted-table.js';

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

/** Ports that share a profile. */
interface ProfileState {
  ports: number;
  /** One of the ports. */
  readonly example: Port;
  chains: readonly Chain[];
}

/** A group that ports of this host have. */
interface ProgramState {
  programs: readonly GroupProgram[];
  /** Keys of the member sets that its rules name. */
  readonly members: ReadonlySet<string>;
}

/** The addresses of a remote group or address group that a group of this host names. */
interface MemberState {
  readonly of: Pick<MemberSet, 'kind' | 'id' | 'family'>;
  /** Ids of the groups that name it. */
  readonly users: Set<string>;
  /** Exact addresses and prefixes by text, and how many ports give each. */
  readonly found: Map<string, { readonly prefix: Prefix; count: number }>;
  /** Prefixes as they stand in the interval set. */
  aggregated: readonly Prefix[];
  names: MemberSetNames | undefined;
}

/** What of the policy a change may have touched, for whoever must look at live flows. */
export interface Touched {
  /** Addresses and prefixes of ports and members whose permissions may differ now. */
  readonly prefixes: readonly Prefix[];
  /** Those among them that a port of this host had, and may have no more. */
  readonly gone: readonly Prefix[];
  /** Addresses of ports of this host that were not filtered before: none of their flows can be told to be admitted. */
  readonly filtered: readonly Prefix[];
  /** True when a port of this host came, changed or went, whether or not it took a step of the transaction. */
  readonly isLocal: boolean;
}

export class HostCompiler {
  readonly #ports = new Map<string, Port>();
  /** Those of this host. */
  readonly #local = new Map<string, Port>();
  readonly #groups = new Map<string, SecurityGroup>();
  readonly #addressGroups = new Map<string, AddressGroup>();
  /** Ids of the ports that have a group, on any host. */
  readonly #portsOfGroup = new Map<string, Set<string>>();
  /** Ids of this host's filtered ports that have a group. */
  readonly #localPortsOfGroup = new Map<string, Set<string>>();
  readonly #ownSets: readonly OwnSet[];
  /** What this host's ports have added to the sets of own addresses, by id. */
  readonly #own = new Map<string, OwnKeys>();
  /** How many ports give an address that is nobody else's. */
  readonly #addressUses = new Map<string, number>();
  readonly #profiles = new Map<string, ProfileState>();
  readonly #profilesOfGroup = new Map<string, Set<string>>();
  readonly #programs = new Map<string, ProgramState>();
  readonly #members = new Map<string, MemberState>();
  /** Keys of the member sets of a group or address group. */
  readonly #membersOf = new Map<string, Set<string>>();
  readonly #groupNames = new ShortNames();
  readonly #remoteNames = new ShortNames();
  readonly #zones: ZoneTracker;
  #zoneAssignment: ZoneAssignment;
  readonly #main: WantedTable;
  /** Beside the main one: arp where the host routes, inet where ports are on bridges. */
  readonly #beside: WantedTable;
  /** What no change touches. */
  readonly #constant: readonly WantedTable[];

  // What the change in hand has touched.
  readonly #dirtyGroups = new Set<string>();
  readonly #dirtyProfiles = new Set<string>();
  readonly #dirtyMembers = new Set<string>();
  #touched: Prefix[] = [];
  #isLocalTouched = false;
  #gone: Prefix[] = [];
  #filtered: Prefix[] = [];

  /**
   * @param isLocal the ports of the host. Must give the same answer for the same port.
   */
  constructor(
    private readonly isLocal: (port: Port) => boolean,
    private readonly options: CompileOptions,
  ) {
    const { policy, beside } = tableFamilies(options.datapath);
    this.#main = new WantedTable(policy);
    this.#beside = new WantedTable(beside);
    this.#zones = new ZoneTracker(options.datapath);
    this.#ownSets = ownSets(options.datapath);
    const tables = [this.#main, this.#beside];
    for (const table of this.#fromScratch().tables) {
      const known = tables.find(({ family }) => family === table.family);
      const wanted = known ?? new WantedTable(table.family);
      if (known === undefined) tables.push(wanted);
      for (const set of table.sets.values()) wanted.addSet(set);
      for (const chain of table.chains.values()) wanted.setChain(chain);
    }
    this.#constant = tables.slice(2);
    this.#zoneAssignment = this.#zones.assign([]);
    this.take();
  }

  /** Everything that is known now. */
  get topology(): Topology {
    return {
      ports: this.#ports,
      securityGroups: this.#groups,
      addressGroups: this.#addressGroups,
      networks: new Map(),
      subnets: new Map(),
    };
  }

  /** The host's ports. */
  localPorts(): Iterable<Port> {
    return this.#local.values();
  }

  /** The connection tracking zone of a port's packets from an address. */
  zoneOf(port: Port, source: Prefix): number {
    return zoneOfPort(this.#zoneAssignment, port, this.options.datapath, source);
  }

  /** True when the host's translation of destinations stands before egress rules: they see what it made. */
  get isTranslatedBefore(): boolean {
    return this.options.datapath === 'bridge-netfilter';
  }

  /** What an operator is to know of addresses that networks of this host share. */
  overlaps(): readonly string[] {
    return this.#zoneAssignment.overlaps.map(overlapText);
  }

  /** What the host needs, as {@link hostPolicy} selects it. */
  policy(): HostPolicy {
    const ids = [...this.#programs.keys()].sort(compareText);
    const members = [...this.#members].sort(([a], [b]) => compareText(a, b));
    return {
      ports: [...this.#local.values()].sort((a, b) => compareText(a.device, b.device)),
      groups: new Map(
        ids.flatMap((id): [string, SecurityGroup][] => {
          const group = this.#groups.get(id);
          return group === undefined ? [] : [[id, group]];
        }),
      ),
      memberSets: new Map(
        members.map(([key, { of, found, aggregated }]) => [
          key,
          {
            ...of,
            // Only who asks for them pays for it.
            get addresses(): readonly Prefix[] {
              const all = [...found.values()].map(({ prefix }) => prefix);
              return all.filter(isExact).sort(comparePrefixes);
            },
            prefixes: aggregated,
          },
        ]),
      ),
      zones: this.#zoneAssignment,
    };
  }

  /** The whole ruleset, compiled from scratch. */
  ruleset(): Ruleset {
    return this.#fromScratch();
  }

  /** True when an address is in a member set that this host uses; undefined for a set that it does not use. */
  isMember(kind: MemberSet['kind'], id: string, address: Prefix): boolean | undefined {
    const state = this.#members.get(memberKey(kind, id, address.family));
    if (state === undefined) return undefined;
    return state.found.has(address.text) || state.aggregated.some((prefix) => covers(prefix, address));
  }

  /** Takes changes in. Nothing is printed until {@link take}. */
  update(changes: TopologyChanges): void {
    const before = [...changes.ports.keys()].map((id) => this.#ports.get(id));
    for (const port of before) if (port !== undefined) this.#retractPort(port);
    for (const port of before) {
      if (port === undefined || !this.isLocal(port) || !isUnfiltered(port)) continue;
      const after = changes.ports.get(port.id);
      if (after?.filtering === 'filtered') this.#filtered.push(...prefixesOf(after));
    }
    for (const [id, group] of changes.securityGroups) {
      if (group === undefined) this.#groups.delete(id);
      else this.#groups.set(id, group);
      this.#dirtyGroups.add(id);
      this.#touchGroup(id);
      this.#restate(id);
    }
    for (const [id, port] of changes.ports) {
      if (port === undefined) this.#ports.delete(id);
      else {
        this.#ports.set(id, port);
        this.#assertPort(port);
      }
    }
    for (const [id, group] of changes.addressGroups) this.#changeAddressGroup(id, group);
    this.#settle();
  }

  /** The steps since the last time, and what they touch. From now on they count as taken. */
  take(): { readonly transaction: Transaction; readonly touched: Touched } {
    const transaction = [this.#main, this.#beside].flatMap((table): TableChange[] => {
      const changes = table.take();
      if (changes.length === 0) return [];
      return [{ kind: 'update', family: table.family, name: TABLE_NAME, changes }];
    });
    const touched = {
      prefixes: this.#touched,
      gone: this.#gone,
      filtered: this.#filtered,
      isLocal: this.#isLocalTouched,
    };
    this.#isLocalTouched = false;
    this.#touched = [];
    this.#gone = [];
    this.#filtered = [];
    return { transaction, touched };
  }

  /** The chains of the groups that ports of this host have. */
  *groupChains(): Iterable<{ readonly group: SecurityGroup; readonly chain: Chain }> {
    for (const [id, { programs }] of this.#programs) {
      const group = this.#groups.get(id);
      if (group !== undefined) for (const { chain } of programs) yield { group, chain };
    }
  }

  /** How many kernel objects the policy takes. */
  count(): ObjectCount {
    const counts = [this.#main, this.#beside, ...this.#constant].map((table) => table.count());
    const sum = (of: (count: ObjectCount) => number): number => counts.reduce((total, one) => total + of(one), 0);
    return {
      sets: sum(({ sets }) => sets),
      chains: sum(({ chains }) => chains),
      elements: sum(({ elements }) => elements),
    };
  }

  #fromScratch(): Ruleset {
    return compileRuleset(hostPolicy(this.topology, this.isLocal, this.options), this.options);
  }

  // Ports

  #assertPort(port: Port): void {
    for (const id of port.securityGroupIds) addTo(this.#portsOfGroup, id, port.id);
    this.#countMemberAddresses(port, 1);
    if (!this.isLocal(port)) return;
    this.#local.set(port.id, port);
    this.#isLocalTouched = true;
    this.#touched.push(...prefixesOf(port));
    this.#zones.add(port);
    const own = this.#ownKeys(port);
    this.#own.set(port.id, own);
    this.#portElements(port, own, (table, set, element) => {
      if (this.#count(set, element, 1) === 1) table.addElement(set, element);
    });
    if (port.filtering !== 'filtered') return;
    for (const id of port.securityGroupIds) {
      if (addTo(this.#localPortsOfGroup, id, port.id) === 1) this.#dirtyGroups.add(id);
    }
    const content = profileContent(port);
    const profile = this.#profiles.get(content);
    if (profile === undefined) {
      this.#profiles.set(content, { ports: 1, example: port, chains: [] });
      for (const id of port.securityGroupIds) addTo(this.#profilesOfGroup, id, content);
      this.#dirtyProfiles.add(content);
    } else profile.ports++;
  }

  #retractPort(port: Port): void {
    for (const id of port.securityGroupIds) removeFrom(this.#portsOfGroup, id, port.id);
    this.#countMemberAddresses(port, -1);
    if (!this.isLocal(port)) return;
    this.#local.delete(port.id);
    this.#isLocalTouched = true;
    this.#touched.push(...prefixesOf(port));
    this.#gone.push(...prefixesOf(port));
    this.#zones.delete(port);
    this.#portElements(port, this.#own.get(port.id) ?? this.#ownKeys(port), (table, set, element) => {
      if (this.#count(set, element, -1) === 0) table.deleteElement(set, element);
    });
    this.#own.delete(port.id);
    if (port.filtering !== 'filtered') return;
    for (const id of port.securityGroupIds) {
      if (removeFrom(this.#localPortsOfGroup, id, port.id) === 0) this.#dirtyGroups.add(id);
    }
    const content = profileContent(port);
    const profile = this.#profiles.get(content);
    if (profile === undefined) return;
    profile.ports--;
    if (profile.ports === 0) this.#dirtyProfiles.add(content);
  }

  /** Of keys that several ports may give, how many do now; of others, whether the port does. */
  #count(set: string, element: Element, by: 1 | -1): number {
    if (set !== SETS.addresses4 && set !== SETS.addresses6) return by === 1 ? 1 : 0;
    const key = elementKeyText(['ip saddr'], element);
    const count = (this.#addressUses.get(key) ?? 0) + by;
    if (count === 0) this.#addressUses.delete(key);
    else this.#addressUses.set(key, count);
    return count;
  }

  #portElements(port: Port, own: OwnKeys, visit: (table: WantedTable, set: string, element: Element) => void): void {
    for (const direction of DIRECTIONS) {
      const name = profileName(port);
      const verdict = this.#audited(
        portVerdict(
          port,
          () => goTo(profileChainName({ name }, direction)),
          unfilteredVerdict(this.options.datapath, direction),
        ),
      );
      visit(this.#main, portMapName(direction), { key: [port.device], data: verdict });
    }
    const arp = isBridged(this.options.datapath) ? undefined : this.#beside;
    if (arp !== undefined) {
      const verdict = this.#audited(portVerdict(port, () => goTo(CHAINS.arpGuard)));
      visit(arp, portMapName('egress'), { key: [port.device], data: verdict });
    }
    if (port.filtering !== 'filtered') return;
    for (const set of this.#ownSets) {
      for (const key of set.keys(own)) {
        visit(this.#main, set.name, key);
        if (set.forArp && arp !== undefined) visit(arp, set.name, key);
      }
    }
  }

  /** What a filtered port adds to the sets of own addresses, by its groups as they are now. */
  #ownKeys(port: Port): OwnKeys {
    return ownKeys(port, profileOf(port, this.#groups).stateful);
  }

  /** Ports of a group that became stateful or stateless come to the fast path, or leave it. */
  #restate(groupId: string): void {
    for (const id of this.#localPortsOfGroup.get(groupId) ?? []) {
      const [port, before] = [this.#local.get(id), this.#own.get(id)];
      if (port === undefined || before === undefined) continue;
      const after = this.#ownKeys(port);
      if (after.isStateful === before.isStateful) continue;
      this.#own.set(id, after);
      for (const set of this.#ownSets) {
        const [old, wanted] = [set.keys(before), set.keys(after)];
        if (old.length === wanted.length) continue;
        for (const key of old) this.#main.deleteElement(set.name, key);
        for (const key of wanted) this.#main.addElement(set.name, key);
      }
    }
  }

  #touchGroup(id: string): void {
    for (const portId of this.#localPortsOfGroup.get(id) ?? []) {
      const port = this.#ports.get(portId);
      if (port !== undefined) this.#touched.push(...prefixesOf(port));
    }
  }

  // Members

  #countMemberAddresses(port: Port, by: 1 | -1): void {
    for (const id of port.securityGroupIds) {
      for (const key of this.#membersOf.get(`security-group/${id}`) ?? []) {
        const state = this.#members.get(key);
        if (state !== undefined) this.#countAddresses(key, state, memberAddresses(port, this.options), by);
      }
    }
  }

  #countAddresses(key: string, state: MemberState, prefixes: readonly Prefix[], by: 1 | -1): void {
    for (const prefix of prefixes) {
      if (prefix.family !== state.of.family) continue;
      const found = state.found.get(prefix.text);
      const count = (found?.count ?? 0) + by;
      if (count === 0) state.found.delete(prefix.text);
      else if (found === undefined) state.found.set(prefix.text, { prefix, count });
      else found.count = count;
      if (count !== (by === 1 ? 1 : 0)) continue;
      this.#touched.push(prefix);
      if (!isExact(prefix)) this.#dirtyMembers.add(key);
      else if (state.names !== undefined) {
        if (by === 1) this.#main.addElement(state.names.addresses, [prefix]);
        else this.#main.deleteElement(state.names.addresses, [prefix]);
      }
    }
  }

  #changeAddressGroup(id: string, group: AddressGroup | undefined): void {
    const before = this.#addressGroups.get(id)?.prefixes ?? [];
    if (group === undefined) this.#addressGroups.delete(id);
    else this.#addressGroups.set(id, group);
    for (const key of this.#membersOf.get(`address-group/${id}`) ?? []) {
      const state = this.#members.get(key);
      if (state === undefined) continue;
      this.#countAddresses(key, state, before, -1);
      this.#countAddresses(key, state, group?.prefixes ?? [], 1);
    }
  }

  #member(key: string, of: MemberState['of']): MemberState {
    const known = this.#members.get(key);
    if (known !== undefined) return known;
    const state: MemberState = { of, users: new Set(), found: new Map(), aggregated: [], names: undefined };
    this.#members.set(key, state);
    const owner = `${of.kind}/${of.id}`;
    addTo(this.#membersOf, owner, key);
    this.#renameRemotes(this.#remoteNames.add(of.id));
    if (of.kind === 'address-group') {
      this.#countAddresses(key, state, this.#addressGroups.get(of.id)?.prefixes ?? [], 1);
    } else {
      for (const portId of this.#portsOfGroup.get(of.id) ?? []) {
        const port = this.#ports.get(portId);
        if (port !== undefined) this.#countAddresses(key, state, memberAddresses(port, this.options), 1);
      }
    }
    this.#dirtyMembers.add(key);
    return state;
  }

  #dropMember(key: string, state: MemberState): void {
    this.#members.delete(key);
    const { kind, id } = state.of;
    removeFrom(this.#membersOf, `${kind}/${id}`, key);
    if (state.names !== undefined) this.#deleteMemberSets(state.names);
    const isNamed = this.#membersOf.has(`security-group/${id}`) || this.#membersOf.has(`address-group/${id}`);
    if (!isNamed) this.#renameRemotes(this.#remoteNames.delete(id));
  }

  #renameRemotes(ids: readonly string[]): void {
    for (const id of ids) {
      for (const owner of [`security-group/${id}`, `address-group/${id}`]) {
        for (const key of this.#membersOf.get(owner) ?? []) this.#dirtyMembers.add(key);
      }
    }
  }

  #deleteMemberSets({ addresses, prefixes }: MemberSetNames): void {
    this.#main.deleteSet(addresses);
    if (prefixes !== undefined) this.#main.deleteSet(prefixes);
  }

  #audited(verdict: Verdict): Verdict {
    return this.options.audit ? auditedElement(verdict) : verdict;
  }

  #setChain(chain: Chain, table = this.#main): void {
    table.setChain(this.options.audit ? auditedChain(chain) : chain);
  }

  // Settling

  #settle(): void {
    for (const id of this.#dirtyGroups) this.#settleGroup(id);
    for (const key of this.#dirtyMembers) this.#settleMember(key);
    this.#dirtyMembers.clear();
    // Groups that a name or a set of prefixes changed for were added meanwhile: a Set's loop comes to them, too.
    for (const id of this.#dirtyGroups) this.#compileGroup(id);
    this.#dirtyGroups.clear();
    for (const content of this.#dirtyProfiles) this.#compileProfile(content);
    this.#dirtyProfiles.clear();
    this.#settleZones();
  }

  /** Makes a group known or forgotten, and with it the member sets that its rules name. */
  #settleGroup(id: string): void {
    const group = this.#localPortsOfGroup.has(id) ? this.#groups.get(id) : undefined;
    const before = this.#programs.get(id);
    for (const content of this.#profilesOfGroup.get(id) ?? []) this.#dirtyProfiles.add(content);
    if (group === undefined) {
      if (before === undefined) return;
      this.#renameGroups(this.#groupNames.delete(id));
      this.#retractPrograms(before);
      this.#programs.delete(id);
    } else if (before === undefined) this.#renameGroups(this.#groupNames.add(id));
    const wanted = group === undefined ? new Map<string, MemberState['of']>() : namedMembers(group);
    for (const [key, of] of wanted) this.#member(key, of).users.add(id);
    for (const key of before?.members ?? []) {
      if (wanted.has(key)) continue;
      const state = this.#members.get(key);
      state?.users.delete(id);
      if (state?.users.size === 0) this.#dropMember(key, state);
    }
    if (group !== undefined) {
      this.#programs.set(id, { programs: before?.programs ?? [], members: new Set(wanted.keys()) });
    }
  }

  #renameGroups(ids: readonly string[]): void {
    for (const id of ids) this.#dirtyGroups.add(id);
  }

  #settleMember(key: string): void {
    const state = this.#members.get(key);
    if (state === undefined) return;
    const all = [...state.found.values()].map(({ prefix }) => prefix);
    const prefixes = aggregatePrefixes(all.filter((prefix) => !isExact(prefix)));
    const names = memberSetNames(state.of, this.#remoteNames.get(state.of.id), prefixes.length > 0);
    const before = state.names;
    const field = memberField(state.of);
    if (before?.addresses !== names.addresses) {
      if (before !== undefined) this.#deleteMemberSets(before);
      for (const set of namedMemberSets({ ...state.of, addresses: all.filter(isExact), prefixes }, names)) {
        this.#main.addSet(set);
      }
    } else if (before.prefixes !== names.prefixes) {
      if (before.prefixes !== undefined) this.#main.deleteSet(before.prefixes);
      if (names.prefixes !== undefined) {
        this.#main.addSet(
          intervalSet(
            names.prefixes,
            [field],
            prefixes.map((prefix) => [prefix]),
            membersRole(state.of, 'prefixes'),
          ),
        );
      }
    } else if (names.prefixes !== undefined) {
      for (const prefix of state.aggregated) this.#main.deleteElement(names.prefixes, [prefix]);
      for (const prefix of prefixes) this.#main.addElement(names.prefixes, [prefix]);
    }
    if (before?.addresses !== names.addresses || before.prefixes !== names.prefixes) {
      for (const user of state.users) this.#dirtyGroups.add(user);
    }
    state.names = names;
    state.aggregated = prefixes;
  }

  #compileGroup(id: string): void {
    const [group, state] = [this.#groups.get(id), this.#programs.get(id)];
    if (group === undefined || state === undefined) return;
    this.#retractPrograms(state);
    const memberNames = new Map<string, MemberSetNames>();
    const shortNames = new Map<string, string>();
    for (const key of state.members) {
      const member = this.#members.get(key);
      if (member?.names === undefined) continue;
      memberNames.set(key, member.names);
      shortNames.set(member.of.id, this.#remoteNames.get(member.of.id));
    }
    const context = { name: this.#groupNames.get(id), memberSetNames: memberNames, shortNames };
    state.programs = DIRECTIONS.map((direction) => groupProgram(group, direction, context));
    for (const { chain, sets } of state.programs) {
      for (const set of sets) this.#main.addSet(set);
      this.#setChain(chain);
    }
    for (const content of this.#profilesOfGroup.get(id) ?? []) this.#dirtyProfiles.add(content);
  }

  #retractPrograms({ programs }: ProgramState): void {
    for (const { chain, sets } of programs) {
      this.#main.deleteChain(chain.name);
      for (const set of sets) this.#main.deleteSet(set.name);
    }
  }

  #compileProfile(content: string): void {
    const state = this.#profiles.get(content);
    if (state === undefined) return;
    for (const chain of state.chains) this.#main.deleteChain(chain.name);
    if (state.ports === 0) {
      this.#profiles.delete(content);
      for (const id of state.example.securityGroupIds) removeFrom(this.#profilesOfGroup, id, content);
      return;
    }
    const profile = profileOf(state.example, this.#groups);
    const names = new Map(state.example.securityGroupIds.map((id) => [id, this.#groupNames.get(id)]));
    state.chains = DIRECTIONS.map((direction) => profileChain(profile, direction, names, this.options.datapath));
    for (const chain of state.chains) this.#setChain(chain);
  }

  #settleZones(): void {
    if (!this.#zones.takeDirty()) return;
    const { datapath } = this.options;
    const before = { zones: this.#zoneAssignment };
    const zones = this.#zones.assign([...this.#local.values()]);
    this.#zoneAssignment = zones;
    for (const table of [this.#main, this.#beside]) {
      const [old, wanted] = [zonePart(table.family, before, datapath), zonePart(table.family, { zones }, datapath)];
      for (const { name } of old.sets) table.deleteSet(name);
      for (const set of wanted.sets) table.addSet(set);
      for (const { name } of old.chains) table.deleteChain(name);
      for (const chain of wanted.chains) this.#setChain(chain, table);
    }
  }
}

function isUnfiltered({ filtering }: Port): boolean {
  return filtering === 'port-security-off' || filtering === 'trusted';
}

function profileName(port: Port): string {
  return port.filtering === 'filtered' ? profileOf(port, new Map()).name : '';
}

/** What a port may send from. */
function prefixesOf(port: Port): readonly Prefix[] {
  return [...port.fixedIps, ...port.allowedAddressPairs.map(({ prefix }) => prefix)];
}

function memberAddresses(port: Port, options: CompileOptions): readonly Prefix[] {
  const pairs = port.allowedAddressPairs.map(({ prefix }) => prefix);
  return distinct([
    ...port.fixedIps,
    ...pairs.filter((prefix) => prefix.length >= options.widestPairLength[prefix.family]),
  ]);
}

function distinct(prefixes: readonly Prefix[]): readonly Prefix[] {
  return [...new Map(prefixes.map((prefix) => [prefix.text, prefix])).values()];
}

function namedMembers(group: SecurityGroup): Map<string, MemberState['of']> {
  const named = new Map<string, MemberState['of']>();
  for (const { remote, family } of group.rules) {
    if (remote.kind !== 'security-group' && remote.kind !== 'address-group') continue;
    named.set(memberKey(remote.kind, remote.id, family), { kind: remote.kind, id: remote.id, family });
  }
  return named;
}

/** Returns how many there are now. */
function addTo(map: Map<string, Set<string>>, key: string, value: string): number {
  const values = map.get(key) ?? new Set();
  map.set(key, values.add(value));
  return values.size;
}

/** Returns how many are left; an empty set is not kept. */
function removeFrom(map: Map<string, Set<string>>, key: string, value: string): number {
  const values = map.get(key);
  if (values === undefined) return 0;
  values.delete(value);
  if (values.size === 0) map.delete(key);
  return values.size;
}
