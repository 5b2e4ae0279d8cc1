/**
 * The reconcile loop: keeps the kernel equal to the policy.
 *
 * One transaction is under way at a time; what changes meanwhile goes into the next. A change takes the short way (the
 * steps that the incremental compiler gives). At the start, in doubt, after a failure and on somebody else's change to our
 * tables it takes the long way: read back what is loaded, compare with a compilation from scratch, load the difference.
 */
import { setTimeout } from 'node:timers/promises';
import { HostCompiler, type CompileOptions, type Touched, type Transaction } from '../compiler/index.js';
import {
  type AddressGroup,
  diffTopologies,
  EMPTY_TOPOLOGY,
  isEmpty,
  type Port,
  type SecurityGroup,
  type Topology,
  type TopologyChanges,
} from '../src/model/index.js';
import type { Backend, BackendName, Plan } from './backends/backend.js';
import { IptablesBackend } from './backends/iptables.js';
import { NftablesBackend } from './backends/nftables.js';
import { deviceOf, LinkTable } from './devices.js';
import { isolate } from './isolate.js';
import { KernelError } from './kernel/errors.js';
import { applyText, isOwnPid } from './kernel/nft.js';
import type { WatchEvent } from './watch/events.js';

/** Between tries after a failure, in milliseconds: doubled each time. */
const BACKOFF = { first: 50, most: 5000 };
/** A notice of our own transaction comes within this time of its start; in milliseconds. */
const NOTICE_WITHIN = 2000;
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
  /** After a transaction of changes: the addresses whose live flows may be judged otherwise now. */
  readonly onTouched: (touched: Touched, isGrowth: boolean) => void;
  readonly onFailed: (error: Error, retryIn: number) => void;
  /** Somebody else changed our tables. */
  readonly onForeignChange: (pid: number, program: string) => void;
  /** What is loaded was not what was wanted, and nobody's change was noticed. */
  readonly onDrift: (changes: number) => void;
  readonly onIsolated: (ports: ReadonlyMap<string, string>) => void;
}

export class Enforcer {
  readonly compiler: HostCompiler;
  readonly links = new LinkTable();
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
  #doubt: string | undefined = 'start';
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
  /** In a process namespace of our own the kernel's process ids are not ours: then our notices are counted. */
  #arePidsOurs = false;
  /** When we made transactions that no notice was heard of yet. */
  #unclaimed: number[] = [];
  #isWatched = false;

  constructor(
    private readonly isLocal: (port: Port) => boolean,
    options: CompileOptions,
    backend: BackendName,
    private readonly listener: EnforcerListener,
  ) {
    this.compiler = new HostCompiler((port) => this.isLocal(port), options);
    const parts = { applyNft: async (text: string) => this.#applyNft(text), isLocal };
    this.#backend =
      backend === 'nftables'
        ? new NftablesBackend(this.compiler, options, parts)
        : new IptablesBackend(this.compiler, options, parts);
  }

  /** Takes a topology; the first one starts the enforcement. */
  setTopology(topology: Topology): void {
    this.changeTopology(diffTopologies({ ...EMPTY_TOPOLOGY, ...this.#topology }, topology));
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

  /** From now on notices are heard, and what was missed before is looked for. Nothing is done before the first call. */
  watchBegins(): void {
    if (this.#isWatched) this.doubt('notices were lost');
    this.#isWatched = true;
    this.#kick();
  }

  /** Takes news of links. */
  setLinks(event: Exclude<WatchEvent, { kind: 'table-changed' }>): void {
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

  tableChanged(pid: number, program: string): void {
    if (isOwnPid(pid)) {
      this.#arePidsOurs = true;
      return;
    }
    const since = performance.now() - NOTICE_WITHIN;
    this.#unclaimed = this.#unclaimed.filter((madeAt) => madeAt >= since);
    if (!this.#arePidsOurs && program === 'nft' && this.#unclaimed.shift() !== undefined) return;
    this.listener.onForeignChange(pid, program);
    this.doubt(`changed by ${program} (process ${pid.toString()})`);
  }

  /** Compares everything at the next opportunity. */
  doubt(reason: string): void {
    this.#doubt = reason;
    this.#kick();
  }

  /** True when the kernel holds the policy, as far as is known. */
  get isEnforced(): boolean {
    return this.#isEnforced;
  }

  /** True when everything that is known is in the kernel, as far as is known: nothing is under way or waits. */
  get isIdle(): boolean {
    return this.#running === undefined && !this.#hasWork();
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** This host's ports, with the devices that they have here. */
  localPorts(): Iterable<Port> {
    return this.#local.values();
  }

  /** When a port of this host last changed. */
  since(id: string): Date {
    return this.#since.get(id) ?? new Date();
  }

  /** What the kernel said of a port that it refused; undefined for all others. */
  refusal(id: string): string | undefined {
    return this.#refused.get(id);
  }

  /** Done when there is nothing left to do. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** The rules stay. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopping.abort();
    await this.idle();
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
    this.#since.set(port.id, new Date());
    return effective;
  }

  #update(changes: TopologyChanges): void {
    if (isEmpty(changes)) return;
    this.compiler.update(changes);
    this.#hasChanges = true;
    this.#changedAt ??= performance.now();
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
    while (this.#hasWork()) {
      const reason = this.#doubt;
      try {
        if (reason === undefined) await this.#applyChanges();
        else await this.#applyEverything(reason);
        this.#backoff = BACKOFF.first;
        this.#failures = 0;
        this.#isEnforced = true;
        this.#lastError = undefined;
      } catch (error) {
        await this.#failed(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  async #failed(error: Error): Promise<void> {
    this.#doubt ??= 'a transaction failed';
    this.#isEnforced = false;
    this.#lastError = error.message;
    this.listener.onFailed(error, this.#backoff);
    this.#failures++;
    await setTimeout(this.#backoff, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    this.#backoff = Math.min(2 * this.#backoff, BACKOFF.most);
  }

  async #applyChanges(): Promise<void> {
    this.#hasChanges = false;
    const changedAt = this.#takeChangedAt();
    const { transaction, touched } = this.compiler.take();
    if (transaction.length > 0) {
      const plan = this.#backend.change(transaction);
      const startedAt = performance.now();
      await plan.apply();
      this.#report(plan, 'changes', '', startedAt, changedAt);
    }
    this.listener.onTouched(touched, isGrowth(transaction));
  }

  async #applyEverything(reason: string): Promise<void> {
    // Cleared first: a doubt that comes while we read counts.
    this.#doubt = undefined;
    this.#hasChanges = false;
    const changedAt = this.#takeChangedAt();
    try {
      const startedAt = performance.now();
      const plan = await this.#backend.plan(this.#failures >= FAILURES_BEFORE_REPLACING);
      if (reason === VERIFICATION && plan.changes > 0) this.listener.onDrift(plan.changes);
      try {
        await plan.apply();
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'refused') throw error;
        await this.#isolate(error);
        this.#doubt = 'ports that the kernel refuses were closed';
        return;
      }
      this.#report(plan, 'everything', reason, startedAt, changedAt);
    } catch (error) {
      this.#doubt ??= reason;
      throw error;
    }
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

  async #applyNft(text: string): Promise<void> {
    this.#unclaimed.push(performance.now());
    await applyText(text);
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

/** True when nothing but members of remote groups and address groups came: no permission went. */
function isGrowth(transaction: Transaction): boolean {
  return transaction.every(
    (change) =>
      change.kind === 'update' &&
      change.changes.every((step) => step.kind === 'add-elements' && /^[sa]g_/.test(step.set)),
  );
}

/** The reason of a comparison that nothing asked for. */
export const VERIFICATION = 'verification';

function applyTo<T>(known: Map<string, T>, changes: ReadonlyMap<string, T | undefined>): void {
  for (const [id, value] of changes) {
    if (value === undefined) known.delete(id);
    else known.set(id, value);
  }
}
