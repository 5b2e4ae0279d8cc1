/** What an object is shown as: names in Neutron's order, each of an attribute as it is stored or of one that is worked out. */
import type { Caller } from '../caller.js';
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

/**
 * @param names in the order of an answer; `tenant_id` is the older name of `project_id`.
 * @param workedOut by name: what does not stand in the record, or not as it is shown.
 */
export function shows<R extends Fields, X extends string, L = Looking>(
  names: readonly (Extract<keyof R, string> | 'tenant_id' | NoInfer<X>)[],
  workedOut: Readonly<Record<X, (record: R, looking: L) => unknown>>,
): Shows<R, L> {
  const others = new Map<string, (record: R, looking: L) => unknown>(Object.entries(workedOut));
  const readers = names.map((name) => {
    const stored = name === 'tenant_id' ? 'project_id' : name;
    return [name, others.get(name) ?? ((record: R) => record[stored])] as const;
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

/** For who wants all of them. */
export const ALL = (): boolean => true;
