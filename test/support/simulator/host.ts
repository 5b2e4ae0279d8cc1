/**
 * A host on which an agent's reconcile loop runs: the loop and the packet filter below it are real; the kernel, nft, the watching
 * process, the source and time are simulated. After every step it looks whether the loop keeps its promises.
 */
import { closingTables, closingText, type Opened } from '../../../agent/closing.js';
import { NftablesBackend } from '../../../agent/backends/nftables.js';
import { Enforcer } from '../../../agent/enforcer.js';
import type { Applied, LoopEvent } from '../../../agent/events.js';
import { SourceGate } from '../../../agent/gate.js';
import type { Link } from '../../../agent/netlink/links.js';
import type { LinkEvent } from '../../../agent/watch/events.js';
import { DEFAULT_OPTIONS, type CompileOptions, type TableFamily } from '../../../compiler/index.js';
import { isOnHost, type Frame, type Port, type Topology } from '../../../compiler/model/index.js';
import { frameOf } from '../arbitrary-topology.js';
import { settle, VirtualClock } from './clock.js';
import { SimulatedKernel, type Commit, type Machine } from './kernel.js';
import { Packets, passes, type Probe } from './packets.js';
import { DEVICES, HOST, type Foreign, type Step } from './script.js';
import { countChanged, type FakeTable, type FakeTables } from './tables.js';
import { portsHere, Wanted } from './wanted.js';

/** From the kernel to whoever is told, in milliseconds. */
const PIPE = 3;
/** A transaction that nobody tells of is doubted after a second; what is said of it until then is no lie. In milliseconds. */
const TOLD_WITHIN = 1010;
const STARTING = 20;
/** Longer than a refused port waits for the next try, after the longest back-off and deadline. In milliseconds. */
const UNTIL_QUIET = 140_000;
/** Somebody else's process, and the watching process's socket. */
const FOREIGN_PORT = 77;
const WATCHING_PORT = 78;
const TAKEN_BACK = 'add rule';

export class BrokenPromise extends Error {}

interface Agent {
  readonly enforcer: Enforcer;
  readonly gate: SourceGate;
  /** Devices that were ports' as far as it knows. */
  readonly known: Set<string>;
  isAlive: boolean;
}

export class SimulatedHost {
  readonly clock = new VirtualClock();
  readonly applied: Applied[] = [];
  /** Of each transaction of the agent's: objects that it names, and objects that it changed. */
  readonly steps: { readonly asked: number; readonly changed: number }[] = [];
  /** How often the agent was told of another policy or link. What is plugged anew goes first, and is two. */
  told = 0;
  readonly log: string[] = [];
  readonly #options: CompileOptions;
  readonly #kernel: SimulatedKernel;
  readonly #packets: Packets;
  #agent: Agent;
  #topology: Topology;
  #revision = 0;
  #isHeld = true;
  readonly #links = new Map<string, Link>();
  #nextIndex = 10;
  /** Links as the agent was told of them. */
  #told: ReadonlyMap<string, Link> = new Map();
  /** Wanted one after the other, from the last one that the kernel held. */
  #wanted: Wanted[] = [];
  /** The watching process: its life, and what it has said and nobody heard. */
  #watch = { life: 0, isAlive: false, inPipe: 0, closing: undefined as readonly string[] | undefined };
  readonly #own = new Set<number>();
  #isKnownBy = 0;
  /** A transaction of the agent's that nobody told of, though somebody listened. */
  #unheard: { readonly life: number; readonly at: number; readonly until: number } | undefined;
  /** Devices that the kernel refused at any time. */
  readonly #everRefused = new Set<string>();
  #refusedBefore = '';
  #probes: readonly Probe[] = [];

  constructor(
    options: Partial<CompileOptions>,
    topology: Topology,
    machine: Machine,
    private readonly frames: readonly Frame[] = [],
  ) {
    this.#options = { ...DEFAULT_OPTIONS, ...options };
    this.#packets = new Packets(this.#options);
    this.#packets.learn(closingTables(this.#options, [...DEVICES, 'vnet9', 'eth0']));
    this.#kernel = new SimulatedKernel(this.clock, this.#options, machine, (commit) => {
      this.#committed(commit);
    });
    this.#topology = topology;
    this.#agent = this.#begin();
  }

  /** Lets time pass. */
  async wait(milliseconds: number): Promise<void> {
    await this.clock.advance(milliseconds, async () => {
      await settle();
      this.#look();
    });
  }

  async take(step: Step): Promise<void> {
    this.log.push(`${this.clock.now().toString()} ${JSON.stringify(step)}`);
    this.#happens(step);
    await this.wait(0);
  }

  /** The source says something else. */
  say(topology: Topology): void {
    this.#topology = topology;
    if (!this.#isHeld) this.#tell();
  }

  /** Nothing happens any more: what is wanted must be in force, and said to be. */
  async end(): Promise<void> {
    this.#kernel.fates.length = 0;
    await this.wait(UNTIL_QUIET);
    // A port that the kernel refuses is tried again for ever: that may be under way just then.
    if (this.#kernel.refusedDevices.size > 0) await this.flush();
    const { enforcer } = this.#agent;
    if (!enforcer.isIdle) this.#broken('it is not done');
    if (!enforcer.isEnforced) this.#broken(`it does not say that it enforces: ${enforcer.lastError ?? 'no error'}`);
    if (enforcer.revisionInForce !== this.#revision) {
      this.#broken(
        `revision ${String(enforcer.revisionInForce)} is said to be in force, ${this.#revision.toString()} is`,
      );
    }
    this.#compare();
    const devices = new Map(
      portsHere({ topology: this.#topology, links: this.#told }).map((port) => [port.id, port.device]),
    );
    for (const id of this.#refused()) {
      const device = devices.get(id);
      if (device !== undefined && !this.#kernel.refusedDevices.has(device))
        this.#broken(`${device} is closed for ever`);
    }
  }

  /** Waits until nothing is under way. */
  async flush(): Promise<void> {
    for (let turns = 0; turns < 100 && !this.#isQuiet(); turns++) await this.wait(10);
  }

  #begin(): Agent {
    const isLocal = (port: Port): boolean => isOnHost(port, HOST);
    // A script may take all ports away at once.
    const gate = new SourceGate(isLocal, true);
    const agent = { isAlive: true, known: new Set(this.#kernel.devices()), gate };
    const isAlive = (): boolean => agent.isAlive;
    const { clock } = this;
    const enforcer = new Enforcer(
      isLocal,
      this.#options,
      {
        backend: 'nftables',
        makeBackend: (compiler, options, parts) => new NftablesBackend(compiler, options, parts),
        kernel: this.#kernel.driver(isAlive),
        clock: {
          now: clock.now,
          sleep: clock.sleep,
          after: (milliseconds, callback) =>
            clock.after(milliseconds, () => {
              if (agent.isAlive) callback();
            }),
        },
      },
      {
        tell: (event) => {
          this.#hear(event);
        },
        onFirstLoad: async () => Promise.resolve(),
        onTouched: () => undefined,
        onClosing: (devices) => {
          if (agent.isAlive) this.#watch.closing = devices;
        },
        onOwnCommit: (order) => {
          if (order.kind === 'own-begins') this.#own.add(order.portId);
        },
      },
    );
    enforcer.remember(agent.known, this.#kernel.tables.size > 0);
    this.#isHeld = true;
    this.clock.after(STARTING, () => {
      if (!agent.isAlive) return;
      this.#isHeld = false;
      this.#tell();
    });
    this.#watchAgain();
    return Object.assign(agent, { enforcer });
  }

  #hear(event: LoopEvent): void {
    const say = (text: string): number => this.log.push(`${this.clock.now().toString()}   ${text}`);
    if (event.kind === 'applied') {
      this.applied.push(event);
      say(`applied ${event.changes.toString()} by ${event.way} ${event.reason}`);
    } else if (event.kind === 'not-applied') say(`failed: ${event.error.message}`);
    else if (event.kind === 'ports-refused') say(`refused: ${[...event.ports.keys()].join()}`);
  }

  #tell(): void {
    const { enforcer, gate } = this.#agent;
    this.told++;
    const passage = gate.whole(this.#topology, undefined);
    if (passage.kind === 'held') throw new Error(passage.reason);
    enforcer.changeTopology(passage.changes);
    enforcer.setRevision(++this.#revision);
    this.#wants();
  }

  #refused(): readonly string[] {
    return [...this.#agent.enforcer.live.refusals].map(([id]) => id);
  }

  /** Ports that the agent closes are ports that the kernel refused. */
  #wantsLess(): void {
    const refused = this.#refused();
    if (refused.join() === this.#refusedBefore) return;
    this.#refusedBefore = refused.join();
    const ports = portsHere({ topology: this.#topology, links: this.#told });
    for (const { id, device } of ports) {
      if (refused.includes(id) && !this.#everRefused.has(device))
        this.#broken(`${device} was closed, and never refused`);
    }
    this.#wants();
  }

  /** What is wanted may be something else now. */
  #wants(): void {
    const { known } = this.#agent;
    for (const { device } of portsHere({ topology: this.#topology, links: this.#told })) known.add(device);
    const circumstances = {
      topology: this.#topology,
      links: this.#told,
      refused: new Set(this.#refused()),
      known: new Set(known),
    };
    const wanted = Wanted.of(circumstances, this.#options);
    this.#wanted.push(wanted);
    // What comes to the kernel is read back by what it was compiled from.
    this.#kernel.learn(wanted.ruleset.tables);
    this.#packets.learn(wanted.ruleset.tables);
    this.#probes = portsHere({ topology: this.#topology, links: this.#told }).flatMap((port) =>
      this.frames.flatMap((frame): Probe[] => [
        { device: port.device, direction: 'egress', frame: frameOf(port, frame) },
        { device: port.device, direction: 'ingress', frame },
      ]),
    );
  }

  #happens(step: Step): void {
    switch (step.kind) {
      case 'port':
      case 'rules':
      case 'offices':
        return;
      case 'plug': {
        const alias = step.alias === undefined ? '' : `port:port000${(step.alias + 1).toString()}-0000`;
        this.#unplug(step.device);
        // One device to an alias: of two, who came first has it.
        for (const link of [...this.#links.values()]) if (alias !== '' && link.alias === alias) this.#unplug(link.name);
        const link: Link = { index: this.#nextIndex++, name: step.device, alias, master: 0, kind: 'tun', isUp: true };
        this.#links.set(step.device, link);
        this.#toldOf({ kind: 'link', link });
        return;
      }
      case 'unplug':
        this.#unplug(step.device);
        return;
      case 'foreign':
        this.#changeByOthers(step.what, step.nth);
        return;
      case 'fault':
        this.#kernel.fates[step.after] = step.fate;
        return;
      case 'refuse':
        this.#kernel.refusedDevices.add(step.device);
        this.#everRefused.add(step.device);
        return;
      case 'refuse no more':
        this.#kernel.refusedDevices.clear();
        return;
      case 'watching process dies':
        this.#watch = { ...this.#watch, isAlive: false, life: this.#watch.life + 1, inPipe: 0 };
        this.#agent.enforcer.watchBegins();
        this.#watchAgain();
        return;
      case 'agent dies':
        this.#agent.isAlive = false;
        this.#watch = { isAlive: false, life: this.#watch.life + 1, inPipe: 0, closing: undefined };
        this.#told = new Map();
        this.#agent = this.#begin();
        return;
      case 'everything stands still':
        // Whatever the agent waits for may begin when it goes on.
        this.clock.jump(step.milliseconds);
        this.#isKnownBy += step.milliseconds;
        if (this.#unheard !== undefined) this.#unheard = { ...this.#unheard, until: this.#isKnownBy };
        return;
      case 'verification':
        void this.#agent.enforcer.verify();
    }
  }

  #watchAgain(): void {
    const { life } = this.#watch;
    this.clock.after(STARTING / 2, () => {
      if (this.#watch.life !== life) return;
      this.#watch = { ...this.#watch, isAlive: true };
      const links = new Map(this.#links);
      this.#pipe(() => {
        this.#told = links;
        this.#agent.enforcer.setLinks({ kind: 'links', links: [...links.values()] });
        this.#agent.enforcer.watchBegins();
        if (!this.#isHeld) this.#wants();
      });
    });
  }

  /** What the watching process says is heard in its order, a little later, unless either ends before. */
  #pipe(hear: () => void): void {
    const { life, isAlive } = this.#watch;
    if (!isAlive) return;
    this.#watch.inPipe++;
    this.clock.after(PIPE, () => {
      if (this.#watch.life !== life) return;
      this.#watch.inPipe--;
      hear();
    });
  }

  #toldOf(event: Exclude<LinkEvent, { kind: 'links' }>): void {
    const links = new Map(this.#links);
    this.#pipe(() => {
      this.#told = links;
      this.told++;
      this.#agent.enforcer.setLinks(event);
      if (!this.#isHeld) this.#wants();
    });
  }

  #unplug(device: string): void {
    const link = this.#links.get(device);
    if (link === undefined) return;
    this.#links.delete(device);
    this.#toldOf({ kind: 'link-gone', index: link.index });
  }

  /** The kernel tells whoever watches; what somebody opened is closed there. */
  #committed({ generation, portId, before, isHeard, asked }: Commit): void {
    if (portId === WATCHING_PORT) return;
    const isOwn = this.#own.has(portId);
    if (isOwn) {
      this.#judge(before);
      this.steps.push({ asked, changed: countChanged(before, this.#kernel.tables) });
    }
    if (!isHeard || !this.#watch.isAlive) {
      this.#isKnownBy = this.clock.now() + TOLD_WITHIN;
      if (this.#watch.isAlive) {
        this.#unheard = { life: this.#watch.life, at: this.clock.now(), until: this.#isKnownBy };
      }
      return;
    }
    const opened = openedBetween(before, this.#kernel.tables);
    const { closing, life } = this.#watch;
    const change = { generation, portId, pid: portId, program: isOwn ? 'nft' : 'other', opened, mayBeOurs: false };
    if (isOwn || closing === undefined) {
      this.#pipe(() => {
        this.#agent.enforcer.tableChanged({ ...change, isClosing: false });
      });
      return;
    }
    // Somebody else's: it is answered a moment later.
    const isTakenBack = this.#lastForeign === TAKEN_BACK;
    const isClosed = this.#lastForeign !== 'delete and close not';
    this.#watch.inPipe++;
    this.clock.after(1, () => {
      if (this.#watch.life !== life) return;
      this.#watch.inPipe--;
      if (opened.length > 0 && isClosed) this.#close(closing, opened);
      this.#pipe(() => {
        this.#agent.enforcer.tableChanged({ ...change, isClosing: opened.length > 0 || isTakenBack });
      });
      this.#pipe(() => {
        if (opened.length > 0) this.#agent.enforcer.tablesClosed(opened, isClosed ? undefined : 'it does not');
        if (isTakenBack) this.#agent.enforcer.doubt('what somebody added was taken back');
      });
    });
  }

  #lastForeign: Foreign | undefined;

  #close(devices: readonly string[], opened: readonly Opened[]): void {
    this.#kernel.commit(closingText(this.#options, devices, opened), WATCHING_PORT);
  }

  #changeByOthers(what: Foreign, nth: number): void {
    const after = changed(this.#kernel.tables, what, nth);
    if (after === undefined) return;
    this.#lastForeign = what;
    this.#kernel.replace(after, FOREIGN_PORT);
  }

  /** A transaction of ours may open nothing that neither policy allows: neither the one that was in force, nor any since. */
  #judge(before: FakeTables): void {
    this.#wantsLess();
    if (this.#probes.length === 0) return;
    const was = this.#packets.rulesetOf(before);
    const is = this.#packets.rulesetOf(this.#kernel.tables);
    for (const probe of this.#probes) {
      if (!passes(is, probe) || passes(was, probe)) continue;
      if (this.#wanted.some(({ ruleset }) => passes(ruleset, probe))) continue;
      this.#broken(
        `a transaction lets through what no policy does: ${probe.direction} ${probe.device} ${shown(probe.frame)}`,
      );
    }
    const loaded = this.#kernel.dump();
    const held = this.#wanted.findLastIndex((wanted) => wanted.dump === loaded);
    if (held > 0) this.#wanted = this.#wanted.slice(held);
  }

  /** After whatever happened. */
  #look(): void {
    if (!this.#isHeld) this.#wantsLess();
    this.#lookForUnseen();
    if (this.#agent.enforcer.isEnforced && this.#isQuiet()) this.#compare();
  }

  /** What nobody told of must be seen before it is called enforced. */
  #lookForUnseen(): void {
    if (this.#unheard === undefined) return;
    const { life, at, until } = this.#unheard;
    if (life !== this.#watch.life || this.#kernel.readAt > at) this.#unheard = undefined;
    else if (this.clock.now() > until && !this.clock.isCatchingUp && this.#agent.enforcer.isEnforced) {
      this.#broken('it says that it enforces what nobody has seen');
    }
  }

  /** Nothing is on its way to the agent, and nothing that it does is under way: what it says now is what it knows. */
  #isQuiet(): boolean {
    const { inPipe, isAlive } = this.#watch;
    return (
      isAlive &&
      inPipe === 0 &&
      !this.#isHeld &&
      this.#kernel.underWay === 0 &&
      this.#agent.enforcer.isIdle &&
      this.clock.now() > this.#isKnownBy &&
      !this.clock.isCatchingUp
    );
  }

  #compare(): void {
    const [loaded, wanted] = [this.#kernel.dump(), this.#wanted.at(-1)?.dump ?? ''];
    if (loaded !== wanted) this.#broken(`it says that it enforces, and does not:\n${difference(wanted, loaded)}`);
  }

  #broken(what: string): never {
    throw new BrokenPromise(`${what}\n${this.log.slice(-40).join('\n')}`);
  }
}

function shown(frame: Frame): string {
  return JSON.stringify(frame, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/** Lines that are in one alone. */
function difference(wanted: string, loaded: string): string {
  const [one, other] = [wanted.split('\n'), loaded.split('\n')];
  const [has, should] = [new Set(other), new Set(one)];
  return [
    ...one.filter((line) => !has.has(line)).map((line) => `- ${line}`),
    ...other.filter((line) => !should.has(line)).map((line) => `+ ${line}`),
  ]
    .slice(0, 20)
    .join('\n');
}

const BASE = ['egress', 'ingress'];

/** Tables that may let through now what they did not: what closes them has gone. */
function openedBetween(before: FakeTables, after: FakeTables): readonly Opened[] {
  return [...before].flatMap(([family, was]): Opened[] => {
    const is = after.get(family);
    const of = (how: Opened['how']): Opened[] => [{ family: family as TableFamily, how }];
    if (is === undefined) return of('gone');
    if (is.isDormant && !was.isDormant) return of('dormant');
    const lost = BASE.some(
      (name) => (is.chains.get(name)?.rules.length ?? 0) < (was.chains.get(name)?.rules.length ?? 0),
    );
    return lost ? of('gone') : [];
  });
}

/** What somebody else makes of our tables; undefined where there is nothing to do it to. */
function changed(tables: FakeTables, what: Foreign, nth: number): FakeTables | undefined {
  const [first] = [...tables].filter(([family]) => family !== 'arp');
  if (first === undefined) return undefined;
  const [family, table] = first;
  const put = (changes: Partial<FakeTable>): FakeTables => new Map(tables).set(family, { ...table, ...changes });
  switch (what) {
    case 'flush':
    case 'delete and close not':
      return new Map();
    case 'make dormant':
      return put({ isDormant: true });
    case 'flush base chain': {
      const chain = table.chains.get('egress');
      return chain === undefined
        ? undefined
        : put({ chains: new Map(table.chains).set('egress', { ...chain, rules: [] }) });
    }
    case 'delete element': {
      const filled = [...table.sets].filter(([, { elements }]) => elements.size > 0);
      const [name, set] = filled[nth % Math.max(filled.length, 1)] ?? [];
      if (name === undefined || set === undefined) return undefined;
      const elements = new Map([...set.elements].slice(1));
      return put({ sets: new Map(table.sets).set(name, { ...set, elements }) });
    }
    case 'add rule':
    case 'swap rule': {
      const chains = [...table.chains].filter(([, { rules }]) => rules.length > 0);
      const [name, chain] = chains[nth % Math.max(chains.length, 1)] ?? [];
      if (name === undefined || chain === undefined) return undefined;
      const [old = '', ...others] = chain.rules;
      // Its comment says that it is ours.
      const comment = / comment ".*"$/.exec(old)?.[0] ?? '';
      const rules = what === 'add rule' ? ['accept', ...chain.rules] : [`meta l4proto 99 drop${comment}`, ...others];
      return put({ chains: new Map(table.chains).set(name, { ...chain, rules }) });
    }
  }
}
