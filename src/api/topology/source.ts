/** A source for an agent in the API's own process: the state, and each change as it is made. */
import { EMPTY_TOPOLOGY, type Topology } from '../../model/index.js';
import { TopologyFeed } from '../../sources/feed/feed.js';
import type { Source, SourceEvent } from '../../sources/source.js';
import type { Database } from '../database.js';
import { changeLine, wholeLine } from './lines.js';

export class DatabaseSource implements Source {
  readonly name = 'api';
  readonly #feed = new TopologyFeed(this.name);
  #listener: ((event: SourceEvent) => void) | undefined;
  #inForce: () => Topology = () => EMPTY_TOPOLOGY;
  #stopListening: () => void = () => undefined;

  constructor(private readonly database: Database) {}

  start(listener: (event: SourceEvent) => void, inForce: () => Topology): void {
    this.#listener = listener;
    this.#inForce = inForce;
    this.reload();
    this.#stopListening = this.database.listen((change) => {
      const line = changeLine(this.database.view, change);
      if (line !== undefined) listener(this.#feed.take(line, this.#inForce()));
    });
  }

  reload(): void {
    this.#listener?.(this.#feed.take(wholeLine(this.database.view, this.database.revision), this.#inForce()));
  }

  stop(): void {
    this.#stopListening();
    this.#listener = undefined;
  }
}
