/** Collects problems while a document is read, each with its place. */
import { quoteValue, type Problem, type ProblemCode, type Severity } from '../problem.js';

/** Where problems go, with a count of the errors among them. */
export type ProblemSink = Problem[] & { errors?: number };

/** A place in a document. Immutable; made deeper step by step. */
export class Place {
  constructor(
    readonly file: string,
    readonly path: string,
    private readonly sink: ProblemSink,
  ) {}

  /** The place of a key of this object. */
  key(name: string): Place {
    return new Place(this.file, this.path === '' ? name : `${this.path}.${name}`, this.sink);
  }

  /** The place of an entry of this list. */
  at(index: number): Place {
    return new Place(this.file, `${this.path}[${index.toString()}]`, this.sink);
  }

  report(severity: Severity, code: ProblemCode, message: string): void {
    this.sink.push({ severity, code, file: this.file, path: this.path, message });
  }

  error(code: ProblemCode, message: string): void {
    this.report('error', code, message);
    this.sink.errors = (this.sink.errors ?? 0) + 1;
  }

  /** Errors reported so far, anywhere. */
  errorCount(): number {
    return this.sink.errors ?? 0;
  }

  /** "70000 is not a port (1-65535)". */
  badValue(value: unknown, what: string): undefined {
    this.error(
      value === undefined ? 'shape' : 'value',
      value === undefined ? `missing: ${what}` : `${quoteValue(value)} is not ${what}`,
    );
    return undefined;
  }
}

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own field of an object from outside; never one that it inherits. */
export function field(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

/** A list of objects; null and absent are an empty list. Entries that are not objects are reported and left out. */
export function objectsIn(value: unknown, place: Place): readonly { readonly fields: Fields; readonly place: Place }[] {
  return listIn(value, place).flatMap((entry, index) => {
    if (isFields(entry)) return [{ fields: entry, place: place.at(index) }];
    place.at(index).badValue(entry, 'an object');
    return [];
  });
}

/** A list; null and absent are an empty one. */
export function listIn(value: unknown, place: Place): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value as readonly unknown[];
  place.badValue(value, 'a list');
  return [];
}

/** Text; null and absent are ''. Numbers, which YAML makes of unquoted names, are taken as they are written. */
export function textIn(fields: Fields, name: string, place: Place): string {
  const value = field(fields, name);
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return value.toString();
  place.key(name).badValue(value, 'text');
  return '';
}

/** A truth value; null and absent are undefined. */
export function booleanIn(fields: Fields, name: string, place: Place): boolean | undefined {
  const value = field(fields, name);
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'boolean') return value;
  return place.key(name).badValue(value, 'true or false');
}

const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const ID_IS = 'an id (1-64 of A-Z a-z 0-9 _ . -, beginning with a letter or digit)';

/** A required id. */
export function idIn(fields: Fields, place: Place): string | undefined {
  const value = field(fields, 'id');
  return isId(value) ? value : place.key('id').badValue(value, ID_IS);
}

export function isId(value: unknown): value is string {
  return typeof value === 'string' && ID_PATTERN.test(value);
}

/** `project_id`, or its older name `tenant_id`; '' when there is neither. */
export function projectIn(fields: Fields, place: Place): string {
  return textIn(fields, 'project_id', place) || textIn(fields, 'tenant_id', place);
}
