/** The agent: a source, the links, the reconcile loop and the flows, put together. */
import type { Server } from 'node:http';
import { flowBits, isManagedDevice, legendOf, type CompileOptions } from '../compiler/index.js';
import {
  formatProblem,
  isOnHost,
  printTopology,
  type Isolation,
  type Port,
  type Problem,
} from '../compiler/model/index.js';
import type { HostReport } from '../compiler/model/index.js';
import type { Source, SourceEvent } from '../compiler/model/index.js';
import type { Log } from './log.js';
import { DropCounter } from './drop-totals.js';
import { SourceGate, type Obeyed, type Passage } from './gate.js';
import { IsolatedObjects } from './isolated-objects.js';
import { closingMessages } from './closing.js';
import { thisMachine } from './ground.js';
import type { BackendName } from './kernel/backend-name.js';
import { Enforcer, VERIFICATION } from './enforcer.js';
import type { AppliedTransaction } from './reconciliation.js';
import { Sweeper, type SweepResult } from './flows/sweeper.js';
import { Reporter } from './reporter.js';
import { markWriters } from './kernel/mark-writers.js';
import { Metrics } from './metrics.js';
import { Conntrack } from './netlink/conntrack.js';
import { readLoadedDevices } from './kernel/loaded-devices.js';
import { serveMetrics, serveSocket } from './server.js';
import { notify, startWatchdog } from './service-manager.js';
import type { AgentStatus, Counted, PortState, PortStatus } from './status.js';
import type { WatchEvent } from './watch/events.js';
import { Looks } from './watch/looks.js';
import { SwitchWatch } from './watch/switches.js';
import { Watcher } from './watch/watcher.js';

export interface AgentSettings {
  readonly version: string;
  readonly host: string;
  readonly source: Source;
  readonly options: CompileOptions;
  readonly backend: BackendName;
  /** Path of the status socket. */
  readonly socket: string;
  /** `host:port` for Prometheus; undefined for none. */
  readonly metrics: string | undefined;
  readonly log: Log;
  /** Between comparisons of everything, and up to a tenth more; in milliseconds. */
  readonly verifyEvery: number;
  /** Obey a topology from which this host's ports have gone. */
  readonly allowShrink: boolean;
}

/** While a change waits for longer, or nobody reads notices, the service manager is not told that we live; in milliseconds. */
const UNWELL_AFTER = 60_000;
/** A watching process that is away for as long leaves what is loaded unknown; in milliseconds. */
const AWAY_AFTER = 15_000;

const NO_PORTS: Readonly<Record<PortState, number>> = {
  enforced: 0,
  pending: 0,
  refused: 0,
  unfiltered: 0,
  down: 0,
  closed: 0,
};

/** What a source tells beside a topology. */
interface Told {
  readonly problems: readonly Problem[];
  readonly isolations: readonly Isolation[];
  readonly revision?: number | undefined;
}

export class Agent {
  readonly #enforcer: Enforcer;
  readonly #sweeper: Sweeper;
  readonly #watcher: Watcher;
  /** Undefined where nobody asks. */
  readonly #reporter: Reporter | undefined;
  readonly #gate: SourceGate;
  readonly #isolated: IsolatedObjects;
  /** Of the topology that is held back. */
  #held: Told = { problems: [], isolations: [], revision: undefined };
  readonly #switches: SwitchWatch;
  readonly #looks = new Looks(async () => this.#enforcer.look());
  readonly #metrics = new Metrics();
  readonly #drops: DropCounter;
  readonly #conntrack = new Conntrack();
  readonly #startedAt = new Date();
  readonly #log: Log;
  #servers: Server[] = [];
  #stopWatchdog: () => void = () => undefined;
  #verifyTimer: NodeJS.Timeout | undefined;
  #isReady = false;
  #isBlind = false;
  /** Why a topology is held back, as it was told last. */
  #heldFor: string | undefined;
  #readAt: Date | undefined;
  #staleSince: Date | undefined;
  #problems: readonly string[] = [];
  #lastTransaction: AgentStatus['lastTransaction'];
  #drift = { foreign: 0, found: 0, last: undefined as string | undefined };
  #flows = { revoked: 0, restored: 0 };
  /** Rules of others that write whole marks, as they were found last. */
  #markWriters: readonly string[] = [];
  #markLook: Promise<void> | undefined;
  /** It was said that marks of live flows are written over, by these. */
  #isOverwritten = false;
  #saidOverlaps: ReadonlySet<string> = new Set();

  constructor(private readonly settings: AgentSettings) {
    const { options, backend, host, log } = settings;
    this.#log = log;
    const isLocal = (port: Port): boolean => isOnHost(port, host);
    this.#drops = new DropCounter(backend);
    this.#gate = new SourceGate(isLocal, settings.allowShrink);
    this.#isolated = new IsolatedObjects(host, log);
    this.#enforcer = new Enforcer(isLocal, options, thisMachine(backend), {
      onApplied: (applied) => {
        this.#applied(applied);
      },
      onFirstLoad: async () => this.#seed(),
      onTouched: (touched, isGrowth) => {
        this.#sweeper.touched(touched, isGrowth);
      },
      onFailed: (error, retryIn) => {
        this.#metrics.failures.inc();
        log.error(
          { id: 'not-applied', retryInMilliseconds: retryIn },
          `not applied, the former rules stand: ${error.message}`,
        );
      },
      onForeignChange: (pid, program) => {
        this.#drift.foreign++;
        this.#drift.last = `${program} (process ${pid.toString()})`;
        this.#metrics.drift.inc({ kind: 'foreign' });
        log.warn({ id: 'foreign-change', pid, program }, 'our tables were changed by somebody else: comparing');
      },
      onDrift: (changes) => {
        this.#drift.found++;
        this.#metrics.drift.inc({ kind: 'found' });
        log.warn({ id: 'drift-found', changes }, 'what is loaded is not what we left there: it is put right');
      },
      onClosed: (opened) => {
        log.warn({ id: 'closed', tables: opened.map(({ family }) => family) }, 'closed until what is loaded is known');
      },
      onOvertaken: (overtaking) => {
        for (const { rule, isTerminal } of overtaking) {
          const what = isTerminal ? 'a rule at which packets may end' : 'a rule of others';
          const say = isTerminal ? log.warn.bind(log) : log.info.bind(log);
          say({ id: 'overtaken' }, `before ours stands ${what}; ours go back to the front: ${rule}`);
        }
      },
      onNotClosed: (opened, why) => {
        log.error(
          { id: 'not-closed', tables: opened.map(({ family }) => family) },
          `what is open cannot be closed that way: ${why}`,
        );
      },
      onClosing: (devices) => {
        this.#watcher.order({ kind: 'closing', closing: closingMessages(options, devices) });
      },
      onOwnCommit: (order) => {
        this.#watcher.order(order);
      },
      onBlind: () => {
        if (!this.#isBlind)
          log.error(
            { id: 'bodies-unknown' },
            'nft does not say what rules do in a form that is known: only comments are compared',
          );
        this.#isBlind = true;
      },
      onIsolated: (ports) => {
        for (const [port, why] of ports) {
          log.error({ id: 'port-refused', port }, `closed, since the kernel refuses its rules: ${why}`);
        }
      },
    });
    this.#sweeper = new Sweeper({
      conntrack: this.#conntrack,
      compiler: this.#enforcer.compiler,
      bits: flowBits(options),
      widestPairLength: options.widestPairLength,
      onResult: (result) => {
        this.#swept(result);
      },
      onOverwritten: (flows) => {
        void this.#sayOverwritten(flows);
      },
      onError: (error) => {
        log.error(
          { id: 'flows-unseen' },
          `flows cannot be looked at: ${error instanceof Error ? error.message : String(error)}`,
        );
      },
    });
    this.#switches = new SwitchWatch((fault) => {
      if (fault === undefined) log.info({ id: 'switched-on' }, 'what enforcement hangs on is right again');
      else log.error({ id: 'switched-off' }, fault);
    });
    const say = settings.source.report?.bind(settings.source, host);
    this.#reporter = say === undefined ? undefined : new Reporter(() => this.report(), say);
    this.#watcher = new Watcher({
      onEvent: (event) => {
        this.#heard(event);
      },
      onLoss: (reason) => {
        log.warn({ id: 'watch-lost' }, `${reason}: everything is compared when it is back`);
        // A host that cannot watch must be closed all the same.
        this.#enforcer.watchBegins();
      },
    });
  }

  async start(): Promise<void> {
    const { source, host, options, backend, log, socket, metrics } = this.settings;
    log.info(
      { id: 'started', host, source: source.name, datapath: options.datapath, backend, pid: process.pid },
      options.audit ? 'started in audit mode: NOTHING IS ENFORCED' : 'started',
    );
    this.#declareGauges();
    const answers = {
      status: () => this.status(),
      counted: () => this.#counted(),
      metrics: this.#metrics,
      topology: () => this.topology(),
      accept: () => this.accept(),
      release: (device: string) => this.release(device),
    };
    await this.#remember();
    // What was counted before was another process's.
    void this.#drops.totals();
    await this.#serve('the status socket', socket, async () => serveSocket(socket, answers));
    if (metrics !== undefined) {
      await this.#serve('metrics', metrics, async () => serveMetrics(metrics, answers));
    }
    this.#watcher.start();
    if (options.datapath === 'bridge-netfilter') this.#switches.start();
    if (backend === 'iptables') this.#looks.start();
    source.start(
      (event) => {
        this.#sourceSays(event);
      },
      () => this.#gate.inForce,
    );
    this.#reporter?.start();
    this.#verifyLater();
    this.#stopWatchdog = startWatchdog(
      () => (this.#enforcer.lateFor ?? 0) < UNWELL_AFTER && this.#awayFor() < UNWELL_AFTER,
    );
  }

  /** What is in force as a document; undefined while that is nothing. */
  topology(): object | undefined {
    const { inForce } = this.#gate;
    return inForce.ports.size + inForce.securityGroups.size === 0 ? undefined : printTopology(inForce);
  }

  /** Reads the source again and compares everything. */
  reload(): void {
    this.#log.info({ id: 'reload' }, 'asked to read again');
    this.settings.source.reload();
    this.#enforcer.doubt('asked to');
  }

  /** Obeys the topology that is held back. @returns false when none is. */
  accept(): boolean {
    const passage = this.#gate.accept();
    if (passage === undefined) return false;
    this.#log.warn({ id: 'accepted' }, 'told to obey the topology that was held back');
    this.settings.source.accept?.();
    this.#heldFor = undefined;
    this.#problems = [];
    this.#sourceIsWell([]);
    this.#obey(passage, this.#held);
    return true;
  }

  /** Leaves a device alone that was a port's once. @returns false when it is none of these. */
  release(device: string): boolean {
    if (!this.#enforcer.release(device)) return false;
    this.#log.warn({ id: 'released', device }, 'told to leave alone a device that was a port’s once');
    return true;
  }

  /** The rules stay as they are. */
  async stop(): Promise<void> {
    await notify('STOPPING=1');
    this.#reporter?.stop();
    this.settings.source.stop();
    this.#watcher.stop();
    this.#switches.stop();
    this.#looks.stop();
    clearTimeout(this.#verifyTimer);
    this.#stopWatchdog();
    await this.#enforcer.stop();
    this.#sweeper.stop();
    for (const server of this.#servers) server.close();
    this.#conntrack.close();
    this.#log.info({ id: 'stopped' }, 'stopped: the rules stay');
  }

  /** What whoever the source follows is told of this host. */
  report(): HostReport {
    const { version, options } = this.settings;
    const refused = [...this.#enforcer.live.refusals].map(([port, why]) => ({ port, why: why.slice(0, 1000) }));
    const trouble =
      this.#lastError() ??
      (this.#staleSince === undefined ? undefined : (this.#problems[0] ?? 'the source cannot be used')) ??
      (options.audit ? 'audit mode: nothing is enforced' : undefined);
    return {
      version,
      revision: this.#enforcer.revisionInForce ?? null,
      enforced: this.#isEnforcing(),
      trouble: trouble?.slice(0, 1000) ?? null,
      ports: [...this.#enforcer.live.ports()].length,
      refused: refused.slice(0, 100),
      isolated: this.#isolated.status().filter(({ isHere }) => isHere).length,
      drift: this.#drift.foreign + this.#drift.found,
    };
  }

  status(): AgentStatus {
    const { version, host, options, backend, source } = this.settings;
    const ports = [...this.#enforcer.live.ports()].map((port) => this.#portStatus(port));
    const isLoaded = this.#isLoaded();
    const { lateFor } = this.#enforcer;
    return {
      version,
      host,
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      datapath: options.datapath,
      backend,
      audit: options.audit,
      loaded: isLoaded,
      enforced: this.#isEnforcing(),
      settled: isLoaded && this.#enforcer.isIdle && this.#sweeper.hasLooked,
      lateSince: lateFor === undefined ? undefined : agoInSeconds(lateFor),
      lastError: this.#lastError(),
      leftover: this.#enforcer.leftover,
      overtaking: this.#enforcer.overtaking.filter(({ isTerminal }) => isTerminal).map(({ rule }) => rule),
      overlaps: this.#enforcer.compiler.overlaps(),
      markWriters: this.#markWriters,
      source: {
        name: source.name,
        revision: this.#enforcer.revisionInForce,
        readAt: this.#readAt?.toISOString(),
        staleSince: this.#staleSince?.toISOString(),
        isHeld: this.#gate.isHolding,
        problems: this.#problems,
      },
      watching: { ...this.#watcher.state, awaySince: this.#watcher.state.awaySince?.toISOString() },
      lastTransaction: this.#lastTransaction,
      drift: this.#drift,
      flows: this.#flows,
      isolated: this.#isolated.status(),
      formerDevices: this.#enforcer.formerDevices,
      notFiltered: this.#enforcer.live.links.guestLike((name) => this.#isOurs(name)),
      ports,
    };
  }

  #counted(): Counted {
    const { compiler, counting } = this.#enforcer;
    const legend = legendOf(compiler, this.#enforcer.live.ports());
    return { ...legend, since: counting.json() };
  }

  /** True while the kernel holds the policy and somebody would notice if it did not. */
  #isLoaded(): boolean {
    return this.#enforcer.isEnforced && this.#awayFor() < AWAY_AFTER;
  }

  /** True while what is loaded enforces the policy, too. */
  #isEnforcing(): boolean {
    return this.#isLoaded() && !this.settings.options.audit && this.#switches.fault === undefined;
  }

  #lastError(): string | undefined {
    return this.#switches.fault ?? this.#enforcer.lastError;
  }

  /** For how long nobody has read notices, in milliseconds; 0 while somebody does. */
  #awayFor(): number {
    const { awaySince } = this.#watcher.state;
    return awaySince === undefined ? 0 : Date.now() - awaySince.getTime();
  }

  #isOurs(device: string): boolean {
    return (
      isManagedDevice(this.settings.options, device) ||
      this.#enforcer.formerDevices.includes(device) ||
      this.#enforcer.live.isPortDevice(device)
    );
  }

  /** What is loaded says which devices were ports' before. */
  async #remember(): Promise<void> {
    try {
      const devices = await readLoadedDevices(this.settings.backend);
      this.#gate.remember(devices);
      this.#enforcer.remember(devices);
    } catch (error) {
      this.#enforcer.remember([]);
      this.#log.error(
        { id: 'loaded-unreadable' },
        `what is loaded cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  #heard(event: Exclude<WatchEvent, { kind: 'alive' }>): void {
    if (event.kind === 'table-changed') {
      this.#enforcer.tableChanged(event.change);
      return;
    }
    if (event.kind === 'iptables-changed') {
      this.#enforcer.iptablesChanged(event.change);
      return;
    }
    if (event.kind === 'closed') {
      this.#enforcer.tablesClosed(event.opened, event.error);
      return;
    }
    if (event.kind === 'withdrawn') {
      const withdrawal = { id: 'taken-back', way: 'withdrawal', changes: event.count } as const;
      this.#log.warn(withdrawal, 'applied: what somebody added to our tables was taken back');
      this.#enforcer.doubt('what somebody added was taken back');
      return;
    }
    this.#enforcer.setLinks(event);
    if (event.kind === 'links') this.#enforcer.watchBegins();
  }

  #sourceSays(event: SourceEvent): void {
    this.#problems = event.problems.map((problem) => formatProblem(problem));
    switch (event.kind) {
      case 'topology':
        this.#passed(this.#gate.whole(event.topology, event.doubt), event);
        break;
      case 'changes':
        this.#passed(this.#gate.changes(event.changes), event);
        break;
      case 'stale':
        this.#isStale();
        break;
    }
  }

  #passed(passage: Passage, told: Told): void {
    if (passage.kind === 'held') {
      this.#held = told;
      this.#problems = [`${this.settings.source.name}: ${passage.reason}`, ...this.#problems];
      if (this.#heldFor !== passage.reason) this.#isStale();
      this.#heldFor = passage.reason;
      return;
    }
    this.#heldFor = undefined;
    this.#sourceIsWell(told.problems);
    this.#obey(passage, told);
  }

  #obey(passage: Obeyed, { isolations, revision }: Told): void {
    if (passage.kind === 'topology') this.#enforcer.setTopology(passage.topology);
    else this.#enforcer.changeTopology(passage.changes);
    this.#enforcer.setRevision(revision);
    this.#isolated.update(isolations, this.#enforcer.live.ports());
  }

  #isStale(): void {
    this.#staleSince ??= new Date();
    const [first] = this.#problems;
    this.#log.error(
      { id: 'source-stale', problems: this.#problems.length },
      `the source cannot be used, the last good state stays: ${first ?? 'no reason given'}`,
    );
  }

  #sourceIsWell(problems: readonly Problem[]): void {
    if (this.#staleSince !== undefined) this.#log.info({ id: 'source-well' }, 'the source is well again');
    this.#staleSince = undefined;
    this.#readAt = new Date();
    for (const problem of problems) this.#log.debug({ id: 'problem' }, formatProblem(problem));
  }

  #applied({ changes, way, reason, milliseconds, latency }: AppliedTransaction): void {
    this.#lastTransaction = {
      at: new Date().toISOString(),
      way,
      reason,
      milliseconds: round(milliseconds),
      latencyMilliseconds: round(latency),
    };
    this.#metrics.transactions.inc({ way });
    this.#metrics.applySeconds.observe(milliseconds / 1000);
    this.#metrics.changeSeconds.observe(latency / 1000);
    this.#log.info(
      {
        id: 'applied',
        way,
        ...(reason === '' ? {} : { reason }),
        changes,
        milliseconds: round(milliseconds),
      },
      changes === 0 ? 'nothing to change' : 'applied',
    );
    if (way === 'everything') {
      this.#sweeper.all();
      void this.#lookForMarkWriters();
    }
    this.#sayOverlaps();
    if (!this.#isReady) {
      this.#isReady = true;
      void notify('READY=1', 'STATUS=enforcing');
    }
  }

  /** A host whose flows cannot be listed is enforced all the same; what answers from there must begin anew. */
  async #seed(): Promise<void> {
    try {
      await this.#sweeper.seed();
    } catch (error) {
      this.#log.error(
        { id: 'flows-unseen' },
        `live flows cannot be taken over: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** Who asks while a look is under way waits for that one: it starts programs, and comparisons may follow each other closely. */
  async #lookForMarkWriters(): Promise<void> {
    this.#markLook ??= this.#markWritersNow().finally(() => {
      this.#markLook = undefined;
    });
    await this.#markLook;
  }

  /** Said once for each set of suspects: it goes on for as long as they are there. */
  async #markWritersNow(): Promise<void> {
    const { datapath } = this.settings.options;
    const found = await markWriters(datapath === 'bridge-netfilter' ? ['conntrack', 'packet'] : ['conntrack']);
    const isNews = found.join() !== this.#markWriters.join();
    this.#markWriters = found;
    if (isNews && found.length > 0) {
      this.#log.warn(
        { id: 'marks-written' },
        `whole marks are written by rules of others, and our bits with them: ${found.join('; ')}. Keep other bits (ct mark set ct mark or ..., --set-xmark VALUE/MASK)`,
      );
    }
    if (isNews) this.#isOverwritten = false;
  }

  async #sayOverwritten(flows: number): Promise<void> {
    await this.#lookForMarkWriters();
    if (this.#isOverwritten) return;
    this.#isOverwritten = true;
    const who = this.#markWriters.length === 0 ? 'rules that cannot be found' : this.#markWriters.join('; ');
    this.#log.warn(
      { id: 'marks-written', flows },
      `conntrack marks are written over by ${who}: our bits are lost, revoked flows stay cut, and answers in allowed ones stop`,
    );
  }

  #sayOverlaps(): void {
    const overlaps = this.#enforcer.compiler.overlaps();
    for (const overlap of overlaps) {
      if (!this.#saidOverlaps.has(overlap)) this.#log.warn({ id: 'overlap' }, overlap);
    }
    this.#saidOverlaps = new Set(overlaps);
  }

  #swept({ revoked, restored, looked, milliseconds }: SweepResult): void {
    this.#flows.revoked += revoked;
    this.#flows.restored += restored;
    this.#metrics.flows.inc({ what: 'revoked' }, revoked);
    this.#metrics.flows.inc({ what: 'restored' }, restored);
    this.#metrics.sweepSeconds.observe(milliseconds / 1000);
    if (revoked + restored > 0) {
      const figures = { revoked, restored, looked, milliseconds: round(milliseconds) };
      this.#log.info({ id: 'flows-judged', ...figures }, 'live flows were judged anew');
    }
  }

  #portStatus(port: Port): PortStatus {
    const groups = this.#enforcer.compiler.topology.securityGroups;
    return {
      id: port.id,
      name: port.name,
      device: port.device,
      isDevicePresent: this.#enforcer.live.links.has(port.device),
      state: this.#portState(port),
      since: this.#enforcer.live.since(port.id).toISOString(),
      securityGroups: port.securityGroupIds.map((id) => ({ id, name: groups.get(id)?.name ?? '' })),
      lastError: this.#enforcer.live.refusal(port.id) ?? this.#isolated.ofPort(port),
    };
  }

  #portState(port: Port): PortState {
    if (this.#enforcer.live.refusal(port.id) !== undefined) return 'refused';
    switch (port.filtering) {
      case 'port-security-off':
      case 'trusted':
        return 'unfiltered';
      case 'down':
        return 'down';
      case 'closed':
        return 'closed';
      case 'filtered':
        return this.#isLoaded() ? 'enforced' : 'pending';
    }
  }

  #declareGauges(): void {
    const gauge = this.#metrics.gauge.bind(this.#metrics);
    gauge('portcullis_enforced', '1 while the kernel holds the policy.', () =>
      this.#isLoaded() && !this.settings.options.audit ? 1 : 0,
    );
    gauge(
      'portcullis_late_seconds',
      'For how long the oldest change waits that is not in force; 0 while none is late.',
      () => (this.#enforcer.lateFor ?? 0) / 1000,
    );
    gauge(
      'portcullis_watching_away_seconds',
      'For how long nobody has read the kernel’s notices; 0 while somebody does.',
      () => this.#awayFor() / 1000,
    );
    gauge(
      'portcullis_devices_not_filtered',
      'Devices that look like guests’ and are none of a port’s.',
      () => this.#enforcer.live.links.guestLike((name) => this.#isOurs(name)).length,
    );
    gauge(
      'portcullis_devices_closed',
      'Devices that are closed since they were a port’s once.',
      () => this.#enforcer.formerDevices.length,
    );
    gauge('portcullis_audit', '1 in audit mode: nothing is enforced.', () => (this.settings.options.audit ? 1 : 0));
    this.#metrics.gaugeBy('portcullis_ports', 'Ports of this host, by state.', 'state', () => {
      const counts: Record<PortState, number> = { ...NO_PORTS };
      for (const port of this.#enforcer.live.ports()) counts[this.#portState(port)]++;
      return counts;
    });
    gauge(
      'portcullis_ports_absent',
      'Ports of this host whose device is not there.',
      () => [...this.#enforcer.live.ports()].filter(({ device }) => !this.#enforcer.live.links.has(device)).length,
    );
    this.#metrics.totalsBy(
      'portcullis_dropped_packets_total',
      'Packets from ports (egress) and to ports (ingress) that were not let through.',
      'direction',
      async () => ({ ...(await this.#drops.totals()).dropped }),
    );
    this.#metrics.totalsBy(
      'portcullis_audited_packets_total',
      'In audit mode: packets that passed and would have been dropped.',
      'direction',
      async () => ({ ...(await this.#drops.totals()).audited }),
    );
    const { version, backend, options } = this.settings;
    this.#metrics.info('portcullis_build_info', 'What runs here; always 1.', {
      version,
      node: process.versions.node,
      backend,
      datapath: options.datapath,
    });
    gauge(
      'portcullis_ports_refused',
      'Ports that are closed since the kernel refuses their rules.',
      () => this.#enforcer.live.refusals.size,
    );
    gauge(
      'portcullis_objects_isolated',
      'Objects of the topology that are bad and concern this host: their last good versions, or nothing, are in force.',
      () => this.#isolated.status().filter(({ isHere }) => isHere).length,
    );
    for (const kind of ['sets', 'chains', 'elements'] as const) {
      gauge(`portcullis_${kind}`, `Kernel ${kind} that the policy takes.`, () => this.#enforcer.compiler.count()[kind]);
    }
    gauge('portcullis_source_stale_seconds', 'For how long the source cannot be used; 0 while it can.', () =>
      this.#staleSince === undefined ? 0 : (Date.now() - this.#staleSince.getTime()) / 1000,
    );
    gauge('portcullis_source_age_seconds', 'Since the last topology was read.', () =>
      this.#readAt === undefined ? 0 : (Date.now() - this.#readAt.getTime()) / 1000,
    );
  }

  async #serve(what: string, where: string, serve: () => Promise<Server>): Promise<void> {
    try {
      this.#servers.push(await serve());
    } catch (error) {
      // Enforcement goes on without it.
      const why = error instanceof Error ? error.message : String(error);
      this.#log.error({ id: 'not-served' }, `${what}: ${where}: ${why}`);
    }
  }

  #verifyLater(): void {
    const every = this.settings.verifyEvery;
    this.#verifyTimer = setTimeout(
      () => {
        this.#enforcer.doubt(VERIFICATION);
        this.#verifyLater();
      },
      every * (1 + Math.random() / 10),
    );
  }
}

function round(milliseconds: number): number {
  return Math.round(10 * milliseconds) / 10;
}

/** The same instant says the same, whenever it is asked for: to the second. */
function agoInSeconds(milliseconds: number): string {
  return new Date(1000 * Math.round((Date.now() - milliseconds) / 1000)).toISOString();
}
