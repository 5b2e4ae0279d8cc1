/**
 * Judges datagrams by what the kernel held while they were under way, and by nothing else: no grace, no clock but the order
 * of what was seen.
 *
 * - A version cannot be in force before it was written.
 * - The kernel has it, at the latest, when its marker was seen (witness.ts).
 * - A datagram is under way from before it was sent until it was read from the socket; one that did not arrive, until a
 *   later one from the same guest to the same guest, which every version lets pass, was read: it went through the same queues.
 *
 * The verdict is *undecided* when versions that may have been in force meanwhile do not agree, and when somebody else may have opened
 * the rules, or had them closed, meanwhile (disturbances.ts).
 */
import { Disturbances } from './disturbances.js';
import type { Drained, Received, Sent } from './sprayer.js';
import type { Sighting } from './witness.js';

interface Version {
  readonly writtenAt: number;
  readonly allows: (kind: string) => boolean;
}

export interface Counts {
  allowed: number;
  forbidden: number;
  undecided: number;
}

export interface RefereeOptions {
  /**
   * True when each version comes and goes as a whole, and each that came was seen. False when a version may be in force in
   * part, and unseen: then any that was written meanwhile may be, and in between less may pass than any of them allows
   * (docs/decisions/iptables.md). So something was lost for sure only while there was one version alone.
   */
  readonly isAtomic: boolean;
  /** The last word of kinds that every version allows. */
  readonly openPort: number;
  /** The last words of kinds that some versions allow, and others do not. */
  readonly toggledPorts: readonly number[];
}

/** A datagram that fared otherwise than every version that may have been in force has it. */
export interface Finding {
  readonly story: string;
  /** It was sent then. */
  readonly at: number;
}

export class Referee {
  readonly #versions = new Map<number, Version>();
  #sightings: Sighting[] = [];
  /** Sent, and not judged yet. */
  #open: Sent[] = [];
  readonly #arrived = new Map<string, number>();
  /** Datagrams that every version allows and that arrived, by pair of guests: the marks for those that did not. */
  readonly #milestones = new Map<string, { readonly from: number; readonly at: number }[]>();
  /** Allowed and not arrived so far: one that is read late is not lost. */
  readonly #missing = new Map<string, Finding>();
  /** Forbidden and not arrived so far, the latest ones: one that is read late had passed all the same. */
  readonly #stopped = new Map<string, Sent>();
  /** {@link openSince} of the time before: what is younger is kept for those that are read late. */
  #formerlyOpenSince = -Infinity;
  readonly passed: Finding[] = [];
  /** The kernel went back to a version that it had replaced. */
  readonly relapses: string[] = [];
  /** For how long the kernel was not seen to hold any version that was written after the one that it held; in milliseconds. */
  longestWait = 0;
  /**
   * Ports of rules that become ranges. One that joins a range that is there counts late in its transaction (docs/decisions/stages.md): what
   * goes to such a port may be lost between two versions.
   */
  rangePorts: readonly number[] = [];
  readonly judged: Counts = { allowed: 0, forbidden: 0, undecided: 0 };
  /** Of these, those of kinds that the policy really changes. */
  readonly toggled: Counts = { allowed: 0, forbidden: 0, undecided: 0 };

  /** What others did to the rules. */
  readonly disturbances = new Disturbances();

  /** Allowed ones for which one version alone was in force. */
  alone = 0;

  constructor(private readonly options: RefereeOptions) {}

  /** A version of the policy, to be called before it is written. Numbers count up. */
  announce(version: number, writtenAt: number, allows: (kind: string) => boolean): void {
    this.#versions.set(version, { writtenAt, allows });
  }

  /** The kernel holds a version. To be called in the order of the notices. */
  saw(sighting: Sighting): void {
    const last = this.#sightings.at(-1);
    if (last !== undefined && sighting.version < last.version) {
      this.relapses.push(
        `at ${sighting.at.toString()} process ${sighting.pid.toString()} put version ${sighting.version.toString()} in place of ${last.version.toString()}`,
      );
    }
    const waiting = this.#versions.get((last?.version ?? -1) + 1);
    if (waiting !== undefined) this.longestWait = Math.max(this.longestWait, sighting.at - waiting.writtenAt);
    this.#sightings.push(sighting);
  }

  /** The version that was seen last; -1 before the first. */
  get held(): number {
    return this.#sightings.at(-1)?.version ?? -1;
  }

  take({ sent, received }: Pick<Drained, 'sent' | 'received'>): void {
    for (const one of received) {
      const key = keyOf(one);
      if (this.#missing.delete(key)) continue;
      this.#arrived.set(key, one.at);
      const stopped = this.#stopped.get(key);
      if (stopped === undefined) continue;
      this.#stopped.delete(key);
      this.#count(stopped, 'forbidden', -1);
      this.#open.push(stopped);
    }
    this.#open.push(...sent);
  }

  /** Judges everything that can be known by now, and forgets it. */
  judge(): void {
    this.#setMilestones();
    const still: Sent[] = [];
    for (const datagram of this.#open) if (!this.#judge(datagram)) still.push(datagram);
    this.#open = still;
    this.#forget();
  }

  /** When the first of those that are not judged yet was sent; Infinity when all are. */
  get openSince(): number {
    return this.#open.reduce((least, { from }) => Math.min(least, from), Infinity);
  }

  get lost(): readonly Finding[] {
    return [...this.#missing.values()];
  }

  /** @returns false when it cannot be known yet. */
  #judge(datagram: Sent): boolean {
    const key = keyOf(datagram);
    const arrivedAt = this.#arrived.get(key);
    const until = arrivedAt ?? this.#milestoneAfter(datagram);
    if (until === undefined) return false;
    const versions = this.#inForce(datagram.from, until);
    if (versions === undefined) return false;
    this.#arrived.delete(key);
    const verdicts = new Set(versions.map(({ allows }) => allows(datagram.kind)));
    const disturbance = this.disturbances.between(datagram.from, until);
    if (disturbance === 'open' || (disturbance === 'closed' && verdicts.has(true) && arrivedAt === undefined)) {
      this.#count(datagram, 'undecided');
      return true;
    }
    const isWhole = this.options.isAtomic && !this.rangePorts.includes(portOf(datagram.kind));
    const mayBeInPart = !isWhole && versions.length > 1 && arrivedAt === undefined;
    if (verdicts.size !== 1 || (mayBeInPart && verdicts.has(true))) this.#count(datagram, 'undecided');
    else if (verdicts.has(true)) {
      this.#count(datagram, 'allowed');
      if (versions.length === 1) this.alone++;
      if (arrivedAt === undefined) this.#missing.set(key, { story: `lost: ${storyOf(datagram)}`, at: datagram.from });
    } else {
      this.#count(datagram, 'forbidden');
      if (arrivedAt === undefined) this.#stop(key, datagram);
      else {
        const story = `passed: ${storyOf(datagram)}, arrived ${arrivedAt.toString()}`;
        this.passed.push({ story, at: datagram.from });
      }
    }
    return true;
  }

  #stop(key: string, datagram: Sent): void {
    this.#stopped.set(key, datagram);
    const [oldest] = this.#stopped.keys();
    if (this.#stopped.size > STOPPED_KEPT && oldest !== undefined) this.#stopped.delete(oldest);
  }

  #count({ kind }: Sent, verdict: keyof Counts, by = 1): void {
    this.judged[verdict] += by;
    if (this.options.toggledPorts.includes(portOf(kind))) this.toggled[verdict] += by;
  }

  /**
   * Versions that may have been in force between two moments; undefined when that is not known yet. What was committed before
   * the second moment was seen before anything that was only written after it.
   */
  #inForce(from: number, until: number): readonly Version[] | undefined {
    const after = this.#sightings.findIndex(({ version }) => this.#writtenAt(version) > until);
    if (after < 0) return undefined;
    const before = this.#sightings.findLastIndex(({ at }) => at <= from);
    // Sent before anything was seen: nothing is known of it.
    if (before < 0) return [NOTHING_KNOWN.yes, NOTHING_KNOWN.no];
    const seen = this.#sightings.slice(before, Math.max(after, before + 1)).map(({ version }) => version);
    const numbers = this.options.isAtomic ? seen : this.#writtenBetween(Math.min(...seen), until);
    return numbers.flatMap((number) => this.#versions.get(number) ?? []);
  }

  #writtenBetween(first: number, until: number): readonly number[] {
    return [...this.#versions].flatMap(([number, { writtenAt }]) =>
      number === first || (number > first && writtenAt <= until) ? [number] : [],
    );
  }

  #writtenAt(version: number): number {
    return this.#versions.get(version)?.writtenAt ?? -Infinity;
  }

  #setMilestones(): void {
    for (const { kind, number, from } of this.#open) {
      if (portOf(kind) !== this.options.openPort) continue;
      const at = this.#arrived.get(keyOf({ kind, number }));
      if (at === undefined) continue;
      const pair = pairOf(kind);
      const milestones = this.#milestones.get(pair) ?? [];
      if (!milestones.some((known) => known.from === from)) milestones.push({ from, at });
      this.#milestones.set(pair, milestones);
    }
  }

  #milestoneAfter({ kind, by }: Sent): number | undefined {
    return this.#milestones.get(pairOf(kind))?.find(({ from }) => from > by)?.at;
  }

  /** What no datagram that is still open can need, nor one that was sent and not drained yet. */
  #forget(): void {
    const since = this.#formerlyOpenSince;
    this.#formerlyOpenSince = Math.min(this.openSince, this.#sightings.at(-1)?.at ?? -Infinity);
    const first = this.#sightings.findLastIndex(({ at }) => at <= since);
    if (first > 0) this.#sightings = this.#sightings.slice(first);
    const oldest = Math.min(...this.#sightings.map(({ version }) => version));
    for (const version of this.#versions.keys()) if (version < oldest) this.#versions.delete(version);
    for (const [pair, milestones] of this.#milestones) {
      this.#milestones.set(
        pair,
        milestones.filter(({ from }) => from > since),
      );
    }
  }
}

const STOPPED_KEPT = 10_000;

const NOTHING_KNOWN: Readonly<Record<'yes' | 'no', Version>> = {
  yes: { writtenAt: 0, allows: () => true },
  no: { writtenAt: 0, allows: () => false },
};

const keyOf = ({ kind, number }: Pick<Received, 'kind' | 'number'>): string => `${kind}/${number.toString()}`;
const pairOf = (kind: string): string => kind.split(' ').slice(0, 2).join(' ');
const portOf = (kind: string): number => Number(kind.split(' ').at(-1));

function storyOf({ kind, number, sourcePort, from, by }: Sent): string {
  return `${kind}/${number.toString()} from port ${sourcePort.toString()}, sent between ${from.toString()} and ${by.toString()}`;
}
