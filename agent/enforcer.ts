/**
 * The reconcile loop: keeps the kernel equal to the policy.
 *
 * One transaction is under way at a time; what changes meanwhile goes into the next. A change takes the short way; at the start, in doubt,
 * after a failure and on somebody else's change to our tables everything is compared (bringing.ts).
 */
import { tableFamilies, type CompileOptions, type HostCompiler } from '../compiler/index.js';
import type { Port, TopologyChanges } from '../compiler/model/index.js';
import type { Backend, Overtaking } from './backends/backend.js';
import { Backoff } from './backoff.js';
import { Bringing } from './bringing.js';
import type { Opened } from './closing.js';
import { Closings } from './closings.js';
import { Commits } from './commits.js';
import { CountingSince } from './counting-since.js';
import { Desired } from './desired.js';
import { LOOK, VERIFICATION } from './doubt.js';
import type { Ground } from './ground.js';
import type { LiveTopology } from './live-topology.js';
import { Pending } from './pending.js';
import { Quarantine } from './quarantine.js';
import type { EnforcerListener } from './reconciliation.js';
import { SingleFlight } from './single-flight.js';
import type { IptablesChanged, LinkEvent, TableChanged } from './watch/events.js';

/** Between tries after a failure. */
const BACKOFF_MS = { first: 50, most: 5000 };
/** Programs that run when the agent is asked to stop may take as long. */
const GRACE_MS = 3000;

export class Enforcer {
  readonly counting = new CountingSince();
  readonly #desired: Desired;
  readonly #backend: Backend;
  readonly #commits: Commits;
  readonly #closings: Closings;
  readonly #pending: Pending;
  readonly #bringing: Bringing;
  readonly #loop = new SingleFlight(
    async () => this.#run(),
    () => this.#isStarted && this.#isWatched && this.#hasWork(),
  );
  readonly #backoff = new Backoff(BACKOFF_MS);
  readonly #stopping = new AbortController();
  /** Something of ours was there before this process began. */
  #wasLoaded = false;
  #isStarted = false;
  #isWatched = false;
  /** In a row. */
  #failures = 0;
  #lastError: string | undefined;
  #isEnforced = false;
  /** Somebody changed our tables while a transaction of ours was under way. */
  #isDisturbed = false;
  /** Of the source, of what was taken last; and of what was wanted when the last transaction that is in force began. */
  #revision: number | undefined;
  #applied: number | undefined;
  /** Whoever waits until no comparison is due. */
  readonly #awaiting: (() => void)[] = [];
  /** Counts what changed: of what is wanted, and of what is loaded by us. */
  #step = 0;

  constructor(
    isLocal: (port: Port) => boolean,
    private readonly options: CompileOptions,
    private readonly ground: Ground,
    private readonly listener: EnforcerListener,
  ) {
    const { kernel, clock, makeBackend } = ground;
    const desired = new Desired(isLocal, options, (isAny) => {
      this.#changes(isAny);
    });
    this.#desired = desired;
    this.#pending = new Pending(clock);
    this.#commits = new Commits(kernel, clock, {
      onOrder: (order) => {
        this.listener.onOwnCommit(order);
      },
      onSilence: () => {
        this.#bringing.mustConfirm();
        this.doubt('no notice of our own transaction came');
      },
      onByNft: (why) => {
        this.listener.tell({ kind: 'by-nft', why });
      },
    });
    const devices = desired.devicesToClose.bind(desired);
    this.#closings = new Closings(options, ground, this.#commits, devices, this.doubt.bind(this), listener);
    const backend = makeBackend(desired.compiler, options, {
      kernel,
      onWritten: (transaction) => {
        this.counting.wrote(transaction);
      },
      applyAhead: async (pieces) => this.#commits.applyAhead(pieces, () => this.#isDisturbed),
      applyStage: async (stage) => this.#commits.apply(stage),
      commitRules: async (program, tables, start) => this.#commits.run(program, tables, start),
      isLocal: desired.isOurs,
    });
    const quarantine = new Quarantine(desired.live, backend, clock, {
      onClosed: (ports) => {
        desired.changePorts(ports);
        this.listener.tell({ kind: 'ports-refused', ports: desired.live.refusals });
      },
      onRetry: (ports) => {
        desired.changePorts(ports);
        this.doubt('refused ports are tried again');
      },
    });
    this.#backend = backend;
    this.#bringing = new Bringing({
      ...{ compiler: desired.compiler, backend, pending: this.#pending, closings: this.#closings },
      ...{ quarantine, clock, listener },
    });
  }

  get compiler(): HostCompiler {
    return this.#desired.compiler;
  }

  /** This host's ports as they are here, and the links. */
  get live(): LiveTopology {
    return this.#desired.live;
  }

  /** What was taken last is this revision of the source's; undefined where it has none. */
  setRevision(revision: number | undefined): void {
    this.#revision = revision;
  }

  /** The newest revision whose rules the kernel holds; undefined while there is none, or the source has none. */
  get revisionInForce(): number | undefined {
    return this.isIdle && this.isEnforced ? this.#revision : this.#applied;
  }

  /** Takes what changed; the first time it starts the enforcement, also where nothing did. */
  changeTopology(changes: TopologyChanges): void {
    this.#desired.change(changes);
    this.#isStarted = true;
    this.#loop.start();
  }

  /**
   * What was there before this process began.
   * @param devices that were ports': they stay closed when no port has them.
   * @param wasLoaded whether anything of ours was loaded, or may have been.
   */
  remember(devices: Iterable<string>, wasLoaded: boolean): void {
    this.#wasLoaded = wasLoaded;
    this.#desired.remember(devices);
    this.#closings.prepare();
  }

  /** Devices that are closed since they were a port's once. */
  get formerDevices(): readonly string[] {
    return this.#desired.formerDevices;
  }

  /** Leaves a former device alone. @returns false when it is none. */
  release(device: string): boolean {
    if (!this.#desired.release(device)) return false;
    this.#loop.start();
    return true;
  }

  /** From now on notices are heard, and what was missed before is looked for. Nothing is done before the first call. */
  watchBegins(): void {
    if (this.#isWatched) {
      this.#commits.forget();
      this.doubt('notices were lost');
      // Those of many changes at once (a flush of many rules) are what ends a watching process. Where nothing of ours ever was, nobody opened it.
      if (this.#isStarted || this.#wasLoaded) void this.#closings.meanwhile();
    }
    this.#isWatched = true;
    this.#loop.start();
  }

  /** Takes news of links. */
  setLinks(event: LinkEvent): void {
    this.#desired.changePorts(this.live.changeLinks(event));
    this.#loop.start();
  }

  tableChanged(change: TableChanged): void {
    const { pid, program, opened, isClosing, mayBeOurs } = change;
    if (isClosing) this.#closings.isTold();
    if (this.#commits.claims(change)) {
      if (isClosing) this.doubt('a change of ours was taken for somebody else’s');
      return;
    }
    if (!mayBeOurs) {
      this.listener.tell({ kind: 'foreign-change', pid, program });
      if (opened.length > 0 && !isClosing) this.#closings.atOnce(opened);
    }
    this.#isDisturbed = true;
    this.doubt(`changed by ${program} (process ${pid.toString()})`);
  }

  iptablesChanged(change: IptablesChanged): void {
    // What another backend left there is no rule of ours any more.
    if (!this.#backend.isInIptablesNft || this.#commits.claims(change)) return;
    const { pid, program, isGone } = change;
    this.listener.tell({ kind: 'foreign-change', pid, program });
    if (isGone) this.#closings.atOnce([{ family: tableFamilies(this.options.datapath).policy, how: 'unguarded' }]);
    this.#isDisturbed = true;
    this.doubt(`changed by ${program} (process ${pid.toString()})`);
  }

  /**
   * Looks at what the kernel tells nobody of, and compares everything when it is not as it was left.
   * @returns false when what happened meanwhile makes the look worth nothing.
   */
  async look(): Promise<boolean> {
    if (this.#backend.look === undefined) return true;
    if (!this.isIdle || !this.#isEnforced) return false;
    const step = this.#step;
    try {
      const isRight = await this.#backend.look();
      if (step !== this.#step) return false;
      if (!isRight) this.doubt(LOOK);
    } catch (error) {
      if (step !== this.#step) return false;
      this.doubt(`${LOOK} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    return true;
  }

  /** The watching process closed tables, or could not. */
  tablesClosed(opened: readonly Opened[], error: string | undefined): void {
    if (error === undefined) {
      // Counted with the change that it answers: this may be told later.
      this.listener.tell({ kind: 'closed', opened });
      return;
    }
    this.listener.tell({ kind: 'not-closed', opened, why: error });
    this.#closings.atOnce(opened);
    this.doubt('the watching process could not close');
  }

  /** Compares everything at the next opportunity. */
  doubt(reason: string): void {
    this.#pending.doubts(reason);
    this.#loop.start();
  }

  /** Compares everything; done when that is over, and no other comparison is due. */
  async verify(): Promise<void> {
    const done = new Promise<void>((resolve) => this.#awaiting.push(resolve));
    this.doubt(VERIFICATION);
    return done;
  }

  /** True when the kernel holds the policy, as far as is known: what was closed meanwhile is more than that. */
  get isEnforced(): boolean {
    return this.#isEnforced && !this.#closings.isClosed && !this.#bringing.isUnconfirmed && this.lateFor === undefined;
  }

  /** For how long the oldest change has waited that is not in force, in milliseconds; undefined while none has waited for long. */
  get lateFor(): number | undefined {
    return this.#isStarted ? this.#pending.lateness.lateFor : undefined;
  }

  /** True when everything that is known is in the kernel, as far as is known: nothing is under way or waits. */
  get isIdle(): boolean {
    return !this.#loop.isRunning && !this.#hasWork();
  }

  /** What of a former packet filter could not be removed. */
  get leftover(): string | undefined {
    return this.#backend.leftover;
  }

  /** Rules of others that stand before ours, as far as is known. */
  get overtaking(): readonly Overtaking[] {
    return this.#bringing.overtaking;
  }

  get lastError(): string | undefined {
    if (this.#lastError === undefined) return undefined;
    return this.#closings.isShut ? `closed, until rules can be loaded: ${this.#lastError}` : this.#lastError;
  }

  /** The rules stay. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#closings.stop();
    // What hangs must not keep us; what only takes its time may end in order.
    const { clock, kernel } = this.ground;
    const areEnded = clock.after(GRACE_MS, kernel.endPrograms);
    await this.#loop.idle();
    areEnded();
  }

  /** What is wanted, or what closes, is another. */
  #changes(isAny: boolean): void {
    this.#closings.prepare();
    if (!isAny) return;
    this.#step++;
    this.#pending.changes();
  }

  #hasWork(): boolean {
    return !this.#stopping.signal.aborted && this.#pending.isAny;
  }

  async #run(): Promise<void> {
    // Whatever else arrives in this turn of the event loop goes along.
    await Promise.resolve();
    this.#closings.ifLate();
    while (this.#hasWork()) {
      await this.#closings.idle();
      this.#step++;
      this.#isDisturbed = false;
      const revision = this.#revision;
      try {
        if (!(await this.#bringing.bring(this.#failures))) {
          // What is in force is as before, and a comparison is due.
          this.#pending.lateness.isUndone();
          continue;
        }
        this.#backoff.reset();
        this.#failures = 0;
        this.#isEnforced = true;
        // A doubt that came meanwhile is looked into first.
        if (!this.#bringing.isUnconfirmed && this.#pending.doubt === undefined) this.#applied = revision;
        this.#closings.isInForce();
        this.#lastError = undefined;
        this.#pending.lateness.isDone();
      } catch (error) {
        await this.#failed(error instanceof Error ? error : new Error(String(error)));
      }
      if (this.#pending.doubt === undefined) for (const tell of this.#awaiting.splice(0)) tell();
    }
  }

  async #failed(error: Error): Promise<void> {
    // What somebody did meanwhile made it fail: that says nothing of the policy.
    const isDisturbed = this.#isDisturbed;
    this.#pending.stillDoubts('a transaction failed');
    this.#pending.lateness.isUndone();
    this.#pending.lateness.changes();
    this.#isEnforced = false;
    await this.#closings.whatIsOpen();
    this.#lastError = error.message;
    if (isDisturbed) this.#backoff.reset();
    else this.#failures++;
    const retryIn = isDisturbed ? BACKOFF_MS.first : this.#backoff.take();
    this.listener.tell({ kind: 'not-applied', error, retryIn });
    await this.ground.clock.sleep(retryIn, this.#stopping.signal);
  }
}
