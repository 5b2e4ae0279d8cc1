/**
 * The Neutron source: what concerns one host, read over Neutron's API; Neutron stays in charge.
 *
 * Hints (hints.ts) say what changed: from the broker where its address is given, else from what Neutron says that changed since the last
 * look. A hint has an object read again, so that what is enforced is always an answer of the API. Each minute everything is compared by ids
 * and revisions: hints get lost, and a look does not tell what is gone.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { spread } from '../../../agent/clock.js';
import { AnswerError } from '../../openstack/answer.js';
import type { Credentials } from '../../openstack/login.js';
import { Neutron } from '../../openstack/neutron.js';
import { EMPTY_TOPOLOGY, type Problem, type Topology } from '../../../compiler/model/index.js';
import { TopologyFeed, type FeedEvent } from '../feed/feed.js';
import { Follow, Postponed } from '../follow.js';
import { stale, type Source, type SourceEvent } from '../../../compiler/model/index.js';
import { isClean, nothingDirty, type Hint, type HintGiver } from './hints.js';
import { Reader } from './reader.js';
import { NeutronView } from './view.js';

/** Between two comparisons of everything. */
const COMPARE_EVERY_MS = 60_000;
/** Hints come in swarms, to all hosts at once: so long they are gathered, at most. */
const GATHER_MS = 100;
/**
 * More ports are not asked for one by one, but compared: messages name as many as somebody likes that are not there, and meanwhile nothing
 * else would be followed.
 */
const MOST_PORTS = 500;
/** With so many ports their going by half is suspect; with fewer only when all go. As the agent's own gate has it. */
const MANY = 10;

export interface NeutronSettings {
  /** Undefined for the one that the catalog names. */
  readonly url: string | undefined;
  readonly cloud: () => Credentials;
  readonly host: string;
  /** Between two looks at what changed, while no hints are given; in milliseconds. */
  readonly pollEvery: number;
  readonly hints: HintGiver | undefined;
}

export class NeutronSource implements Source {
  readonly name: string;
  readonly #neutron: Neutron;
  readonly #reader: Reader;
  readonly #feed: TopologyFeed;
  #listener: ((event: SourceEvent) => void) | undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  /** Undefined before everything was read, and when it is to be read again. */
  #view: NeutronView | undefined;
  /** Counts lines: a Neutron as a whole has no revision. */
  #line = 0;
  /** The last whole may not be obeyed: then changes are not, either, and it is told as a whole again. */
  #isDoubtful = false;
  #hints: Hint[] = [];
  /** What keeps hints from coming; undefined while they come, and where nobody gives any. */
  #deafness: string | undefined;
  #hasHints = false;
  /** When everything is compared again, by this process's clock, and since when changes are asked for, by Neutron's; in milliseconds. */
  #compareAt = 0;
  #lookedAt = 0;
  #told: string | undefined;
  #wake: () => void = () => undefined;
  readonly #follow = new Follow(
    async (signal) => this.#session(signal),
    (reason) => {
      this.#listener?.(stale(this.name, reason));
    },
    // Each question has a limit of its own, and between them silence is usual.
    null,
  );

  constructor(private readonly settings: NeutronSettings) {
    this.name = `neutron:${settings.url ?? ''}`;
    // Whoever answers, though with errors, has work with being asked.
    this.#neutron = new Neutron(settings.cloud, settings.url, () => {
      this.#follow.heard();
    });
    this.#reader = new Reader(this.#neutron, settings.host);
    this.#feed = new TopologyFeed(this.name);
  }

  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void {
    this.#listener = listener;
    this.#inForce = inForce;
    this.settings.hints?.start({
      hint: (hints) => {
        this.#hints.push(...hints);
        this.#wake();
      },
      up: () => {
        this.#hasHints = true;
        this.#deafness = undefined;
        // What was said before is lost.
        this.#compareAt = 0;
        this.#wake();
      },
      down: (reason) => {
        this.#hasHints = false;
        this.#deafness = reason;
        this.#wake();
      },
    });
    this.#follow.start();
  }

  reload(): void {
    this.#view = undefined;
    this.#follow.again();
  }

  accept(): void {
    this.#isDoubtful = false;
    this.#feed.accept();
  }

  stop(): void {
    this.#listener = undefined;
    this.settings.hints?.stop();
    this.#follow.stop();
  }

  async #session(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => {
      this.#wake();
    });
    // What happened since the last session ended was not followed.
    this.#compareAt = 0;
    try {
      for (;;) {
        await this.#step(signal);
        signal.throwIfAborted();
        this.#follow.well();
        await this.#sleep();
        signal.throwIfAborted();
      }
    } catch (error) {
      throw postponed(error);
    }
  }

  /** Whatever is due. */
  async #step(signal: AbortSignal): Promise<void> {
    const view = this.#view;
    if (view === undefined) return this.#readEverything(signal);
    if (this.#isDue()) await this.#compare(view, signal);
    else if (this.#hints.length > 0) await this.#followHints(view, signal);
    else if (!this.#hasHints) await this.#look(view, signal);
    if (this.#view === view) this.#tell(view, false);
  }

  #isDue(): boolean {
    return performance.now() >= this.#compareAt;
  }

  /** What is heard from now on is news. */
  #begin(): void {
    this.#compareAt = performance.now() + spread(COMPARE_EVERY_MS, 0.2);
    this.#hints = [];
  }

  async #readEverything(signal: AbortSignal): Promise<void> {
    this.#begin();
    const began = performance.now();
    const view = new NeutronView(this.settings.host);
    await this.#reader.complete(view, signal);
    signal.throwIfAborted();
    this.#lookedFrom(began);
    this.#view = view;
    this.#tell(view, true);
  }

  async #compare(view: NeutronView, signal: AbortSignal): Promise<void> {
    this.#begin();
    const began = performance.now();
    try {
      const before = new Map(view.ownPorts);
      const absent = await this.#reader.reread(view, await this.#reader.compare(view, signal), signal);
      this.#lookedFrom(began);
      const lost = [...before].filter(([id]) => absent.has(id));
      const isAll = lost.length === before.size && !lost.some(([, network]) => view.hasNetwork(network));
      const isMost = before.size >= MANY && 2 * lost.length > before.size;
      if (lost.length > 0 && (isAll || isMost)) {
        // A Neutron that lost its content looks like this: everything is read again and told as a whole, which the agent may doubt.
        await this.#readEverything(signal);
        return;
      }
      await this.#reader.complete(view, signal);
      // What is doubted is believed by the next whole that is well, not by changes.
      if (this.#isDoubtful && view.ownPorts.size > 0) await this.#readEverything(signal);
    } catch (error) {
      this.#compareAt = 0;
      throw error;
    }
  }

  async #followHints(view: NeutronView, signal: AbortSignal): Promise<void> {
    await wait(GATHER_MS * Math.random(), undefined, { signal });
    const hints = this.#hints;
    this.#hints = [];
    const dirty = nothingDirty();
    for (const hint of hints) view.note(hint, dirty);
    if (isClean(dirty)) return;
    if (dirty.ports.size > MOST_PORTS) return this.#compare(view, signal);
    await this.#reader.reread(view, dirty, signal);
    await this.#reader.complete(view, signal);
  }

  async #look(view: NeutronView, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    const dirty = await this.#reader.changedSince(view, this.#lookedAt, signal);
    if (dirty === undefined) return this.#compare(view, signal);
    this.#lookedFrom(began);
    if (isClean(dirty)) return;
    await this.#reader.reread(view, dirty, signal);
    await this.#reader.complete(view, signal);
  }

  /** Changes are asked for from then on, by Neutron's clock. @param began by ours, of this process; in milliseconds */
  #lookedFrom(began: number): void {
    this.#lookedAt = (this.#neutron.time ?? Date.now()) - (performance.now() - began);
  }

  #tell(view: NeutronView, isWhole: boolean): void {
    const notices = this.#notices();
    const said = notices.map(({ message }) => message).join();
    // Who was told that nothing can be known is told that it can, though nothing changed meanwhile.
    if (!isWhole && !view.isChanged && this.#follow.trouble === undefined && said === this.#told) return;
    try {
      const line = view.line(this.#line++, isWhole);
      const event = withoutRevision(this.#feed.take(line, this.#inForce(), () => view.allPorts()));
      this.#listener?.({ ...event, problems: [...event.problems, ...notices] });
      if (event.kind === 'topology') this.#isDoubtful = !isObeyed(event.topology, this.#inForce());
    } catch (error) {
      // Whatever it was is lost to us, or to who listens: everything must be told anew.
      this.#view = undefined;
      throw error;
    }
    this.#told = said;
  }

  #notices(): readonly Problem[] {
    if (this.#deafness === undefined) return [];
    const seconds = (this.settings.pollEvery / 1000).toString();
    const message = `${this.#deafness}: until it is back, Neutron is asked every ${seconds} s`;
    return [{ severity: 'notice', code: 'unreadable', file: this.name, path: '', message }];
  }

  /** Until something is due, or there is a hint. */
  async #sleep(): Promise<void> {
    if (this.#hints.length > 0) return;
    const left = this.#compareAt - performance.now();
    const pause = this.#hasHints ? left : Math.min(left, spread(this.settings.pollEvery, 0.2));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }
}

/** Whether who listens has what he was told. Of nothing that cannot be seen: it counts as not. */
function isObeyed({ ports }: Topology, inForce: Topology): boolean {
  return ports.size > 0 && ports.size === inForce.ports.size && [...ports.keys()].every((id) => inForce.ports.has(id));
}

/** The numbers of our lines are nobody's concern. */
function withoutRevision(event: FeedEvent): FeedEvent {
  const { problems, isolations } = event;
  if (event.kind === 'changes') return { kind: 'changes', changes: event.changes, problems, isolations };
  return { kind: 'topology', topology: event.topology, problems, isolations, doubt: event.doubt };
}

/** Who is asked to leave it alone for a while does. */
function postponed(error: unknown): unknown {
  const answer = error instanceof AnswerError ? error : error instanceof Error ? error.cause : undefined;
  return answer instanceof AnswerError ? Postponed.by(answer.message, answer.retryAfter) : error;
}
