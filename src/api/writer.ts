/** How a change of the state is made: by a function that is given a writer, which notes what was changed and what takes it back. */
import { ofSomeKind, type Kind, type RecordChange, type Records, type ReferenceOf } from './records.js';
import type { State, View } from './state.js';

/** A state that may be changed; what is changed is seen at once, by this change alone. */
export interface Writer {
  readonly view: View;
  put<K extends Kind>(kind: K, record: Records[K]): void;
  delete(kind: Kind, id: string): void;
}

/** Deletes the objects of a kind that name another one by an attribute. */
export function deleteBy<K extends Kind>(writer: Writer, kind: K, attribute: ReferenceOf<K>, id: string): void {
  for (const one of [...writer.view.by(kind, attribute, id)]) writer.delete(kind, one.id);
}

/** One record that a change changed. */
export interface AuditedChange {
  readonly kind: Kind;
  readonly id: string;
  readonly before: Records[Kind] | undefined;
  readonly after: Records[Kind] | undefined;
}

/** Notes what is changed, and what takes it back. */
export class RecordingWriter implements Writer {
  readonly made: RecordChange[] = [];
  readonly undo: RecordChange[] = [];

  constructor(private readonly state: State) {}

  get view(): View {
    return this.state;
  }

  put<K extends Kind>(kind: K, record: Records[K]): void {
    this.#make<K>({ kind, id: record.id, record });
  }

  delete(kind: Kind, id: string): void {
    this.#make({ kind, id, record: undefined });
  }

  changes(): readonly AuditedChange[] {
    return this.made.map(({ kind, id, record }, index) => ({
      kind,
      id,
      before: this.undo[index]?.record,
      after: record,
    }));
  }

  #make<K extends Kind>(change: RecordChange<K>): void {
    this.made.push(ofSomeKind(change));
    this.undo.push(ofSomeKind(this.state.apply(change)));
  }
}

/** @param undo in the order of the changes. */
export function takeBack(state: State, undo: readonly RecordChange[]): void {
  for (const change of undo.toReversed()) state.apply(change);
}
