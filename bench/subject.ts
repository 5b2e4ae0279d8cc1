/** What a benchmark of the agent measures: its loop with a real kernel, without its process. */
import { setTimeout } from 'node:timers/promises';
import { Enforcer } from '../agent/enforcer.js';
import type { Applied, LoopEvent } from '../agent/events.js';
import { SourceGate } from '../agent/gate.js';
import { CLOCK } from '../agent/clock.js';
import { thisMachine } from '../agent/ground.js';
import { closingMessages } from '../agent/closing.js';
import type { CommitOrder, WatchEvent } from '../agent/watch/events.js';
import { Watcher } from '../agent/watch/watcher.js';
import type { BackendName } from '../agent/index.js';
import { DEFAULT_OPTIONS } from '../compiler/index.js';
import { parseTopology, type Port, type Topology } from '../compiler/model/index.js';
import type { Fields } from './document.js';

export const here = ({ host }: Port): boolean => host === 'here';

export function parsed(content: Fields): Topology {
  return parseTopology([{ file: 'bench', content }]).topology;
}

/** How long something takes, in milliseconds. */
export async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** In milliseconds. */
const LOOK_EVERY = 20;

/** For a sentence. */
export const ms = (value: number): string => `${value.toFixed(1)} ms`;

/** An agent's loop with its watching process, and without what is around them. */
export class Subject {
  readonly enforcer: Enforcer;
  readonly #gate = new SourceGate(here, true);
  readonly #watcher: Watcher;
  #isWatching: () => void = () => undefined;
  #resolve: (applied: Applied) => void = () => undefined;
  #isAwaited: (applied: Applied) => boolean = () => false;

  constructor(backend: BackendName) {
    const listener = {
      tell: (event: LoopEvent): void => {
        if (event.kind === 'applied' && this.#isAwaited(event)) this.#resolve(event);
        if (event.kind === 'not-applied') throw event.error;
      },
      onFirstLoad: async (): Promise<void> => Promise.resolve(),
      onTouched: (): void => undefined,
      onClosing: (devices: Parameters<typeof closingMessages>[1]): void => {
        this.#watcher.order({ kind: 'closing', closing: closingMessages(DEFAULT_OPTIONS, devices) });
      },
      onOwnCommit: (order: CommitOrder): void => {
        this.#watcher.order(order);
      },
    };
    this.enforcer = new Enforcer(here, DEFAULT_OPTIONS, thisMachine(backend), listener);
    this.#watcher = new Watcher(
      {
        onEvent: (event) => {
          this.#heard(event);
        },
        // Where news are lost another process follows, and everything is compared, as in an agent.
        onLoss: () => undefined,
      },
      CLOCK,
    );
  }

  /** From a topology in memory to its rules in force, beside a watching process that runs; in milliseconds. */
  async begin(topology: Topology): Promise<number> {
    const watching = new Promise<void>((resolve) => {
      this.#isWatching = resolve;
    });
    this.#watcher.start();
    await watching;
    const start = performance.now();
    const started = this.applied(({ way }) => way === 'everything');
    this.#tell(topology);
    this.enforcer.watchBegins();
    await started;
    return performance.now() - start;
  }

  /** In milliseconds: until the kernel has acknowledged, and of it until the transaction was begun. */
  async change(topology: Topology): Promise<{ readonly total: number; readonly own: number }> {
    const applied = this.applied();
    this.#tell(topology);
    const { latency, milliseconds } = await applied;
    return { total: latency, own: latency - milliseconds };
  }

  /** From the end of what somebody else does to our tables until they were compared and are as they should be; in milliseconds. */
  async mended(foreign: () => void): Promise<number> {
    const compared = this.applied(({ way }) => way === 'everything');
    foreign();
    const start = performance.now();
    await compared;
    while (!this.enforcer.isIdle || !this.enforcer.isEnforced) await setTimeout(1);
    return performance.now() - start;
  }

  /** Resolves with the next transaction; one that found nothing to change is none. */
  async applied(isAwaited = ({ changes }: Applied): boolean => changes > 0): Promise<Applied> {
    this.#isAwaited = isAwaited;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Ends when nothing is under way. */
  async end(): Promise<void> {
    while (!this.enforcer.isIdle) await setTimeout(LOOK_EVERY);
    this.#watcher.stop();
    await this.enforcer.stop();
  }

  #tell(topology: Topology): void {
    const passage = this.#gate.whole(topology, undefined);
    if (passage.kind === 'held') throw new Error(passage.reason);
    this.enforcer.changeTopology(passage.changes);
  }

  #heard(event: Exclude<WatchEvent, { kind: 'alive' }>): void {
    switch (event.kind) {
      case 'table-changed':
        this.enforcer.tableChanged(event.change);
        return;
      case 'iptables-changed':
        this.enforcer.iptablesChanged(event.change);
        return;
      case 'closed':
        this.enforcer.tablesClosed(event.opened, event.error);
        return;
      case 'withdrawn':
        this.enforcer.doubt('what somebody added was taken back');
        return;
      default:
        this.enforcer.setLinks(event);
        if (event.kind === 'links') this.#isWatching();
    }
  }
}
