/** One table as it is wanted, changed piece by piece. */
import { commentsOf } from '../nftables/state.js';
import { elementDataText, elementKeyText, setKind } from '../nftables/text.js';
import type { Change, Element } from '../ruleset/change.js';
import type { Prefix } from '../model/index.js';
import type { Chain, NamedSet, TableFamily } from '../ruleset/types.js';
import { Tracker } from './tracker.js';

/** Sets and maps, chains, elements of sets and maps. */
export interface ObjectCount {
  readonly sets: number;
  readonly chains: number;
  readonly elements: number;
}

/** An element. Of a key that is an address and nothing else the address alone is kept: of members there are many. */
type Kept = Element | Prefix;

export class WantedTable {
  /** Each without its elements. */
  readonly #sets = new Tracker<NamedSet>(() => true);
  /** By their keys as nft text: the elements themselves are those of whoever gave them. */
  readonly #elements = new Map<string, Tracker<Kept>>();
  /** Sets whose elements were touched since they were last taken. */
  readonly #touched = new Set<string>();
  readonly #chains = new Tracker<Chain>(isSameChain);

  constructor(readonly family: TableFamily) {}

  /** Adds a set with its elements. */
  addSet(set: NamedSet): void {
    this.#sets.set(set.name, { ...set, content: { ...set.content, elements: [] } });
    const tracker = this.#tracker(set.name);
    for (const element of set.content.elements) tracker.set(elementKeyText(set.fields, element), kept(element));
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

  /** Adds an element to a set of this table, or gives it other data. */
  addElement(set: string, element: Element): void {
    this.#tracker(set).set(elementKeyText(this.#fieldsOf(set), element), kept(element));
  }

  /** Removes the element with that key. */
  deleteElement(set: string, element: Element): void {
    this.#tracker(set).delete(elementKeyText(this.#fieldsOf(set), element));
  }

  /** What changed since the last time. */
  take(): readonly Change[] {
    const changes: Change[] = [];
    const sizes = new Map<string, number>();
    for (const name of this.#touched) {
      const differences = this.#tracker(name).take();
      const set = this.#sets.get(name);
      if (set === undefined) {
        sizes.set(name, differences.length);
        this.#elements.delete(name);
        continue;
      }
      const gone = differences.flatMap(({ before }) => (before === undefined ? [] : [whole(before)]));
      const fresh = differences.flatMap(({ after }) => (after === undefined ? [] : [whole(after)]));
      if (gone.length > 0) changes.push({ kind: 'delete-elements', set, elements: gone });
      if (fresh.length > 0) changes.push({ kind: 'add-elements', set, elements: fresh });
    }
    this.#touched.clear();
    for (const { key, before, after } of this.#sets.take()) {
      if (after !== undefined) {
        if (before === undefined) changes.push({ kind: 'add-set', set: after });
      } else if (before !== undefined) {
        const [size, kind] = [sizes.get(key) ?? 0, setKind(before)];
        changes.push({ kind: 'delete-set', set: key, role: before.role, setKind: kind, size });
      }
    }
    for (const { key, before, after } of this.#chains.take()) {
      if (after === undefined) {
        if (before === undefined) continue;
        const isBase = before.hook !== undefined;
        changes.push({ kind: 'delete-chain', chain: key, isBase, before: commentsOf(before) });
      } else if (before === undefined) changes.push({ kind: 'add-chain', chain: after });
      else changes.push({ kind: 'rewrite-chain', chain: after, before: commentsOf(before) });
    }
    return changes;
  }

  /** How many objects of each kind the table has. */
  count(): ObjectCount {
    return {
      sets: this.#sets.size,
      chains: this.#chains.size,
      elements: [...this.#elements.values()].reduce((sum, { size }) => sum + size, 0),
    };
  }

  #fieldsOf(set: string): NamedSet['fields'] {
    const known = this.#sets.get(set);
    if (known === undefined) throw new Error(`no set ${set}`);
    return known.fields;
  }

  #tracker(set: string): Tracker<Kept> {
    this.#touched.add(set);
    const known = this.#elements.get(set);
    if (known !== undefined) return known;
    const fresh = new Tracker<Kept>(isSameElement);
    this.#elements.set(set, fresh);
    return fresh;
  }
}

function kept(element: Element): Kept {
  if ('key' in element) return element;
  const [only, ...others] = element;
  return typeof only === 'object' && 'family' in only && others.length === 0 ? only : element;
}

function whole(known: Kept): Element {
  return 'family' in known ? [known] : known;
}

/** Of elements with one key. */
function isSameElement(a: Kept, b: Kept): boolean {
  return a === b || elementDataText(whole(a)) === elementDataText(whole(b));
}

function isSameChain(a: Chain, b: Chain): boolean {
  if (a === b) return true;
  const [left, right] = [commentsOf(a), commentsOf(b)];
  return left.length === right.length && left.every((comment, index) => comment === right[index]);
}
