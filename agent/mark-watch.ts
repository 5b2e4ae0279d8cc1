/** Looks for rules of others that write whole marks, and our bits with them, and says so once for each set of suspects. */
import type { Datapath } from '../compiler/index.js';
import { markWriters } from './kernel/mark-writers.js';
import type { Tell } from './events.js';
import { SingleFlight } from './single-flight.js';

export class MarkWatch {
  /** As they were found last. */
  #suspects: readonly string[] = [];
  readonly #look = new SingleFlight(async () => this.#lookNow());
  /** It was said that marks of live flows are written over, by these. */
  #isOverwritten = false;

  constructor(
    private readonly datapath: Datapath,
    private readonly tell: Tell,
  ) {}

  get suspects(): readonly string[] {
    return this.#suspects;
  }

  /** Who asks while a look is under way waits for that one: it starts programs, and comparisons may follow each other closely. */
  async look(): Promise<void> {
    await this.#look.join();
  }

  /** Marks of so many flows of this host's ports were written over. */
  async areOverwritten(flows: number): Promise<void> {
    await this.look();
    if (this.#isOverwritten) return;
    this.#isOverwritten = true;
    this.tell({ kind: 'marks-overwritten', flows, suspects: this.#suspects });
  }

  /** Said once for each set of suspects: it goes on for as long as they are there. */
  async #lookNow(): Promise<void> {
    const found = await markWriters(this.datapath === 'bridge-netfilter' ? ['conntrack', 'packet'] : ['conntrack']);
    const isNews = found.join() !== this.#suspects.join();
    this.#suspects = found;
    if (isNews && found.length > 0) this.tell({ kind: 'marks-written', suspects: found });
    if (isNews) this.#isOverwritten = false;
  }
}
