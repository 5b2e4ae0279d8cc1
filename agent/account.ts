/** What the agent says of itself to who asks: the status, the report to whoever the source follows, figures. */
import { isManagedDevice, legendOf } from '../compiler/index.js';
import type { HostReport, Port } from '../compiler/model/index.js';
import type { AgentSettings } from './settings.js';
import type { Enforcer } from './enforcer.js';
import type { Sweeper } from './flows/sweeper.js';
import type { Following } from './following.js';
import type { Figures } from './gauges.js';
import type { IsolatedObjects } from './isolated-objects.js';
import type { MarkWatch } from './mark-watch.js';
import type { AgentStatus, Counted, PortState, PortStatus } from './status.js';
import type { Tally } from './tally.js';
import type { SwitchWatch } from './watch/switches.js';
import type { Watcher } from './watch/watcher.js';

/** A watching process that is away for as long leaves what is loaded unknown. */
const AWAY_AFTER_MS = 15_000;

/** Who knows. */
export interface Parts {
  readonly enforcer: Enforcer;
  readonly following: Following;
  readonly tally: Tally;
  readonly marks: MarkWatch;
  readonly isolated: IsolatedObjects;
  readonly sweeper: Sweeper;
  readonly watcher: Watcher;
  readonly switches: SwitchWatch;
}

export class Account {
  readonly #startedAt = new Date();

  constructor(
    private readonly settings: AgentSettings,
    private readonly parts: Parts,
  ) {}

  /** What whoever the source follows is told of this host. */
  report(): HostReport {
    const { version, options } = this.settings;
    const { staleSince, problems } = this.parts.following;
    const { drift } = this.parts.tally;
    const refused = [...this.parts.enforcer.live.refusals].map(([port, why]) => ({ port, why: why.slice(0, 1000) }));
    const trouble =
      this.#lastError() ??
      (staleSince === undefined ? undefined : (problems[0] ?? 'the source cannot be used')) ??
      (options.audit ? 'audit mode: nothing is enforced' : undefined);
    return {
      version,
      revision: this.parts.following.asFollowed(this.parts.enforcer.revisionInForce) ?? null,
      enforced: this.#isEnforcing(this.isLoaded()),
      trouble: trouble?.slice(0, 1000) ?? null,
      ports: [...this.parts.enforcer.live.ports()].length,
      refused: refused.slice(0, 100),
      isolated: this.#isolatedHere(),
      drift: drift.foreign + drift.found,
    };
  }

  /** The status document. */
  status(): AgentStatus {
    const { version, host, options, backend, source } = this.settings;
    // It hangs on the clock: asked once, or a document would contradict itself.
    const isLoaded = this.isLoaded();
    const ports = [...this.parts.enforcer.live.ports()].map((port) => this.#portStatus(port, isLoaded));
    const { lateFor } = this.parts.enforcer;
    const { away, losses, lastReason } = this.parts.watcher.state;
    return {
      version,
      host,
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      datapath: options.datapath,
      backend,
      audit: options.audit,
      loaded: isLoaded,
      enforced: this.#isEnforcing(isLoaded),
      settled: isLoaded && this.parts.enforcer.isIdle && this.parts.sweeper.hasLooked,
      lateSince: lateFor === undefined ? undefined : agoInSeconds(lateFor),
      lastError: this.#lastError(),
      leftover: this.parts.enforcer.leftover,
      overtaking: this.parts.enforcer.overtaking.filter(({ isTerminal }) => isTerminal).map(({ rule }) => rule),
      overlaps: this.parts.enforcer.compiler.overlaps(),
      markWriters: this.parts.marks.suspects,
      source: {
        name: source.name,
        revision: this.parts.enforcer.revisionInForce,
        readAt: this.parts.following.readAt?.at.toISOString(),
        staleSince: this.parts.following.staleSince?.at.toISOString(),
        isHeld: this.parts.following.isHolding,
        problems: this.parts.following.problems,
      },
      watching: { awaySince: away?.at.toISOString(), losses, lastReason },
      lastTransaction: this.parts.tally.lastTransaction,
      drift: this.parts.tally.drift,
      flows: this.parts.tally.flows,
      isolated: this.parts.isolated.status(),
      formerDevices: this.parts.enforcer.formerDevices,
      notFiltered: this.#notFiltered(),
      ports,
    };
  }

  /** What the counters of this host's rules are of. */
  counted(): Counted {
    const { compiler, counting } = this.parts.enforcer;
    const legend = legendOf(compiler, this.parts.enforcer.live.ports());
    return { ...legend, since: counting.json() };
  }

  /** True while the kernel holds the policy and somebody would notice if it did not. */
  isLoaded(): boolean {
    return this.parts.enforcer.isEnforced && this.awayFor() < AWAY_AFTER_MS;
  }

  /** True while what is loaded enforces the policy, too. */
  #isEnforcing(isLoaded: boolean): boolean {
    return isLoaded && !this.settings.options.audit && this.parts.switches.fault === undefined;
  }

  #lastError(): string | undefined {
    return this.parts.switches.fault ?? this.parts.enforcer.lastError;
  }

  /** For how long nobody has read notices, in milliseconds; 0 while somebody does. */
  awayFor(): number {
    return this.parts.watcher.state.away?.age() ?? 0;
  }

  /** Isolated objects that concern this host. */
  #isolatedHere(): number {
    return this.parts.isolated.status().filter(({ isHere }) => isHere).length;
  }

  #notFiltered(): readonly string[] {
    return this.parts.enforcer.live.links.guestLike((name) => this.#isOurs(name));
  }

  #isOurs(device: string): boolean {
    return (
      isManagedDevice(this.settings.options, device) ||
      this.parts.enforcer.formerDevices.includes(device) ||
      this.parts.enforcer.live.isPortDevice(device)
    );
  }

  /** What is asked of us when metrics are read. */
  figures(drops: Figures['drops']): Figures {
    const { version, backend, options } = this.settings;
    const { compiler, live } = this.parts.enforcer;
    return {
      audit: options.audit,
      build: { version, node: process.versions.node, backend, datapath: options.datapath },
      compiler,
      drops,
      isEnforcing: () => this.#isEnforcing(this.isLoaded()),
      lateFor: () => this.parts.enforcer.lateFor,
      awayFor: () => this.awayFor(),
      notFiltered: () => this.#notFiltered(),
      formerDevices: () => this.parts.enforcer.formerDevices,
      ports: () => live.ports(),
      stateOf: (port) => this.#portState(port, this.isLoaded()),
      hasDevice: (device) => live.links.has(device),
      refused: () => live.refusals.size,
      isolated: () => this.#isolatedHere(),
      staleSince: () => this.parts.following.staleSince,
      readAt: () => this.parts.following.readAt,
    };
  }

  #portStatus(port: Port, isLoaded: boolean): PortStatus {
    const groups = this.parts.enforcer.compiler.topology.securityGroups;
    return {
      id: port.id,
      name: port.name,
      device: port.device,
      isDevicePresent: this.parts.enforcer.live.links.has(port.device),
      state: this.#portState(port, isLoaded),
      since: this.parts.enforcer.live.since(port.id).toISOString(),
      securityGroups: port.securityGroupIds.map((id) => ({ id, name: groups.get(id)?.name ?? '' })),
      lastError: this.parts.enforcer.live.refusal(port.id) ?? this.parts.isolated.ofPort(port),
    };
  }

  #portState(port: Port, isLoaded: boolean): PortState {
    if (this.parts.enforcer.live.refusal(port.id) !== undefined) return 'refused';
    switch (port.filtering) {
      case 'port-security-off':
      case 'trusted':
        return 'unfiltered';
      case 'down':
        return 'down';
      case 'closed':
        return 'closed';
      case 'filtered':
        return isLoaded && this.parts.switches.fault === undefined ? 'enforced' : 'pending';
    }
  }
}

/** The same instant says the same, whenever it is asked for: to the second. */
function agoInSeconds(milliseconds: number): string {
  return new Date(1000 * Math.round((Date.now() - milliseconds) / 1000)).toISOString();
}
