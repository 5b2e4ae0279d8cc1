/** Finds objects by id or, where unique, by name. */
import { quoteValue } from '../problem.js';
import { isUuid } from '../uuid.js';
import type { Place } from './report.js';

export interface Named {
  /** Undefined for an object that is there, and has no id that could be used. */
  readonly id: string | undefined;
  /** '' for none. */
  readonly name: string;
  /** Undefined where it cannot be read: it may be anybody's. */
  readonly projectId: string | undefined;
}

/**
 * Names of one kind of object. Bad objects are among them: a name that is theirs must not become another one's because they are not
 * used.
 */
export class Directory {
  readonly #byName = new Map<string, Named[]>();
  readonly #ids: ReadonlySet<string>;

  /** @param kind for messages: "security group". */
  constructor(
    readonly kind: string,
    objects: Iterable<Named>,
  ) {
    const ids = new Set<string>();
    for (const object of objects) {
      if (object.id !== undefined) ids.add(object.id);
      if (object.name === '') continue;
      const same = this.#byName.get(object.name);
      if (same === undefined) this.#byName.set(object.name, [object]);
      else same.push(object);
    }
    this.#ids = ids;
  }

  /**
   * The id of the object that is meant; an id wins over a name, and of several with one name the only one of the same
   * project. What looks like an id is no name: while an object is not there, anybody may have named his own by its id.
   * Reports and returns undefined when there is none or more than one.
   */
  find(reference: unknown, projectId: string, place: Place): string | undefined {
    if (typeof reference !== 'string' || reference === '') {
      return place.badValue(reference, `the id or name of a ${this.kind}`);
    }
    if (this.#ids.has(reference)) return reference;
    const all = this.#named(reference);
    const own = all.filter((object) => object.projectId === projectId || object.projectId === undefined);
    const candidates = own.length === 1 ? own : all;
    const [only, ...others] = candidates;
    if (only === undefined) {
      place.report(
        'unresolved',
        'unknown-reference',
        `${quoteValue(reference)} is no ${this.kind} of this topology: it matches nothing`,
      );
      return undefined;
    }
    if (others.length > 0) {
      const ids = candidates.map((object) => object.id ?? '(none that is valid)').sort();
      place.error(
        'ambiguous-name',
        `${quoteValue(reference)} is the name of ${ids.length.toString()} ${this.kind}s: use an id (${ids.slice(0, 3).join(', ')}${ids.length > 3 ? ', ...' : ''})`,
      );
      return undefined;
    }
    if (only.id === undefined) {
      const message = `${quoteValue(reference)} is a ${this.kind} without a valid id: it matches nothing`;
      place.report('unresolved', 'unknown-reference', message);
    }
    return only.id;
  }

  /** As {@link find}, for references that are only informative: an unknown one is noticed and no more. */
  known(reference: string, projectId: string, place: Place): string | undefined {
    if (this.#ids.has(reference) || this.#named(reference).length > 0) return this.find(reference, projectId, place);
    place.report('notice', 'unknown-reference', `${quoteValue(reference)} is no ${this.kind} of this topology`);
    return undefined;
  }

  #named(reference: string): readonly Named[] {
    return isUuid(reference) ? [] : (this.#byName.get(reference) ?? []);
  }
}
