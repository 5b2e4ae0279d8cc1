/** One table as it is wanted, changed piece by piece; its changes are steps of a transaction. */
import { ruleComment } from '../nftables/comment.js';
import { countsLate, elementsOf } from '../nftables/state.js';
import { keyText, ruleText, setKind, verdictText } from '../nftables/text.js';
import { deletion, type Change, type ElementChange } from '../nftables/transaction.js';
import type { Chain, Key, NamedSet, TableFamily, Verdict } from '../ruleset/types.js';
import { Tracker } from './tracker.js';

/** Sets and maps, chains, elements of sets and maps. */
export interface ObjectCount {
  readonly sets: number;
  readonly chains: number;
  readonly elements: number;
}

export class WantedTable {
  readonly #sets = new Tracker<NamedSet>(() => true);
  readonly #elements = new Map<string, Tracker<string>>();
  /** Sets whose elements were touched since they were last taken. */
  readonly #touched = new Set<string>();
  readonly #chains = new Tracker<Chain>(isSameChain);

  constructor(readonly family: TableFamily) {}

  /** Adds a set with its elements. */
  addSet(set: NamedSet): void {
    this.#sets.set(set.name, set);
    this.#tracker(set.name);
    for (const [key, data] of elementsOf(set)) this.addElement(set.name, key, data);
  }

  /** Removes a set with all its elements. */
  deleteSet(name: string): void {
    this.#sets.delete(name);
    const elements = this.#tracker(name);
    for (const key of [...elements.keys()]) elements.delete(key);
  }

  setChain(chain: Chain): void {
    this.#chains.set(chain.name, chain);
  }

  deleteChain(name: string): void {
    this.#chains.delete(name);
  }

  addElement(set: string, key: string, data = ''): void {
    this.#tracker(set).set(key, data);
  }

  deleteElement(set: string, key: string): void {
    this.#tracker(set).delete(key);
  }

  /** What changed since the last time, in an order that the kernel accepts. */
  take(): readonly Change[] {
    const sets = this.#sets.take();
    const chains = this.#chains.take();
    const deletions: Change[] = [];
    const additions: Change[] = [];
    const sizes = new Map<string, number>();
    for (const name of this.#touched) {
      const differences = this.#tracker(name).take();
      const set = this.#sets.get(name);
      if (set === undefined) {
        sizes.set(name, differences.length);
        this.#elements.delete(name);
        continue;
      }
      const gone = changesOf(differences.map(({ key, before }) => ({ key, data: before })));
      const fresh = changesOf(differences.map(({ key, after }) => ({ key, data: after })));
      if (gone.length > 0) deletions.push(deletion(name, gone, countsLate(set)));
      if (fresh.length > 0) additions.push({ kind: 'add-elements', set: name, elements: fresh });
    }
    this.#touched.clear();
    return [
      ...sets.flatMap(({ before, after }): Change[] =>
        before === undefined && after !== undefined ? [{ kind: 'add-set', set: after }] : [],
      ),
      ...chains.flatMap(({ before, after }): Change[] => {
        if (after === undefined) return [];
        if (before === undefined) return [{ kind: 'add-chain', chain: after }];
        return [{ kind: 'rewrite-chain', chain: after, before: commentsOf(before) }];
      }),
      ...deletions,
      ...additions,
      ...chains.flatMap(({ key, before, after }): Change[] =>
        before !== undefined && after === undefined
          ? [{ kind: 'delete-chain', chain: key, isBase: before.hook !== undefined, before: commentsOf(before) }]
          : [],
      ),
      ...sets.flatMap(({ key, before, after }): Change[] =>
        before !== undefined && after === undefined
          ? [{ kind: 'delete-set', set: key, setKind: setKind(before), size: sizes.get(key) ?? 0 }]
          : [],
      ),
    ];
  }

  /** How many objects of each kind the table has. */
  count(): ObjectCount {
    return {
      sets: this.#sets.size,
      chains: this.#chains.size,
      elements: [...this.#elements.values()].reduce((sum, { size }) => sum + size, 0),
    };
  }

  #tracker(set: string): Tracker<string> {
    this.#touched.add(set);
    const known = this.#elements.get(set);
    if (known !== undefined) return known;
    const fresh = new Tracker<string>();
    this.#elements.set(set, fresh);
    return fresh;
  }
}

function changesOf(
  elements: readonly { readonly key: string; readonly data: string | undefined }[],
): readonly ElementChange[] {
  return elements.flatMap(({ key, data }) => (data === undefined ? [] : [{ key, data }]));
}

/** One element as nft text. */
export function elementText(fields: NamedSet['fields'], key: Key, verdict?: Verdict): ElementChange {
  return { key: keyText(fields, key), data: verdict === undefined ? '' : verdictText(verdict) };
}

function commentsOf(chain: Chain): readonly string[] {
  return chain.rules.map((rule) => ruleComment(ruleText(rule), rule.comment));
}

function isSameChain(a: Chain, b: Chain): boolean {
  if (a === b) return true;
  const [left, right] = [commentsOf(a), commentsOf(b)];
  return left.length === right.length && left.every((comment, index) => comment === right[index]);
}
