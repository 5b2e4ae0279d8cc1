/** What an object is shown as: every attribute as it is stored, and what is worked out beside them, in Neutron's order. */
import type { Caller } from '../caller.js';
import type { Attributes, RecordOf } from '../kinds/attribute.js';
import type { Fields } from '../kinds/parsers.js';
import type { View } from '../state.js';

/** Who looks, and at what else there is. */
export interface Looking {
  readonly view: View;
  readonly caller: Caller;
}

export interface Shows<R, L = Looking> {
  readonly names: readonly string[];
  /** The attributes whose names are wanted: no other is worked out. */
  readonly fields: (record: R, looking: L, isWanted: (name: string) => boolean) => Fields;
}

type Reader<R, L> = (record: R, looking: L) => unknown;

/**
 * @param order of an answer, as far as it is another than the table's ({@link placed}); `tenant_id` is the older name of `project_id`.
 * @param workedOut by name: what does not stand in the record, or not as it is shown.
 */
export function shows<A extends Attributes, N extends string, L = Looking>(
  attributes: A,
  order: readonly (N | 'tenant_id')[],
  workedOut: Readonly<Record<Exclude<N, keyof A | 'tenant_id'>, Reader<RecordOf<A>, L>>> & {
    readonly [X in keyof A]?: Reader<RecordOf<A>, L>;
  },
): Shows<RecordOf<A>, L> {
  const others = new Map<string, Reader<RecordOf<A>, L> | undefined>(Object.entries(workedOut));
  const names = placed(Object.keys(attributes), order);
  const readers = names.map((name) => {
    const stored = name === 'tenant_id' ? 'project_id' : name;
    return [name, others.get(name) ?? ((record: RecordOf<A>) => record[stored])] as const;
  });
  // Made with all its names at once an object is made in a third of the time: a feed tells of every port.
  const blank: Fields = Object.fromEntries(names.map((name) => [name, undefined]));
  return {
    names,
    fields: (record, looking, isWanted) => {
      const fields: Record<string, unknown> = isWanted === ALL ? { ...blank } : {};
      for (const [name, read] of readers) if (isWanted(name)) fields[name] = read(record, looking);
      return fields;
    },
  };
}

/** The names of an answer: those of an order and, behind the one before it in the table, each that the order does not name. */
function placed(table: readonly string[], order: readonly string[]): readonly string[] {
  const names = [...order];
  let next = 0;
  for (const name of table) {
    if (!names.includes(name)) names.splice(next, 0, name);
    next = names.indexOf(name) + 1;
  }
  return names;
}

/** For who wants all of them. */
export const ALL = (): boolean => true;
