/**
 * The file source that goes on: a file or a folder, read again when it changes.
 *
 * What counts is the fingerprint of what a path leads to (names, inodes, sizes, times), so that a file that is renamed
 * over, a link that is swapped and a file that is written in place are one case. The kernel's notices only make it look at
 * once; a slow look comes in any case, since notices are not given for every file system and get lost at swapped links.
 */
import { watch, type FSWatcher } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  EMPTY_TOPOLOGY,
  formatProblem,
  parseTopology,
  type Problem,
  type Topology,
} from '../../../compiler/model/index.js';
import { unreadable, type Source, type SourceEvent } from '../../../compiler/model/index.js';
import { fingerprint, readSettled, type Snapshot } from './snapshot.js';

/** How long files must stay the same while they are read: a writer may be at work. */
const SETTLE_MS = 25;
/** For how long a text that is none yet (empty, half) may stay so before it is told: a writer may be at work. */
const PATIENCE_MS = 1000;
/** Looks without a notice. */
const LOOK_MS = 1000;

export class FileSource implements Source {
  readonly name: string;
  #listener: (event: SourceEvent) => void = () => undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Tells of a text that is none. */
  #tellTimer: NodeJS.Timeout | undefined;
  /** What was read last; undefined before the first time and after a call of reload. */
  #read: string | undefined;
  /** Problems that were told last, as text. */
  #told = '';
  #isLooking = false;
  /** A notice came during a look. */
  #isNoticed = false;
  #isStopped = false;

  constructor(private readonly path: string) {
    this.name = `file:${path}`;
  }

  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void {
    this.#listener = listener;
    this.#inForce = inForce;
    void this.#look();
  }

  reload(): void {
    this.#read = undefined;
    this.#told = '';
    this.#soon(0);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#tellTimer);
    this.#unwatch();
  }

  #soon(milliseconds: number): void {
    if (this.#isStopped) return;
    if (this.#isLooking) {
      this.#isNoticed = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#look();
    }, milliseconds);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#isNoticed = false;
    try {
      if ((await fingerprint(this.path)) !== this.#read) {
        await this.#watchAnew();
        const snapshot = await readSettled(this.path, SETTLE_MS);
        if (snapshot === undefined) this.#isNoticed = true;
        else this.#take(snapshot);
      }
    } catch (error) {
      // Whatever it was is lost to who listens: everything is read again.
      this.#read = undefined;
      this.#tellLost(error);
    } finally {
      this.#isLooking = false;
      this.#soon(this.#isNoticed ? 0 : LOOK_MS);
    }
  }

  #take({ mark, result }: Snapshot): void {
    this.#read = mark;
    if (this.#isStopped) return;
    const parsed = parseTopology(result.documents, { lastGood: this.#inForce() });
    const { topology, isolations } = parsed;
    const problems = [...result.problems, ...parsed.problems];
    clearTimeout(this.#tellTimer);
    if (!parsed.isUsable || result.problems.length > 0) {
      const isUnfinished = parsed.isUsable && result.problems.every(({ code }) => code === 'syntax');
      const tell = (): void => {
        this.#tellStale(problems);
      };
      if (isUnfinished) this.#tellTimer = setTimeout(tell, PATIENCE_MS);
      else tell();
    } else {
      this.#told = '';
      this.#listener({ kind: 'topology', topology, problems, isolations });
    }
  }

  #tellStale(problems: readonly Problem[]): void {
    const text = problems.map((problem) => formatProblem(problem)).join('\n');
    if (text === this.#told) return;
    this.#told = text;
    this.#listener({ kind: 'stale', problems });
  }

  #tellLost(error: unknown): void {
    try {
      this.#tellStale([unreadable(this.path, error instanceof Error ? error.message : String(error))]);
    } catch {
      // It is told everything anew in any case.
    }
  }

  /** Watches the path's folder (where it is renamed over), and the folder that it leads to. */
  async #watchAnew(): Promise<void> {
    this.#unwatch();
    const target = await realpath(this.path).catch(() => this.path);
    for (const folder of new Set([dirname(this.path), dirname(target), target])) {
      try {
        const watcher = watch(folder, () => {
          this.#soon(0);
        });
        watcher.on('error', () => {
          this.#soon(0);
        });
        this.#watchers.push(watcher);
      } catch {
        // Gone, or no notices to be had: the slow look remains.
      }
    }
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }
}
