/** What the store holds, as records, and what records change: of the state, and of what agents read in the store. */
import { isDeepStrictEqual } from 'node:util';
import { KINDS, type Kind, type RecordChange } from './records.js';
import { keyOf, kindAndId, type View } from './state.js';
import { StoreError, type Changes, type Json, type Snapshot } from './store/store.js';
import { viewChanges, type RecordPair, type ViewChanges } from './topology/host-view.js';

/** What the store holds below a key, as a record. @throws StoreError for a key of something else. */
export function changeOf(store: string, key: string, value: Json | undefined): RecordChange {
  const found = kindAndId(key);
  if (found === undefined) throw new StoreError(`${store}: ${key} is no key of ours`);
  // The store holds what this module wrote, of this schema or an upgraded one.
  return { ...found, record: value } as RecordChange;
}

/** Each record that was changed once: as it was before the first change, and as it is. @param undo in the order of the changes */
export function pairsOf(undo: readonly RecordChange[], now: View): readonly RecordPair[] {
  const first = new Map<string, RecordChange>();
  for (const change of undo) {
    const key = keyOf(change.kind, change.id);
    if (!first.has(key)) first.set(key, change);
  }
  return [...first.values()].map((change) => pairOf(change, now));
}

function pairOf<K extends Kind>({ kind, id, record }: RecordChange<K>, now: View): RecordPair<K> {
  return { kind, before: record, after: now.get(kind, id) };
}

/** All that agents read, of everything with some changes. */
export function wholeViews(store: string, { entries }: Snapshot, changes: Changes): ViewChanges {
  const pairs = [...new Map<string, Json | undefined>([...entries, ...changes])].map(([key, value]) =>
    newPair(changeOf(store, key, value)),
  );
  return viewChanges(pairs);
}

function newPair<K extends Kind>({ kind, record }: RecordChange<K>): RecordPair<K> {
  return { kind, before: undefined, after: record };
}

/** What makes one state the other. */
export function differences(before: View, after: View): readonly RecordChange[] {
  return KINDS.flatMap((kind) => differencesOf(kind, before, after));
}

function differencesOf<K extends Kind>(kind: K, before: View, after: View): readonly RecordChange<K>[] {
  const gone = [...before.all(kind)].filter(({ id }) => after.get(kind, id) === undefined);
  const changed = [...after.all(kind)].filter((record) => !isDeepStrictEqual(before.get(kind, record.id), record));
  return [
    ...gone.map(({ id }): RecordChange<K> => ({ kind, id, record: undefined })),
    ...changed.map((record): RecordChange<K> => ({ kind, id: record.id, record })),
  ];
}
