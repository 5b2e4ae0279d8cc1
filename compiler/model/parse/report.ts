/** Collects problems while a document is read, each with its place and with the object that it belongs to. */
import { quoteValue, type ObjectKind, type Problem, type ProblemCode, type Severity } from '../problem.js';

/** A problem, and the document that it is of. */
export interface Finding {
  readonly problem: Problem;
  readonly document: Pick<SourceDocument, 'locate'>;
}

/** Where problems go. */
export interface ProblemSink {
  readonly findings: Finding[];
  /** Errors that belong to no object: of a document as a whole. */
  documentErrors: number;
}

export function newSink(): ProblemSink {
  return { findings: [], documentErrors: 0 };
}

export interface SourceDocument {
  /** As the user named it, for messages. */
  readonly file: string;
  /** What JSON or YAML made of it. */
  readonly content: unknown;
  /** Where a value of the content stands in the file's text, counted from 1; undefined where that is not known. */
  readonly locate?: (path: string) => TextPosition | undefined;
}

export interface TextPosition {
  readonly line: number;
  readonly column: number;
}

/**
 * A place in a document. Immutable; made deeper step by step. There are a dozen of them for each port, and what they are called is
 * asked of those alone where something is wrong: that is when it is put together.
 */
export class Place {
  /**
   * @param step from the place that it is in: the name of a key, or a number in a list.
   * @param object the name or id of the object that it is in.
   * @param faults errors of that object; undefined outside of all objects.
   */
  private constructor(
    readonly document: Pick<SourceDocument, 'file' | 'locate'>,
    private readonly sink: ProblemSink,
    private readonly above: Place | undefined,
    private readonly step: string | number,
    private readonly object: string | undefined,
    private readonly faults: Finding[] | undefined,
  ) {}

  /** The place of a document as a whole. */
  static of(document: Pick<SourceDocument, 'file' | 'locate'>, sink: ProblemSink): Place {
    return new Place(document, sink, undefined, '', undefined, undefined);
  }

  get file(): string {
    return this.document.file;
  }

  /** `ports[2].fixed_ips[0].ip_address`; '' for a document as a whole. */
  get path(): string {
    const above = this.above?.path ?? '';
    if (typeof this.step === 'number') return `${above}[${this.step.toString()}]`;
    return above === '' ? this.step : `${above}.${this.step}`;
  }

  /** The place of a key of this object. */
  key(name: string): Place {
    return new Place(this.document, this.sink, this, name, this.object, this.faults);
  }

  /** The place of an entry of this list. */
  at(index: number): Place {
    return new Place(this.document, this.sink, this, index, this.object, this.faults);
  }

  /** The same place, of an object that has a name or an id. */
  named(fields: Fields): Place {
    const name = nameOf(fields);
    return name === undefined ? this : new Place(this.document, this.sink, this.above, this.step, name, this.faults);
  }

  /** The same place, whose errors from here on belong to one object. */
  collecting(faults: Finding[]): Place {
    return new Place(this.document, this.sink, this.above, this.step, this.object, faults);
  }

  /** The same place, whose problems are told to nobody. */
  unheard(): Place {
    return new Place(this.document, newSink(), this.above, this.step, undefined, undefined);
  }

  /** True once an error of the object that it is in was reported. */
  get isInBadObject(): boolean {
    return (this.faults?.length ?? 0) > 0;
  }

  report(severity: Severity, code: ProblemCode, message: string): void {
    this.sink.findings.push(this.#finding(severity, code, message));
  }

  error(code: ProblemCode, message: string): void {
    const finding = this.#finding('error', code, message);
    this.sink.findings.push(finding);
    if (this.faults === undefined) this.sink.documentErrors++;
    else this.faults.push(finding);
  }

  /** "70000 is not a port (1-65535)". */
  badValue(value: unknown, what: string): undefined {
    this.error(
      value === undefined ? 'shape' : 'value',
      value === undefined ? `missing: ${what}` : `${quoteValue(value)} is not ${what}`,
    );
    return undefined;
  }

  #finding(severity: Severity, code: ProblemCode, message: string): Finding {
    const object = this.object === undefined ? {} : { object: quoteValue(this.object) };
    return {
      problem: { severity, code, file: this.file, path: this.path, message, ...object },
      document: this.document,
    };
  }
}

function nameOf(fields: Fields): string | undefined {
  const name = field(fields, 'name');
  if (typeof name === 'string' && name !== '') return name;
  const id = field(fields, 'id');
  return typeof id === 'string' && id !== '' ? id : undefined;
}

/** One object of a document, and what is wrong with it. */
export class Item {
  /** Errors alone; one is enough for the object to be of no use. */
  readonly faults: Finding[] = [];
  readonly place: Place;

  /** @param fields empty for an entry that is no object. */
  constructor(
    readonly kind: ObjectKind,
    readonly fields: Fields,
    place: Place,
  ) {
    this.place = place.named(fields).collecting(this.faults);
  }

  get isBad(): boolean {
    return this.faults.length > 0;
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

/** More problems of one kind than this are counted. */
const MOST_ALIKE = 20;

/** What was reported, with positions; of many that are alike the first, and how many more there are. */
export function problemsIn(findings: readonly Finding[]): readonly Problem[] {
  const alike = new Map<string, number>();
  const told: Problem[] = [];
  const more = new Map<string, { readonly first: Problem; count: number }>();
  for (const finding of findings) {
    const { problem } = finding;
    const kind = `${problem.severity} ${problem.code} ${problem.file} ${problem.path.replace(/\[\d+\]/g, '[]')}`;
    const count = (alike.get(kind) ?? 0) + 1;
    alike.set(kind, count);
    if (count <= MOST_ALIKE) told.push(located(finding));
    else {
      const counted = more.get(kind);
      if (counted === undefined) more.set(kind, { first: problem, count: 1 });
      else counted.count++;
    }
  }
  for (const { first, count } of more.values()) {
    const { severity, code, file, path } = first;
    told.push({
      severity,
      code,
      file,
      path: path.replace(/\[\d+\]/g, '[]'),
      message: `${count.toString()} more like these`,
    });
  }
  return told;
}

/** With its position in the text, where that is known. */
export function located({ problem, document }: Finding): Problem {
  return { ...problem, ...document.locate?.(problem.path) };
}

/** The objects of a list; null and absent are an empty one. An entry that is no object is one that is bad. */
export function itemsIn(kind: ObjectKind, value: unknown, place: Place): readonly Item[] {
  return listIn(value, place).map((entry, index) => {
    if (isFields(entry)) return new Item(kind, entry, place.at(index));
    const item = new Item(kind, {}, place.at(index));
    item.place.badValue(entry, 'an object');
    return item;
  });
}

/** A list of objects; null and absent are an empty list. Entries that are not objects are reported and left out. */
export function objectsIn(value: unknown, place: Place): readonly { readonly fields: Fields; readonly place: Place }[] {
  const objects: { readonly fields: Fields; readonly place: Place }[] = [];
  for (const [index, entry] of listIn(value, place).entries()) {
    const at = place.at(index);
    if (isFields(entry)) objects.push({ fields: entry, place: at.named(entry) });
    else at.badValue(entry, 'an object');
  }
  return objects;
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
