/**
 * The reconcile loop: keeps the kernel equal to the policy.
 *
 * One transaction is under way at a time; what changes meanwhile goes into the next. A change takes the short way (the
 * steps that the incremental compiler gives). At the start, in doubt, after a failure and on somebody else's change to our
 * tables it takes the long way: read back what is loaded, compare with a compilation from scratch, load the difference.
 */
import { setTimeout as setTimer } from 'node:timers';
import { setTimeout } from 'node:timers/promises';
import { HostCompiler, isGrowth, tableFamilies, type CompileOptions, type Touched } from '../compiler/index.js';
import {
  type AddressGroup,
  applyTo,
  diffTopologies,
  EMPTY_TOPOLOGY,
  isEmpty,
  type Port,
  type SecurityGroup,
  type Topology,
  type TopologyChanges,
} from '../compiler/model/index.js';
import type { Backend, BackendParts, Comparison, Overtaking, Plan } from './backends/backend.js';
import type { BackendName } from './kernel/backend-name.js';
import { IptablesBackend } from './backends/iptables.js';
import { NftablesBackend } from './backends/nftables.js';
import { closeTables, closingMessages, closingText, type Closing, type Opened } from './closing.js';
import { Commits } from './commits.js';
import { CountingSince } from './counting-since.js';
import { deviceOf, LinkTable } from './devices.js';
import { FormerDevices, isFormerDevice } from './former.js';
import { isolate } from './isolate.js';
import { KernelError } from './kernel/errors.js';
import { tablesToClose, whatIsOpen } from './kernel/open.js';
import { endPrograms } from './kernel/program.js';
import type { CommitOrder, IptablesChanged, LinkEvent, TableChanged } from './watch/events.js';

/** Between tries after a failure, in milliseconds: doubled each time. */
const BACKOFF = { first: 50, most: 5000 };
/** A change that is not in the kernel after as long is late: the policy is not enforced. In milliseconds. */
const LATE_AFTER = 5000;
/** A starting agent that has loaded nothing for as long closes what is open; in milliseconds. */
const CLOSE_AFTER = 1000;
/** Programs that run when the agent is asked to stop may take as long; in milliseconds. */
const GRACE = 3000;
/** After as many in a row our tables are replaced as a whole, still in one transaction. */
const FAILURES_BEFORE_REPLACING = 3;
/** Ports that the kernel refused are tried again after this time; in milliseconds. */
const RETRY_REFUSED = 30_000;

export interface AppliedTransaction {
  /** How many there were; 0 when what is wanted was loaded. */
  readonly changes: number;
  /** `changes` is the short way. */
  readonly way: 'changes' | 'everything';
  /** Why the long way was taken. */
  readonly reason: string;
  /** Of the programs and the kernel alone. */
  readonly milliseconds: number;
  /** Since the oldest change in it was known. */
  readonly latency: number;
}

export interface EnforcerListener {
  readonly onApplied: (applied: AppliedTransaction) => void;
  /** Before rules are loaded where none are that live flows carry the bits of. */
  readonly onFirstLoad: () => Promise<void>;
  /** After a transaction of changes: the addresses whose live flows may be judged otherwise now. */
  readonly onTouched: (touched: Touched, isGrowth: boolean) => void;
  readonly onFailed: (error: Error, retryIn: number) => void;
  /** Somebody else changed our tables. */
  readonly onForeignChange: (pid: number, program: string) => void;
  /** What is loaded was not what was wanted, and nobody's change was noticed. */
  readonly onDrift: (changes: number) => void;
  /** Rules of others stood before ours, which go back to the front. */
  readonly onOvertaken: (overtaking: readonly Overtaking[]) => void;
  readonly onIsolated: (ports: ReadonlyMap<string, string>) => void;
  /** Tables were closed at once: after what somebody did to them, or since nothing can be loaded. */
  readonly onClosed: (opened: readonly Opened[]) => void;
  /** The watching process could not close. */
  readonly onNotClosed: (opened: readonly Opened[], why: string) => void;
  /** What the watching process must know: what to close with, and which transactions are ours. */
  readonly onClosing: (closing: Closing) => void;
  readonly onOwnCommit: (order: CommitOrder) => void;
  /** nft does not say what rules do in a form that is known: only their comments are compared. */
  readonly onBlind: () => void;
}

export class Enforcer {
  readonly compiler: HostCompiler;
  readonly links = new LinkTable();
  readonly counting = new CountingSince();
  readonly #backend: Backend;
  /** What hosts need of the topology, as the source gave it. */
  readonly #topology = {
    ports: new Map<string, Port>(),
    securityGroups: new Map<string, SecurityGroup>(),
    addressGroups: new Map<string, AddressGroup>(),
  };
  /** This host's ports as the compiler has them: with the devices that they have here. */
  readonly #local = new Map<string, Port>();
  /** When each of them last changed. */
  readonly #since = new Map<string, Date>();
  /** Ids of local ports by their own device names. */
  readonly #owners = new Map<string, string>();
  /** Ports that the kernel refused, and what it said. */
  readonly #refused = new Map<string, string>();
  /** Why everything must be compared; undefined when the short way will do. */
  #doubt: string | undefined = AT_START;
  #hasChanges = false;
  #changedAt: number | undefined;
  #running: Promise<void> | undefined;
  #isStarted = false;
  #isStopped = false;
  #backoff = BACKOFF.first;
  readonly #stopping = new AbortController();
  /** In a row. */
  #failures = 0;
  #lastError: string | undefined;
  #isEnforced = false;
  /** Of the source, of what was taken last; and of what was wanted when the last transaction that is in force began. */
  #revision: number | undefined;
  #applied: number | undefined;
  /** When the oldest change became known that no transaction has begun to bring in; on the monotonic clock. */
  #pendingSince: number | undefined;
  /** The same, of the transaction under way. */
  #runningSince: number | undefined;
  readonly #commits = new Commits({
    onOrder: (order) => {
      this.listener.onOwnCommit(order);
    },
    onSilence: () => {
      this.#isUnconfirmed = true;
      this.doubt('no notice of our own transaction came');
    },
  });
  /** Nobody told of a transaction of ours: what is loaded must be seen before anything is called enforced. */
  #isUnconfirmed = false;
  readonly #former: FormerDevices;
  /** Somebody changed our tables while a transaction of ours was under way. */
  #isDisturbed = false;
  /** Tables that must be closed before anything else is done. */
  #toClose: readonly Opened[] = [];
  #closing: Promise<void> | undefined;
  #isWatched = false;
  #overtaking: readonly Overtaking[] = [];
  /** Counts what changed: of what is wanted, and of what is loaded by us. */
  #step = 0;
  /** This process brought a policy into the kernel. */
  #wasInForce = false;
  /** What was open was closed, since nothing can be loaded. */
  #isShut = false;
  /** How often tables were closed, and how many of these closings a comparison that began later has taken back. */
  #closings = 0;
  #reopened = 0;
  #closeLater: NodeJS.Timeout | undefined;
  /** Devices that are closed when a table opens, as they were told last. */
  #closingFor: string | undefined;

  constructor(
    private readonly isLocal: (port: Port) => boolean,
    private readonly options: CompileOptions,
    private readonly backend: BackendName,
    private readonly listener: EnforcerListener,
  ) {
    const isOurs = (port: Port): boolean => isFormerDevice(port) || this.isLocal(port);
    this.compiler = new HostCompiler(isOurs, options);
    this.#former = new FormerDevices(options);
    const parts: BackendParts = {
      onWritten: (transaction) => {
        this.counting.wrote(transaction);
      },
      applyNft: async (text) => this.#commits.apply(text),
      commitRules: async (program, tables, start) => this.#commits.run(program, tables, start),
      isLocal: isOurs,
    };
    this.#backend =
      backend === 'nftables'
        ? new NftablesBackend(this.compiler, options, parts)
        : new IptablesBackend(this.compiler, options, parts);
  }

  /** Takes a topology; the first one starts the enforcement. */
  setTopology(topology: Topology): void {
    this.changeTopology(diffTopologies({ ...EMPTY_TOPOLOGY, ...this.#topology }, topology));
  }

  /** What was taken last is this revision of the source's; undefined where it has none. */
  setRevision(revision: number | undefined): void {
    this.#revision = revision;
  }

  /** The newest revision whose rules the kernel holds; undefined while there is none, or the source has none. */
  get revisionInForce(): number | undefined {
    return this.isIdle && this.isEnforced ? this.#revision : this.#applied;
  }

  /** Takes what changed; after the first topology. */
  changeTopology(changes: TopologyChanges): void {
    for (const id of changes.ports.keys()) {
      const before = this.#local.get(id);
      if (before === undefined) continue;
      this.#local.delete(id);
      this.#since.delete(id);
      const own = this.#topology.ports.get(id)?.device ?? '';
      if (this.#owners.get(own) === id) this.#owners.delete(own);
    }
    applyTo(this.#topology.ports, changes.ports);
    applyTo(this.#topology.securityGroups, changes.securityGroups);
    applyTo(this.#topology.addressGroups, changes.addressGroups);
    const locals = [...changes.ports.values()].flatMap((port) =>
      port !== undefined && this.isLocal(port) ? [port] : [],
    );
    for (const port of locals) this.#owners.set(port.device, port.id);
    const ports = new Map(changes.ports);
    for (const port of locals) ports.set(port.id, this.#effective(port));
    this.#update({ ...changes, ports });
    this.#isStarted = true;
    this.#kick();
  }

  /** Devices that were ports' before this process began: they stay closed when no port has them. */
  remember(devices: Iterable<string>): void {
    this.#former.remember(devices);
    this.#prepareClosing();
  }

  /** Devices that are closed since they were a port's once. */
  get formerDevices(): readonly string[] {
    return this.#former.devices;
  }

  /** Leaves a former device alone. @returns false when it is none. */
  release(device: string): boolean {
    if (!this.#former.release(device)) return false;
    this.#update({ ports: new Map(), securityGroups: new Map(), addressGroups: new Map() });
    this.#kick();
    return true;
  }

  /** From now on notices are heard, and what was missed before is looked for. Nothing is done before the first call. */
  watchBegins(): void {
    if (this.#isWatched) {
      this.#commits.forget();
      this.doubt('notices were lost');
      // Those of many changes at once (a flush of many rules) are what ends a watching process.
      void this.#closeMeanwhile();
    }
    this.#isWatched = true;
    this.#kick();
  }

  /** Takes news of links. */
  setLinks(event: LinkEvent): void {
    const touched = this.links.take(event);
    const ids = new Set(touched.ports);
    for (const name of touched.names) {
      const owner = this.#owners.get(name);
      if (owner !== undefined) ids.add(owner);
    }
    const ports = new Map<string, Port>();
    for (const id of ids) {
      const port = this.#topology.ports.get(id);
      if (port === undefined || !this.isLocal(port)) continue;
      const before = this.#local.get(id)?.device;
      const effective = this.#effective(port);
      if (effective.device !== before) ports.set(id, effective);
    }
    this.#update({ ports, securityGroups: new Map(), addressGroups: new Map() });
    this.#kick();
  }

  tableChanged(change: TableChanged): void {
    const { pid, program, opened, isClosing, mayBeOurs } = change;
    if (isClosing) this.#closings++;
    if (this.#commits.claims(change)) {
      if (isClosing) this.doubt('a change of ours was taken for somebody else’s');
      return;
    }
    if (!mayBeOurs) {
      this.listener.onForeignChange(pid, program);
      if (opened.length > 0 && !isClosing) this.#closeAtOnce(opened);
    }
    this.#isDisturbed = true;
    this.doubt(`changed by ${program} (process ${pid.toString()})`);
  }

  iptablesChanged(change: IptablesChanged): void {
    // What another backend left there is no rule of ours any more.
    if (!this.#backend.isInIptablesNft || this.#commits.claims(change)) return;
    const { pid, program, isGone } = change;
    this.listener.onForeignChange(pid, program);
    if (isGone) this.#closeAtOnce([{ family: tableFamilies(this.options.datapath).policy, how: 'unguarded' }]);
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
      this.listener.onClosed(opened);
      return;
    }
    this.listener.onNotClosed(opened, error);
    this.#closeAtOnce(opened);
    this.doubt('the watching process could not close');
  }

  /** Compares everything at the next opportunity. */
  doubt(reason: string): void {
    if (!isMereLook(reason)) this.#doubt = reason;
    else this.#doubt ??= reason;
    // A comparison that nothing asked for is no sign that anything is wrong.
    if (reason !== VERIFICATION) this.#pendingSince ??= performance.now();
    this.#kick();
  }

  /** True when the kernel holds the policy, as far as is known: what was closed meanwhile is more than that. */
  get isEnforced(): boolean {
    const isClosed = this.#closings > this.#reopened;
    return this.#isEnforced && !isClosed && !this.#isUnconfirmed && this.lateFor === undefined;
  }

  /** For how long the oldest change has waited that is not in force, in milliseconds; undefined while none has waited for long. */
  get lateFor(): number | undefined {
    const since = this.#runningSince ?? this.#pendingSince;
    if (since === undefined || !this.#isStarted) return undefined;
    const age = performance.now() - since;
    return age > LATE_AFTER ? age : undefined;
  }

  /** True when everything that is known is in the kernel, as far as is known: nothing is under way or waits. */
  get isIdle(): boolean {
    return this.#running === undefined && !this.#hasWork();
  }

  /** What of a former packet filter could not be removed. */
  get leftover(): string | undefined {
    return this.#backend.leftover;
  }

  /** Rules of others that stand before ours, as far as is known. */
  get overtaking(): readonly Overtaking[] {
    return this.#overtaking;
  }

  get lastError(): string | undefined {
    if (this.#lastError === undefined) return undefined;
    return this.#isShut ? `closed, until rules can be loaded: ${this.#lastError}` : this.#lastError;
  }

  /** This host's ports, with the devices that they have here. */
  localPorts(): Iterable<Port> {
    return this.#local.values();
  }

  /** True for a device of a port of this host. */
  isPortDevice(name: string): boolean {
    return this.#owners.has(name) || [...this.#local.values()].some(({ device }) => device === name);
  }

  /** When a port of this host last changed. */
  since(id: string): Date {
    return this.#since.get(id) ?? new Date();
  }

  /** What the kernel said of a port that it refused; undefined for all others. */
  refusal(id: string): string | undefined {
    return this.#refused.get(id);
  }

  /** Ports that the kernel refused, by id, and what it said. */
  refusals(): Iterable<readonly [string, string]> {
    return this.#refused;
  }

  /** Done when there is nothing left to do. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** The rules stay. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopping.abort();
    clearTimeout(this.#closeLater);
    // What hangs must not keep us; what only takes its time may end in order.
    const ended = new AbortController();
    void setTimeout(GRACE, undefined, { signal: ended.signal }).then(endPrograms, () => undefined);
    await this.idle();
    ended.abort();
  }

  #effective(port: Port): Port {
    const device = deviceOf(port, this.links, (name) => (this.#owners.get(name) ?? port.id) !== port.id);
    const isRefused = this.#refused.has(port.id);
    const effective: Port = {
      ...port,
      device,
      ...(isRefused ? { filtering: 'down', securityGroupIds: [], allowedAddressPairs: [] } : {}),
    };
    this.#local.set(port.id, effective);
    this.#former.remember([device]);
    this.#since.set(port.id, new Date());
    return effective;
  }

  #update(changes: TopologyChanges): void {
    const former = this.#former.update(() => [...this.#local.values()].map(({ device }) => device));
    const all = former.size === 0 ? changes : { ...changes, ports: new Map([...changes.ports, ...former]) };
    this.#prepareClosing();
    if (isEmpty(all)) return;
    this.compiler.update(all);
    this.#step++;
    this.#hasChanges = true;
    this.#changedAt ??= performance.now();
    this.#pendingSince ??= performance.now();
  }

  /** Does not wait for what is under way: that may take long, and has not seen what happened. */
  #closeAtOnce(opened: readonly Opened[]): void {
    if (this.options.audit || this.#isStopped) return;
    const others = this.#toClose.filter(({ family }) => !opened.some((one) => one.family === family));
    this.#toClose = [...others, ...opened];
    // Counted as it begins and as it ends: a comparison that began between may have read either.
    this.#closings++;
    this.#closing ??= this.#close().finally(() => {
      this.#closing = undefined;
    });
  }

  async #close(): Promise<void> {
    while (this.#toClose.length > 0) {
      const opened = this.#toClose;
      this.#toClose = [];
      const devices = this.#devicesToClose();
      try {
        const apply = this.#commits.applyMessages.bind(this.#commits);
        await closeTables(apply, closingMessages(this.options, devices), opened);
      } catch (error) {
        this.listener.onNotClosed(opened, error instanceof Error ? error.message : String(error));
        try {
          await this.#commits.apply(closingText(this.options, devices, opened));
        } catch {
          // The comparison that follows says what is wrong.
          continue;
        }
      }
      this.#closings++;
      this.listener.onClosed(opened);
    }
  }

  /**
   * Closes what nothing loaded closes: what cannot be loaded must not be open. Needs no nft. Tables that are there stay as they are:
   * the former rules stand.
   * @param isStillNeeded asked when it is known what is open: a load may have come to its end meanwhile.
   * @returns false when nothing is open.
   */
  async #closeWhatIsOpen(isStillNeeded = (): boolean => true): Promise<boolean> {
    if (this.options.audit || this.#isStopped) return false;
    let opened: readonly Opened[];
    try {
      opened = tablesToClose(await whatIsOpen(), this.#devicesToClose(), {
        backend: this.backend,
        datapath: this.options.datapath,
        wasInForce: this.#wasInForce,
      });
    } catch (error) {
      this.listener.onNotClosed([], error instanceof Error ? error.message : String(error));
      return false;
    }
    if (opened.length === 0 || !isStillNeeded()) return false;
    this.#closeAtOnce(opened);
    await this.#closing;
    this.#isShut = true;
    return true;
  }

  /** Tells what to close with when somebody opens a table, where that has changed. */
  #prepareClosing(): void {
    if (this.options.audit) return;
    const devices = this.#devicesToClose();
    const asText = devices.join(' ');
    if (asText === this.#closingFor) return;
    this.#closingFor = asText;
    this.listener.onClosing(closingMessages(this.options, devices));
  }

  /** Those that are or were ports', of those that the managed prefix does not close, but for ports that are not filtered. */
  #devicesToClose(): readonly string[] {
    const { known } = this.#former;
    if (known.length === 0) return known;
    const open = new Set(
      [...this.#local.values()].flatMap(({ filtering, device }) => (isUnfiltered(filtering) ? [device] : [])),
    );
    return known.filter((device) => !open.has(device));
  }

  #kick(): void {
    if (!this.#isStarted || !this.#isWatched || !this.#hasWork()) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // What came between the last look for work and now.
      this.#kick();
    });
  }

  #hasWork(): boolean {
    return !this.#isStopped && (this.#doubt !== undefined || this.#hasChanges);
  }

  async #run(): Promise<void> {
    // Whatever else arrives in this turn of the event loop goes along.
    await Promise.resolve();
    this.#closeIfLate();
    while (this.#hasWork()) {
      await this.#closing;
      this.#step++;
      this.#isDisturbed = false;
      const reason = this.#doubt;
      const revision = this.#revision;
      this.#runningSince = this.#pendingSince;
      this.#pendingSince = undefined;
      try {
        if (!(await this.#carryOut(reason))) {
          // Nothing was loaded: what is in force, and since when something else is wanted, is as before.
          this.#pendingSince = this.#runningSince ?? this.#pendingSince;
          this.#runningSince = undefined;
          continue;
        }
        this.#backoff = BACKOFF.first;
        this.#failures = 0;
        this.#isEnforced = true;
        // A doubt that came meanwhile is looked into first.
        if (!this.#isUnconfirmed && this.#doubt === undefined) this.#applied = revision;
        this.#wasInForce = true;
        this.#isShut = false;
        clearTimeout(this.#closeLater);
        this.#lastError = undefined;
        this.#runningSince = undefined;
      } catch (error) {
        await this.#failed(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  /** @returns false where nothing was loaded, since the kernel refused ports: without them it is to be tried again. */
  async #carryOut(reason: string | undefined): Promise<boolean> {
    if (reason === undefined) {
      await this.#applyChanges();
      return true;
    }
    return isMereLook(reason) ? this.#lookAgain(reason) : this.#applyEverything(reason);
  }

  /** Of a program that hangs at the start nothing is known: what is open then is closed meanwhile. */
  #closeIfLate(): void {
    if (this.#wasInForce || this.#closeLater !== undefined) return;
    this.#closeLater = setTimer(() => void this.#closeMeanwhile(), CLOSE_AFTER);
    this.#closeLater.unref();
  }

  /** What is under way may have begun with what was there before. */
  async #closeMeanwhile(): Promise<void> {
    if (await this.#closeWhatIsOpen(() => !this.#wasInForce)) this.doubt('closed meanwhile');
  }

  async #failed(error: Error): Promise<void> {
    // What somebody did meanwhile made it fail: that says nothing of the policy.
    const isDisturbed = this.#isDisturbed;
    if (isDisturbed) this.#backoff = BACKOFF.first;
    this.#doubt ??= 'a transaction failed';
    this.#pendingSince = this.#runningSince ?? this.#pendingSince ?? performance.now();
    this.#runningSince = undefined;
    this.#isEnforced = false;
    await this.#closeWhatIsOpen();
    this.#lastError = error.message;
    this.listener.onFailed(error, this.#backoff);
    if (!isDisturbed) this.#failures++;
    await setTimeout(this.#backoff, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    if (!isDisturbed) this.#backoff = Math.min(2 * this.#backoff, BACKOFF.most);
  }

  async #applyChanges(): Promise<void> {
    this.#hasChanges = false;
    const changedAt = this.#takeChangedAt();
    const { transaction, touched } = this.compiler.take();
    const plan = this.#backend.change(transaction, touched);
    if (plan.changes > 0) {
      const startedAt = performance.now();
      await plan.apply();
      this.#report(plan, 'changes', '', startedAt, changedAt);
    }
    const onlyGrows = transaction.every((change) => change.kind === 'update' && isGrowth(change.changes));
    this.listener.onTouched(touched, onlyGrows);
  }

  /** Changes of the policy come first: they are no drift. */
  async #lookAgain(reason: string): Promise<boolean> {
    this.#doubt = undefined;
    if (this.#hasChanges) await this.#applyChanges();
    return this.#applyEverything(this.#doubtOr(reason));
  }

  /** What came meanwhile says more. */
  #doubtOr(reason: string): string {
    return this.#doubt ?? reason;
  }

  /** @returns false where nothing was loaded: see {@link #carryOut}. */
  async #applyEverything(reason: string): Promise<boolean> {
    // Cleared first: a doubt that comes while we read counts.
    this.#doubt = undefined;
    const closings = this.#closings;
    const wasChanged = this.#hasChanges;
    this.#hasChanges = false;
    const changedAt = this.#takeChangedAt();
    try {
      const startedAt = performance.now();
      const plan = await this.#backend.plan(this.#failures >= FAILURES_BEFORE_REPLACING);
      // What came while we read is in the plan, and no drift: of a plan with both nothing is said.
      const isNews = wasChanged || this.#hasChanges;
      if (isMereLook(reason) && plan.changes > 0 && !isNews) this.listener.onDrift(plan.changes);
      if (!plan.areBodiesKnown) this.listener.onBlind();
      this.#overtaking = plan.overtaking;
      if (this.#overtaking.length > 0) this.listener.onOvertaken(this.#overtaking);
      // Whoever took our tables away later left flows that nobody vouches for.
      if (plan.isFirst && reason === AT_START) await this.listener.onFirstLoad();
      try {
        await plan.apply();
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
        await this.#isolate(error);
        this.#doubt = 'ports that the kernel refuses were closed';
        return false;
      }
      this.#overtaking = [];
      if (this.#isUnconfirmed) await this.#confirm(plan);
      this.#reopened = closings;
      this.#report(plan, 'everything', reason, startedAt, changedAt);
      return true;
    } catch (error) {
      this.#doubt ??= reason;
      throw error;
    }
  }

  /**
   * Looks whether what a plan was to bring is there.
   * @throws KernelError `ineffective` when it is not, whatever the program said.
   */
  async #confirm(plan: Comparison): Promise<void> {
    if (plan.changes > 0 && (await plan.remaining()) > 0) {
      throw new KernelError(
        'ineffective',
        'nft said that it had applied a transaction, and what is loaded is not that',
      );
    }
    this.#isUnconfirmed = false;
  }

  /** Closes the ports without which the kernel takes the rest. Throws the error when no port is at fault. */
  async #isolate(error: KernelError): Promise<void> {
    // Somebody else's change between our look and our transaction looks the same: only what is refused by itself counts.
    const all = [...this.#local.values()].filter(({ filtering }) => filtering === 'filtered');
    const found = await isolate(all, async (ports) => {
      const ids = new Set(ports.map(({ id }) => id));
      return this.#backend.wouldTake(({ id }) => ids.has(id));
    });
    if (found === 'not the ports') throw error;
    if (found.length === 0) throw error;
    for (const port of found) this.#refused.set(port.id, error.message);
    const ports = new Map(
      found.flatMap(({ id }): [string, Port][] => {
        const port = this.#topology.ports.get(id);
        return port === undefined ? [] : [[id, this.#effective(port)]];
      }),
    );
    this.#update({ ports, securityGroups: new Map(), addressGroups: new Map() });
    this.listener.onIsolated(new Map(this.#refused));
    void this.#retryRefused();
  }

  async #retryRefused(): Promise<void> {
    await setTimeout(RETRY_REFUSED, undefined, { ref: false });
    const ids = [...this.#refused.keys()];
    if (this.#isStopped || ids.length === 0) return;
    this.#refused.clear();
    const ports = new Map(
      ids.flatMap((id): [string, Port][] => {
        const port = this.#topology.ports.get(id);
        return port === undefined || !this.isLocal(port) ? [] : [[id, this.#effective(port)]];
      }),
    );
    this.#update({ ports, securityGroups: new Map(), addressGroups: new Map() });
    this.doubt('refused ports are tried again');
  }

  #takeChangedAt(): number | undefined {
    const changedAt = this.#changedAt;
    this.#changedAt = undefined;
    return changedAt;
  }

  #report(
    { changes }: Plan,
    way: AppliedTransaction['way'],
    reason: string,
    startedAt: number,
    changedAt: number | undefined,
  ): void {
    const now = performance.now();
    this.listener.onApplied({
      changes,
      way,
      reason,
      milliseconds: now - startedAt,
      latency: now - (changedAt ?? startedAt),
    });
  }
}

function isUnfiltered(filtering: Port['filtering']): boolean {
  return filtering === 'port-security-off' || filtering === 'trusted';
}

/** The reason of the first comparison. */
const AT_START = 'start';

/** The reason of a comparison after a look at what the kernel tells nobody of. */
const LOOK = 'a look at iptables and ipset';

/** The reason of a comparison that nothing asked for. */
export const VERIFICATION = 'verification';

/** True where nobody has told of anything: what is loaded should be what we left there. */
function isMereLook(reason: string): boolean {
  return reason === VERIFICATION || reason === LOOK;
}
