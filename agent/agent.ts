/** The agent: a source, the links, the reconcile loop and the flows, put together. */
import type { Server } from 'node:http';
import { flowBits } from '../compiler/index.js';
import { isOnHost, printTopology, type Port } from '../compiler/model/index.js';
import { Account } from './account.js';
import type { AgentEvent, Applied } from './events.js';
import { DropCounter } from './drop-totals.js';
import { Following } from './following.js';
import { Garbage } from './garbage.js';
import { declareGauges } from './gauges.js';
import { IsolatedObjects } from './isolated-objects.js';
import { closingMessages } from './closing.js';
import { thisMachine, type Ground } from './ground.js';
import { Enforcer } from './enforcer.js';
import { Sweeper } from './flows/sweeper.js';
import { Reporter } from './reporter.js';
import { Lines } from './lines.js';
import { MarkWatch } from './mark-watch.js';
import { Metrics } from './metrics.js';
import { Conntrack } from './netlink/conntrack.js';
import { readLoadedDevices } from './kernel/loaded-devices.js';
import { seesPackets } from './kernel/load.js';
import { serveMetrics, serveSocket } from './server.js';
import type { AgentSettings } from './settings.js';
import { notify, startWatchdog } from './service-manager.js';
import { Tally } from './tally.js';
import type { WatchEvent } from './watch/events.js';
import { lookOften, verifyOften } from './watch/looks.js';
import { SwitchWatch } from './watch/switches.js';
import { Watcher } from './watch/watcher.js';

/** While a change waits for longer, or nobody reads notices, the service manager is not told that we live. */
const UNWELL_AFTER_MS = 60_000;
export class Agent {
  readonly #enforcer: Enforcer;
  readonly #sweeper: Sweeper;
  readonly #watcher: Watcher;
  /** Undefined where nobody asks. */
  readonly #reporter: Reporter | undefined;
  readonly #following: Following;
  readonly #tally = new Tally();
  readonly #marks: MarkWatch;
  readonly #isolated: IsolatedObjects;
  readonly #account: Account;
  readonly #switches: SwitchWatch;
  readonly #metrics = new Metrics();
  readonly #drops: DropCounter;
  readonly #garbage = new Garbage();
  readonly #ground: Ground;
  readonly #conntrack = new Conntrack();
  /** Who is told what happens. */
  readonly #observers: readonly { readonly hear: (event: AgentEvent) => void }[];
  #saidOverlaps: ReadonlySet<string> = new Set();
  #servers: Server[] = [];
  /** What goes on until the agent is stopped. */
  readonly #ends: (() => void)[] = [];
  #isReady = false;

  constructor(private readonly settings: AgentSettings) {
    const { options, backend, host, log } = settings;
    this.#ground = thisMachine(backend);
    const { clock } = this.#ground;
    this.#observers = [new Lines(log), this.#metrics, this.#tally];
    const tell = this.#tell.bind(this);
    const isLocal = (port: Port): boolean => isOnHost(port, host);
    this.#drops = new DropCounter(backend);
    this.#isolated = new IsolatedObjects(host, tell);
    this.#marks = new MarkWatch(options.datapath, tell);
    this.#enforcer = new Enforcer(isLocal, options, this.#ground, {
      tell: (event) => {
        this.#tell(event);
        if (event.kind === 'applied') this.#applied(event);
      },
      onFirstLoad: async () => this.#seed(),
      onTouched: (touched, isGrowth) => {
        this.#sweeper.touched(touched, isGrowth);
      },
      onClosing: (devices) => {
        this.#watcher.order({ kind: 'closing', closing: closingMessages(options, devices) });
      },
      onOwnCommit: (order) => {
        this.#watcher.order(order);
      },
    });
    const { source, allowShrink } = settings;
    this.#following = new Following(source, isLocal, allowShrink, this.#enforcer, this.#isolated, tell, clock);
    this.#sweeper = new Sweeper({
      conntrack: this.#conntrack,
      clock,
      compiler: this.#enforcer.compiler,
      bits: flowBits(options),
      widestPairLength: options.widestPairLength,
      onResult: (result) => {
        tell({ kind: 'flows-judged', ...result });
      },
      onOverwritten: (flows) => {
        void this.#marks.areOverwritten(flows);
      },
      onError: (error) => {
        tell({ kind: 'flows-unseen', isAtFirst: false, why: whyOf(error) });
      },
    });
    this.#switches = new SwitchWatch((fault) => {
      tell({ kind: 'switched', fault });
    }, clock);
    const say = settings.source.report?.bind(settings.source, host);
    this.#reporter = say === undefined ? undefined : new Reporter(() => this.#account.report(), say, clock);
    this.#watcher = new Watcher(
      {
        onEvent: (event) => {
          this.#heard(event);
        },
        onLoss: (reason) => {
          tell({ kind: 'watch-lost', why: reason });
          // A host that cannot watch must be closed all the same.
          this.#enforcer.watchBegins();
        },
      },
      clock,
    );
    this.#account = new Account(settings, {
      enforcer: this.#enforcer,
      following: this.#following,
      tally: this.#tally,
      marks: this.#marks,
      isolated: this.#isolated,
      sweeper: this.#sweeper,
      watcher: this.#watcher,
      switches: this.#switches,
    });
  }

  async start(): Promise<void> {
    const { source, host, options, backend, socket, metrics } = this.settings;
    const { datapath, audit } = options;
    this.#tell({ kind: 'started', host, source: source.name, datapath, backend, audit });
    declareGauges(this.#metrics, this.#account.figures(this.#drops));
    const answers = {
      status: () => this.#account.status(),
      counted: () => this.#account.counted(),
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
    if (backend === 'iptables') this.#ends.push(lookOften(this.#ground.clock, async () => this.#enforcer.look()));
    source.start(
      (event) => {
        this.#following.hear(event);
      },
      () => this.#following.inForce,
    );
    this.#reporter?.start();
    this.#ends.push(
      verifyOften(this.#ground.clock, this.settings.verifyEvery, async () => this.#enforcer.verify()),
      startWatchdog(() => (this.#enforcer.lateFor ?? 0) < UNWELL_AFTER_MS && this.#account.awayFor() < UNWELL_AFTER_MS),
    );
  }

  /** What is in force as a document; undefined while that is nothing. */
  topology(): object | undefined {
    const { inForce } = this.#following;
    return inForce.ports.size + inForce.securityGroups.size === 0 ? undefined : printTopology(inForce);
  }

  /** Reads the source again and compares everything. */
  reload(): void {
    this.#tell({ kind: 'reload' });
    this.settings.source.reload();
    this.#enforcer.doubt('asked to');
  }

  /** Obeys the topology that is held back. @returns false when none is. */
  accept(): boolean {
    return this.#following.accept();
  }

  /** Leaves a device alone that was a port's once. @returns false when it is none of these. */
  release(device: string): boolean {
    if (!this.#enforcer.release(device)) return false;
    this.#tell({ kind: 'released', device });
    return true;
  }

  /** The rules stay as they are. */
  async stop(): Promise<void> {
    await notify('STOPPING=1');
    this.#reporter?.stop();
    this.settings.source.stop();
    this.#watcher.stop();
    this.#switches.stop();
    this.#garbage.stop();
    for (const end of this.#ends) end();
    await this.#enforcer.stop();
    this.#sweeper.stop();
    for (const server of this.#servers) server.close();
    this.#conntrack.close();
    this.#tell({ kind: 'stopped' });
  }

  /** What is loaded says which devices were ports' before. */
  async #remember(): Promise<void> {
    try {
      const { kernel, backend } = this.#ground;
      const devices = await readLoadedDevices(kernel, backend);
      this.#following.remember(devices);
      this.#enforcer.remember(devices, devices.size > 0 || (await seesPackets(kernel)));
    } catch (error) {
      this.#enforcer.remember([], true);
      this.#tell({ kind: 'loaded-unreadable', why: whyOf(error) });
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
      this.#tell({ kind: 'taken-back', changes: event.count });
      this.#enforcer.doubt('what somebody added was taken back');
      return;
    }
    this.#enforcer.setLinks(event);
    if (event.kind === 'links') this.#enforcer.watchBegins();
  }

  #tell(event: AgentEvent): void {
    for (const observer of this.#observers) observer.hear(event);
  }

  #applied({ way }: Applied): void {
    if (way === 'everything') {
      this.#sweeper.all();
      void this.#marks.look();
      this.#garbage.collectSoon();
    }
    this.#tellOverlaps();
    if (!this.#isReady) {
      this.#isReady = true;
      // It is said once, and stands there whatever comes.
      const began = this.settings.options.audit ? 'audit: nothing is enforced' : 'the rules were loaded at start';
      void notify('READY=1', `STATUS=${began}; now: portcullis status`);
    }
  }

  /** Those that are news. */
  #tellOverlaps(): void {
    const overlaps = this.#enforcer.compiler.overlaps();
    for (const overlap of overlaps) if (!this.#saidOverlaps.has(overlap)) this.#tell({ kind: 'overlap', overlap });
    this.#saidOverlaps = new Set(overlaps);
  }

  /** A host whose flows cannot be listed is enforced all the same; what answers from there must begin anew. */
  async #seed(): Promise<void> {
    try {
      await this.#sweeper.seed();
    } catch (error) {
      this.#tell({ kind: 'flows-unseen', isAtFirst: true, why: whyOf(error) });
    }
  }

  async #serve(what: string, where: string, serve: () => Promise<Server>): Promise<void> {
    try {
      this.#servers.push(await serve());
    } catch (error) {
      // Enforcement goes on without it.
      this.#tell({ kind: 'not-served', what, where, why: whyOf(error) });
    }
  }
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
