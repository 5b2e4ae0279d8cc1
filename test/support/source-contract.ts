/** The contract of sources (compiler/model/source.ts), as one suite that each of them passes. */
import { setTimeout } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { Database } from '../../src/api/database.js';
import type { Source, SourceEvent } from '../../compiler/model/index.js';
import { Followed } from './followed.js';
import {
  deleteRule,
  NOBODY,
  port,
  putRule,
  putWorld,
  randomChange,
  randomNumbers,
  rule,
  rulesOf,
  rulesOfAll,
} from './policy.js';
import { step } from './progress.js';
import { eventually, progressing } from './waiting.js';

/** The host whose rules are looked at. */
export const HOST = 'host-0';

/** What is followed, and how. */
export interface Rig {
  /** The truth. */
  readonly database: Database;
  /** Brings the truth to where sources read it; nothing where they read it themselves. */
  readonly publish: () => Promise<void> | void;
  /** A source for {@link HOST}. */
  readonly source: () => Source;
}

export interface RemoteRig extends Rig {
  /** From now on nobody can be followed. */
  readonly leave: () => Promise<void> | void;
  readonly comeBack: () => Promise<void> | void;
}

class Follower {
  readonly followed = new Followed();
  readonly events: SourceEvent[] = [];
  /** After each event. */
  readonly enforced: string[] = [];
  isRefusing = false;
  readonly source: Source;

  constructor(rig: Rig) {
    this.source = rig.source();
    onTestFinished(() => {
      this.source.stop();
    });
    this.source.start(
      (event) => {
        this.events.push(event);
        if (event.kind === 'stale') return;
        if (this.isRefusing) {
          this.isRefusing = false;
          throw new Error('cannot be taken now');
        }
        this.followed.take(event);
        this.enforced.push(rulesOf(this.followed.topology, HOST));
      },
      () => this.followed.topology,
    );
  }

  get kind(): SourceEvent['kind'] | undefined {
    return this.events.at(-1)?.kind;
  }

  get reasons(): readonly string[] {
    return this.events.flatMap(({ kind, problems }) => (kind === 'stale' ? [JSON.stringify(problems)] : []));
  }

  async has(rig: Rig): Promise<void> {
    const rules = rulesOfAll(rig.database, HOST);
    await progressing(
      () => 'the source to tell what the policy is',
      () => this.enforced.at(-1) === rules && this.kind !== 'stale',
      () => [this.events.length, this.kind, this.reasons.at(-1)],
    );
  }
}

async function filled(rig: Rig): Promise<void> {
  await rig.database.change(NOBODY, putWorld);
  await rig.publish();
}

/** Changes the rules of {@link HOST}. */
async function change(rig: Rig, number: number): Promise<void> {
  await rig.database.change(NOBODY, (writer) => {
    writer.put('port', port(1, HOST, ['web']));
    putRule(writer, rule('changed', 'web', { port_range_min: 2000, port_range_max: 2000 + number }));
  });
  await rig.publish();
}

/** Of every source. */
export function sourceContract(open: () => Promise<Rig>): void {
  it('tells everything at first, then nothing but what the policy was as a whole, and in the end what it is', async () => {
    const rig = await open();
    await filled(rig);
    const were = new Set([rulesOfAll(rig.database, HOST)]);
    const follower = new Follower(rig);
    await follower.has(rig);
    expect(follower.events[0]?.kind).toBe('topology');
    const random = randomNumbers();
    for (let round = 0; round < 8; round++) {
      for (let more = 0; more < 5; more++) {
        step(`change ${(5 * round + more).toString()}`);
        await rig.database.change(NOBODY, (writer) => {
          randomChange(random, writer);
        });
        were.add(rulesOfAll(rig.database, HOST));
        await rig.publish();
        await setTimeout(random() * 10);
      }
      await follower.has(rig);
    }
    expect(follower.reasons).toEqual([]);
    for (const rules of follower.enforced) expect(were.has(rules)).toBe(true);
    expect(new Set(follower.enforced).size).toBeGreaterThan(1);
    // A source may leave out what was in between, and tell a thing twice. It never goes back.
    const revisions = follower.events.flatMap((event) => (event.kind === 'stale' ? [] : [event.revision ?? 0]));
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  });

  it('asked to, tells everything once more', async () => {
    const rig = await open();
    await filled(rig);
    const follower = new Follower(rig);
    for (let times = 1; times <= 3; times++) {
      await follower.has(rig);
      const before = follower.events.length;
      follower.source.reload();
      await eventually(() => follower.events.slice(before).some(({ kind }) => kind === 'topology'));
      await follower.has(rig);
    }
    expect(follower.reasons).toEqual([]);
  });

  it('what whoever listens could not take is told anew, as a whole', async () => {
    const rig = await open();
    await filled(rig);
    const follower = new Follower(rig);
    await follower.has(rig);
    for (let times = 1; times <= 3; times++) {
      const before = follower.events.length;
      follower.isRefusing = true;
      await change(rig, times);
      await follower.has(rig);
      const [refused, ...after] = follower.events.slice(before).filter(({ kind }) => kind !== 'stale');
      expect(refused).toBeDefined();
      expect(after.some(({ kind }) => kind === 'topology')).toBe(true);
    }
  });

  it('an object that is bad is named, and everything else is told', async () => {
    const rig = await open();
    await filled(rig);
    const follower = new Follower(rig);
    await follower.has(rig);
    await rig.database.change(NOBODY, (writer) => {
      putRule(writer, rule('backwards', 'web', { port_range_min: 443, port_range_max: 80 }));
    });
    await change(rig, 1);
    await follower.has(rig);
    const last = follower.events.at(-1);
    expect(last?.kind === 'stale' ? [] : last?.isolations).toHaveLength(1);
    await rig.database.change(NOBODY, (writer) => {
      deleteRule(writer, 'backwards');
    });
    await change(rig, 2);
    await follower.has(rig);
    const mended = follower.events.at(-1);
    expect(mended?.kind === 'stale' ? undefined : mended?.isolations).toEqual([]);
  });

  it('tells nothing when it is stopped; others go on', async () => {
    const rig = await open();
    await filled(rig);
    const [stopped, other] = [new Follower(rig), new Follower(rig)];
    await stopped.has(rig);
    await other.has(rig);
    stopped.source.stop();
    const before = stopped.events.length;
    for (let number = 1; number <= 3; number++) {
      await change(rig, number);
      await other.has(rig);
    }
    expect(stopped.events).toHaveLength(before);
  });
}

/** Of sources that read what may be away. */
export function remoteSourceContract(open: () => Promise<RemoteRig>): void {
  sourceContract(open);

  it('says that nobody can be followed, once for each reason; what was told stays; what changed meanwhile is told', async () => {
    const rig = await open();
    await filled(rig);
    const follower = new Follower(rig);
    await follower.has(rig);
    for (let times = 1; times <= 2; times++) {
      const told = follower.enforced.length;
      const said = follower.reasons.length;
      await rig.leave();
      await eventually(() => follower.kind === 'stale');
      await change(rig, times);
      // Long enough for it to try again.
      await setTimeout(800);
      expect(follower.enforced).toHaveLength(told);
      await rig.comeBack();
      await follower.has(rig);
      const reasons = follower.reasons.slice(said);
      expect(reasons).toEqual([...new Set(reasons)]);
    }
  });

  it('who was away and is back with nothing changed is no longer stale', async () => {
    const rig = await open();
    await filled(rig);
    const follower = new Follower(rig);
    await follower.has(rig);
    for (let times = 1; times <= 2; times++) {
      await rig.leave();
      await eventually(() => follower.kind === 'stale');
      await rig.comeBack();
      await follower.has(rig);
    }
  });

  it('nobody is there at the start: it is said, and everything is told when somebody comes', async () => {
    const rig = await open();
    await filled(rig);
    await rig.leave();
    const follower = new Follower(rig);
    await eventually(() => follower.kind === 'stale');
    await rig.comeBack();
    await follower.has(rig);
    expect(follower.events.find(({ kind }) => kind !== 'stale')?.kind).toBe('topology');
  });
}
