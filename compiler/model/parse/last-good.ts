/**
 * What is in force of the objects of one kind: those that are good, and for each bad one its last good version, where it has one.
 * The same for every source: who has no last good state (a command, an agent that starts) gives an empty one.
 */
import { quoteValue } from '../problem.js';
import { field, isId, type Item } from './report.js';

/** An object that cannot be used as it is; several items where they share one id. */
export interface Bad {
  /** Undefined where it has none that is valid. */
  readonly id: string | undefined;
  readonly items: readonly [Item, ...Item[]];
}

export interface Sorted<T> {
  readonly good: ReadonlyMap<string, T>;
  readonly bad: readonly Bad[];
}

/** A bad object, and what is in force in its place. */
export interface Fate<T> {
  readonly bad: Bad;
  /** Its own, or that of its last good version. */
  readonly id: string | undefined;
  /** Its last good version; undefined for none. */
  readonly kept: T | undefined;
}

/** An item as it was read; `object` undefined for one that is bad. */
export interface Entry<T> {
  readonly item: Item;
  readonly object: T | undefined;
}

/** Reads items; one with any error is bad. */
export function read<T>(
  items: readonly Item[],
  parse: (fields: Item['fields'], place: Item['place']) => T | undefined,
): readonly Entry<T>[] {
  return items.map((item) => {
    // An entry that is no object has said so already.
    const object = item.isBad ? undefined : parse(item.fields, item.place);
    return { item, object: item.isBad ? undefined : object };
  });
}

/** Good and bad ones, by id. Of several with one id none can be trusted. */
export function sortOut<T>(entries: readonly Entry<T>[]): Sorted<T> {
  const firsts = new Map<string, Entry<T>>();
  const others = new Map<string, Entry<T>[]>();
  const bad: Bad[] = [];
  for (const entry of entries) {
    const id = field(entry.item.fields, 'id');
    if (!isId(id)) bad.push({ id: undefined, items: [entry.item] });
    else if (!firsts.has(id)) firsts.set(id, entry);
    else {
      const same = others.get(id);
      if (same === undefined) others.set(id, [entry]);
      else same.push(entry);
    }
  }
  const good = new Map<string, T>();
  for (const [id, first] of firsts) {
    const same = others.get(id) ?? [];
    reportDuplicates(id, first.item, same);
    if (same.length === 0 && first.object !== undefined) good.set(id, first.object);
    else bad.push({ id, items: [first.item, ...same.map(({ item }) => item)] });
  }
  return { good, bad };
}

export function reportDuplicates(id: string, first: Item, others: readonly { readonly item: Item }[]): void {
  for (const { item } of others) {
    const where = [first.place.file, first.place.path].filter((part) => part !== '').join(': ');
    item.place
      .key('id')
      .error(
        'duplicate',
        `${quoteValue(id)} is the id of another ${item.kind} too (${where}): ids must be unique, neither is used`,
      );
    const fault = item.faults.at(-1);
    if (fault !== undefined) first.faults.push(fault);
  }
}

/**
 * What is in force in place of each bad object.
 * @param lastGood the objects of this kind that were in force before.
 * @param isSame whether a bad item without a valid id was that object: of those that nobody names any more.
 */
export function fatesOf<T>(
  { good, bad }: Sorted<unknown>,
  lastGood: ReadonlyMap<string, T>,
  isSame: (item: Item, candidate: T) => boolean,
): readonly Fate<T>[] {
  const nameless = bad.filter(({ id }) => id === undefined);
  const found =
    nameless.length === 0 ? new Map<Bad, string>() : recognise(nameless, unnamed(good, bad, lastGood), isSame);
  return bad.map((one) => {
    const id = one.id ?? found.get(one);
    return { bad: one, id, kept: id === undefined ? undefined : lastGood.get(id) };
  });
}

/** The good ones, and the last good versions of the bad. */
export function inForce<T>({ good }: Sorted<T>, fates: readonly Fate<T>[]): Map<string, T> {
  const kept = fates.flatMap(({ id, kept: object }) =>
    id === undefined || object === undefined ? [] : [[id, object] as const],
  );
  return new Map([...good, ...kept]);
}

/** Objects that were in force and that no item has the id of. */
function unnamed<T>(
  good: ReadonlyMap<string, unknown>,
  bad: readonly Bad[],
  lastGood: ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  const named = new Set(bad.map(({ id }) => id));
  return new Map([...lastGood].filter(([id]) => !good.has(id) && !named.has(id)));
}

/** Only where each is the only one for the other. */
function recognise<T>(
  nameless: readonly Bad[],
  candidates: ReadonlyMap<string, T>,
  isSame: (item: Item, candidate: T) => boolean,
): ReadonlyMap<Bad, string> {
  const found = new Map<Bad, string>();
  const claims = new Map<string, number>();
  for (const one of nameless) {
    const [item] = one.items;
    const ids = [...candidates].filter(([, candidate]) => isSame(item, candidate)).map(([id]) => id);
    for (const id of ids) claims.set(id, (claims.get(id) ?? 0) + 1);
    const [only] = ids;
    if (only !== undefined && ids.length === 1) found.set(one, only);
  }
  return new Map([...found].filter(([, id]) => claims.get(id) === 1));
}

/** The same kind of object with that name, where it has one, and of that project. */
export function hasSameName(
  { fields }: Item,
  { name, projectId }: { readonly name: string; readonly projectId?: string },
): boolean {
  if (name === '' || field(fields, 'name') !== name) return false;
  const project = field(fields, 'project_id') ?? field(fields, 'tenant_id') ?? '';
  return projectId === undefined || project === projectId;
}
