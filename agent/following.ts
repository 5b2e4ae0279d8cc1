/** What the source says: what of it passes the gate is obeyed, what is wrong with it is said. */
import {
  formatProblem,
  type Isolation,
  type Port,
  type Problem,
  type Source,
  type SourceEvent,
} from '../compiler/model/index.js';
import type { Topology, TopologyChanges } from '../compiler/model/index.js';
import { momentOf, type Clock, type Moment } from './clock.js';
import type { Tell } from './events.js';
import { SourceGate, type Passage } from './gate.js';
import type { IsolatedObjects } from './isolated-objects.js';
import type { LiveTopology } from './live-topology.js';

/** What a source tells beside a topology. */
interface Told {
  readonly problems: readonly Problem[];
  readonly isolations: readonly Isolation[];
  readonly revision?: number | undefined;
}

/** Who obeys. */
export interface Obedient {
  readonly live: LiveTopology;
  changeTopology(changes: TopologyChanges): void;
  setRevision(revision: number | undefined): void;
}

export class Following {
  readonly #gate: SourceGate;
  /** Of the topology that is held back. */
  #held: Told = { problems: [], isolations: [], revision: undefined };
  /** Why a topology is held back, as it was told last. */
  #heldFor: string | undefined;
  #readAt: Moment | undefined;
  #staleSince: Moment | undefined;
  #problems: readonly string[] = [];
  /** Why the source itself cannot be used, which it says once; undefined while it can, though what it told may be held back. */
  #trouble: readonly string[] | undefined;

  /** @param allowShrink obey a topology from which this host's ports have gone. */
  constructor(
    private readonly source: Pick<Source, 'name' | 'accept'>,
    isLocal: (port: Port) => boolean,
    allowShrink: boolean,
    private readonly enforcer: Obedient,
    private readonly isolated: IsolatedObjects,
    private readonly tell: Tell,
    private readonly clock: Clock,
  ) {
    this.#gate = new SourceGate(isLocal, allowShrink);
  }

  /** Devices that were ports' before this process began. */
  remember(devices: Iterable<string>): void {
    this.#gate.remember(devices);
  }

  get inForce(): Topology {
    return this.#gate.inForce;
  }

  /** True while a topology is held back. */
  get isHolding(): boolean {
    return this.#gate.isHolding;
  }

  /** Of what is in force, as whoever is followed counts revisions now; undefined where that is not the one who told it. */
  asFollowed(revision: number | undefined): number | undefined {
    return this.#gate.isOfAnotherTime ? undefined : revision;
  }

  /** When a topology was read last. */
  get readAt(): Moment | undefined {
    return this.#readAt;
  }

  /** Since when the source cannot be used; undefined while it can. */
  get staleSince(): Moment | undefined {
    return this.#staleSince;
  }

  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Takes what the source says. */
  hear(event: SourceEvent): void {
    this.#problems = event.problems.map((problem) => formatProblem(problem));
    this.#trouble = event.kind === 'stale' ? this.#problems : undefined;
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

  /** Obeys the topology that is held back. @returns false when none is. */
  accept(): boolean {
    const changes = this.#gate.accept();
    if (changes === undefined) return false;
    this.tell({ kind: 'accepted' });
    this.source.accept?.();
    this.#heldFor = undefined;
    this.#problems = this.#trouble ?? [];
    if (this.#trouble === undefined) this.#isWell([]);
    this.#obey(changes, this.#held);
    return true;
  }

  #passed(passage: Passage, told: Told): void {
    if (passage.kind === 'held') {
      this.#held = told;
      this.#problems = [`${this.source.name}: ${passage.reason}`, ...this.#problems];
      if (this.#heldFor !== passage.reason) this.#isStale();
      this.#heldFor = passage.reason;
      return;
    }
    this.#heldFor = undefined;
    this.#isWell(told.problems);
    this.#obey(passage.changes, told);
  }

  #obey(changes: TopologyChanges, { isolations, revision }: Told): void {
    this.enforcer.changeTopology(changes);
    this.enforcer.setRevision(revision);
    this.isolated.update(isolations, this.enforcer.live.ports());
  }

  #isStale(): void {
    this.#staleSince ??= momentOf(this.clock);
    this.tell({ kind: 'source-stale', problems: this.#problems });
  }

  #isWell(problems: readonly Problem[]): void {
    if (this.#staleSince !== undefined) this.tell({ kind: 'source-well' });
    this.#staleSince = undefined;
    this.#readAt = momentOf(this.clock);
    for (const problem of problems) this.tell({ kind: 'problem', problem: formatProblem(problem) });
  }
}
