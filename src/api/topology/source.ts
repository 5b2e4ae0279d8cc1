/** A source for an agent in the API's own process: the state, and each change as it is made. */
import { Backoff } from '../../../agent/backoff.js';
import { EMPTY_TOPOLOGY, type Topology } from '../../../compiler/model/index.js';
import { TopologyFeed } from '../../sources/feed/feed.js';
import { stale, type Source, type SourceEvent } from '../../../compiler/model/index.js';
import { BACKOFF_MS } from '../../sources/follow.js';
import type { AppliedChange, Database } from '../database.js';
import type { HostReport } from '../../../compiler/model/index.js';
import type { Hosts } from './hosts.js';
import { changeLine, wholeLine } from './lines.js';

export class DatabaseSource implements Source {
  readonly name = 'api';
  readonly #feed = new TopologyFeed(this.name);
  #listener: ((event: SourceEvent) => void) | undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  #stopListening: () => void = () => undefined;
  /** Everything must be told anew: who listens threw. */
  #retry: NodeJS.Timeout | undefined;
  readonly #backoff = new Backoff(BACKOFF_MS);

  constructor(
    private readonly database: Database,
    private readonly hosts: Hosts,
  ) {}

  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void {
    this.#listener = listener;
    this.#inForce = inForce;
    this.reload();
    this.#stopListening = this.database.listen((change) => {
      this.#changed(change);
    });
  }

  reload(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#tell(() => this.#feed.take(wholeLine(this.database), this.#inForce()))) this.#backoff.reset();
  }

  async report(host: string, report: HostReport): Promise<void> {
    await this.hosts.say(host, report);
  }

  stop(): void {
    this.#stopListening();
    clearTimeout(this.#retry);
    this.#listener = undefined;
  }

  #changed(change: AppliedChange): void {
    // What is told anew soon holds it.
    if (this.#retry !== undefined) return;
    this.#tell(() => {
      const line = changeLine(this.database.view, change) ?? { revision: change.revision };
      return this.#feed.take(line, this.#inForce());
    });
  }

  /** What is thrown here must not reach whoever made the change: it is stored. @returns whether it was told. */
  #tell(event: () => SourceEvent | undefined): boolean {
    try {
      const told = event();
      if (told !== undefined) this.#listener?.(told);
      return true;
    } catch (error) {
      this.#retry = setTimeout(() => {
        this.reload();
      }, this.#backoff.take());
      this.#stale(error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  #stale(reason: string): void {
    try {
      this.#listener?.(stale(this.name, reason));
    } catch {
      // It is told everything anew in any case.
    }
  }
}
