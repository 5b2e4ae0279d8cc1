/** Who hears of a store's commits, and what those who were away may still ask for. */
import { Recent } from './recent.js';
import type { Commit, Store, WatchListener } from './store.js';

export class Watchers {
  readonly #listeners = new Set<WatchListener>();
  readonly #recent = new Recent<Commit>();

  /** As {@link Store.watch}. @param current the store's newest revision. */
  watch(revision: number, current: number, listener: WatchListener): ReturnType<Store['watch']> {
    const missed = this.#recent.after(revision, current);
    if (missed === undefined) {
      listener.onGap();
      return () => undefined;
    }
    for (const commit of missed) listener.onCommit(commit);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(commit: Commit): void {
    this.#recent.add(commit);
    for (const { onCommit } of [...this.#listeners]) onCommit(commit);
  }

  /** What was told is not all there is: each must load again, and is told nothing more. */
  gap(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const { onGap } of listeners) onGap();
  }

  /** Everything is read anew: what came before is not told again. */
  forget(): void {
    this.#recent.clear();
  }

  /** Nobody is told anything more. */
  close(): void {
    this.#listeners.clear();
  }
}
