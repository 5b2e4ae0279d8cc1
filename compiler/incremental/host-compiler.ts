/**
 * Compiles changes: keeps what a host needs of a topology and, for each change, the steps that bring its tables from what
 * they were to what they must be. The work is that of the change: a port costs its elements, a member one element, a group
 * its own chains; nothing is walked that did not change.
 *
 * This page is the wiring: which calculator feeds which (the picture is in docs/architecture.md, the rules in calculator.ts).
 * The result is always that of a compilation from scratch (compile.ts), which shares nothing with it; a test holds both together.
 */
import type { Port, Prefix, SecurityGroup, Topology, TopologyChanges } from '../model/index.js';
import { compareText, hostPolicy, type HostPolicy, type MemberSet } from '../host-policy.js';
import type { Transaction } from '../nftables/transaction.js';
import type { CompileOptions } from '../options.js';
import { compileRuleset } from '../ruleset/compile.js';
import type { Chain, Ruleset } from '../ruleset/types.js';
import { overlapText, zoneOfPort } from '../zones.js';
import { GraphNode } from './calculator.js';
import { GroupChains } from './group-chains.js';
import { UsedGroups } from './groups.js';
import { Known, type PortChange } from './known.js';
import { Members } from './members.js';
import { PortElements } from './ports.js';
import { Profiles } from './profiles.js';
import { HostTables } from './tables.js';
import { TouchedCollector, type Touched } from './touched.js';
import type { ObjectCount } from './wanted-table.js';
import { Zones } from './zones.js';

export class HostCompiler {
  readonly #known: Known;
  readonly #tables: HostTables;
  readonly #touched = new TouchedCollector();

  readonly #groups: UsedGroups;
  readonly #members: Members;
  readonly #groupChains: GroupChains;
  readonly #zones: Zones;
  readonly #graph;

  /**
   * @param isLocal the ports of the host. Must give the same answer for the same port.
   */
  constructor(
    private readonly isLocal: (port: Port) => boolean,
    private readonly options: CompileOptions,
  ) {
    const { datapath } = options;
    const known = new Known();
    this.#known = known;
    this.#tables = new HostTables(this.ruleset(), options);
    // Each calculator reads those before it.
    this.#groups = new UsedGroups(known);
    this.#members = new Members(known, this.#tables, this.#touched, options);
    this.#groupChains = new GroupChains(this.#groups, this.#members, this.#tables);
    this.#zones = new Zones(known, this.#tables, datapath);
    this.#graph = this.#wire(
      new PortElements(known, this.#tables, datapath),
      new Profiles(known, this.#groups, this.#tables, datapath),
    );
  }

  /** The graph, from its end: what a calculator feeds stands above it. */
  #wire(portElements: PortElements, profilesOfPorts: Profiles) {
    const nobody = (): void => undefined;
    const ports = new GraphNode(portElements, nobody);
    const zones = new GraphNode(this.#zones, nobody);
    const profiles = new GraphNode(profilesOfPorts, nobody);
    const groupChains = new GraphNode(this.#groupChains, (id) => {
      profiles.change({ kind: 'group', id });
    });
    const members = new GraphNode(this.#members, (id) => {
      groupChains.change({ kind: 'group', id });
    });
    const groups = new GraphNode(this.#groups, (id) => {
      members.change({ kind: 'group', id, group: this.#groups.get(id) });
      groupChains.change({ kind: 'group', id });
    });
    return { ports, groups, members, groupChains, profiles, zones };
  }

  /** Takes changes in. Nothing is printed until {@link take}. */
  update({ ports, securityGroups, addressGroups }: TopologyChanges): void {
    const graph = this.#graph;
    for (const [id, after] of ports) {
      const before = this.#known.ports.get(id);
      if (before === undefined) continue;
      if (this.isLocal(before)) this.#touched.portChanged(before, after);
      this.#changePort({ kind: 'port-went', port: before });
    }
    for (const [id, group] of securityGroups) {
      assign(this.#known.securityGroups, id, group);
      this.#touched.permissions(this.#known.filteredHere(id));
      graph.ports.change({ kind: 'group', id });
      graph.groups.change({ kind: 'group', id });
    }
    for (const [id, port] of ports) {
      assign(this.#known.ports, id, port);
      if (port !== undefined) this.#changePort({ kind: 'port-came', port });
    }
    for (const [id, group] of addressGroups) {
      const before = this.#known.addressGroups.get(id)?.prefixes ?? [];
      assign(this.#known.addressGroups, id, group);
      graph.members.change({ kind: 'address-group', id, before, after: group?.prefixes ?? [] });
    }
    // Who feeds another one has its turn before it.
    graph.ports.settle();
    graph.groups.settle();
    graph.members.settle();
    graph.groupChains.settle();
    graph.profiles.settle();
    graph.zones.settle();
  }

  #changePort(change: PortChange): void {
    const { ports, groups, members, profiles, zones } = this.#graph;
    const isLocal = this.isLocal(change.port);
    this.#known.changePort(change, isLocal);
    members.change(change);
    if (!isLocal) return;
    this.#touched.port(change);
    ports.change(change);
    zones.change(change);
    if (change.port.filtering !== 'filtered') return;
    groups.change(change);
    profiles.change(change);
  }

  /** The steps since the last time, and what they touch. From now on they count as taken. */
  take(): { readonly transaction: Transaction; readonly touched: Touched } {
    return { transaction: this.#tables.take(), touched: this.#touched.take() };
  }

  /** Everything that is known now. */
  get topology(): Topology {
    return this.#known.topology;
  }

  /** The host's ports. */
  localPorts(): Iterable<Port> {
    return this.#known.local.values();
  }

  /** The connection tracking zone of a port's packets from an address. */
  zoneOf(port: Port, source: Prefix): number {
    return zoneOfPort(this.#zones.assignment, port, this.options.datapath, source);
  }

  /** True when the host's translation of destinations stands before egress rules: they see what it made. */
  get isTranslatedBefore(): boolean {
    return this.options.datapath === 'bridge-netfilter';
  }

  /** What an operator is to know of addresses that networks of this host share. */
  overlaps(): readonly string[] {
    return this.#zones.assignment.overlaps.map(overlapText);
  }

  /** True when an address is in a member set that this host uses; undefined for a set that it does not use. */
  isMember(kind: MemberSet['kind'], id: string, address: Prefix): boolean | undefined {
    return this.#members.isMember(kind, id, address);
  }

  /** What the host needs, as {@link hostPolicy} selects it. */
  policy(): HostPolicy {
    return {
      ports: [...this.localPorts()].sort((a, b) => compareText(a.device, b.device)),
      groups: new Map(this.#groups.all().map((group) => [group.id, group])),
      memberSets: this.#members.all(),
      zones: this.#zones.assignment,
    };
  }

  /** The whole ruleset, compiled from scratch. */
  ruleset(): Ruleset {
    return compileRuleset(hostPolicy(this.topology, this.isLocal, this.options), this.options);
  }

  /** The chains of the groups that ports of this host have. */
  groupChains(): Iterable<{ readonly group: SecurityGroup; readonly chain: Chain }> {
    return this.#groupChains.all();
  }

  /** How many kernel objects the policy takes. */
  count(): ObjectCount {
    return this.#tables.count();
  }
}

function assign<Value>(map: Map<string, Value>, id: string, value: Value | undefined): void {
  if (value === undefined) map.delete(id);
  else map.set(id, value);
}
