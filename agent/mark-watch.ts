/** Looks for rules of others that write whole marks, and our bits with them, and says so once for each set of suspects. */
import type { Datapath } from '../compiler/index.js';
import { markWriters } from './kernel/mark-writers.js';
import type { Log } from './log.js';

export class MarkWatch {
  /** As they were found last. */
  #suspects: readonly string[] = [];
  #look: Promise<void> | undefined;
  /** It was said that marks of live flows are written over, by these. */
  #isOverwritten = false;

  constructor(
    private readonly datapath: Datapath,
    private readonly log: Log,
  ) {}

  get suspects(): readonly string[] {
    return this.#suspects;
  }

  /** Who asks while a look is under way waits for that one: it starts programs, and comparisons may follow each other closely. */
  async look(): Promise<void> {
    this.#look ??= this.#lookNow().finally(() => {
      this.#look = undefined;
    });
    await this.#look;
  }

  /** Marks of so many flows of this host's ports were written over. */
  async areOverwritten(flows: number): Promise<void> {
    await this.look();
    if (this.#isOverwritten) return;
    this.#isOverwritten = true;
    const who = this.#suspects.length === 0 ? 'rules that cannot be found' : this.#suspects.join('; ');
    this.log.warn(
      { id: 'marks-written', flows },
      `conntrack marks are written over by ${who}: our bits are lost, revoked flows stay cut, and answers in allowed ones stop`,
    );
  }

  /** Said once for each set of suspects: it goes on for as long as they are there. */
  async #lookNow(): Promise<void> {
    const found = await markWriters(this.datapath === 'bridge-netfilter' ? ['conntrack', 'packet'] : ['conntrack']);
    const isNews = found.join() !== this.#suspects.join();
    this.#suspects = found;
    if (isNews && found.length > 0) {
      this.log.warn(
        { id: 'marks-written' },
        `whole marks are written by rules of others, and our bits with them: ${found.join('; ')}. Keep other bits (ct mark set ct mark or ..., --set-xmark VALUE/MASK)`,
      );
    }
    if (isNews) this.#isOverwritten = false;
  }
}
