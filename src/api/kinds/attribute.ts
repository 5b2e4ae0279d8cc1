/**
 * An attribute of a kind of objects, described once: how it lies in the store, what stands for it in a document of another Neutron, and
 * what a client may say of it. Types, the check of a backup, the import and the reading of requests follow from these.
 */
import { z } from 'zod';
import { badRequest } from '../errors.js';
import { integer, list, listOf, nullable, oneOf, text, truth, uuid, type Fields, type Parser } from './parsers.js';

/** What a client may say of an attribute. */
export interface Given<C, U> {
  /** @param value undefined when the client did not name it. */
  readonly onCreate: Parser<C>;
  /** Undefined for one that cannot be changed. */
  readonly onUpdate: Parser<U> | undefined;
}

export type Spec = Readonly<Record<string, Given<unknown, unknown>>>;
export type Created<S extends Spec> = { readonly [N in keyof S]: S[N] extends Given<infer C, unknown> ? C : never };
export type Updated<S extends Spec> = {
  readonly [N in keyof S as UpdateOf<S[N]> extends never ? never : N]?: UpdateOf<S[N]>;
};
type UpdateOf<G> = G extends Given<unknown, infer U> ? U : never;

export function required<T>(parse: Parser<T>): Given<T, T> {
  const onCreate: Parser<T> = (value, name) => {
    if (value === undefined) throw badRequest(`Failed to parse request. Required attribute '${name}' not specified`);
    return parse(value, name);
  };
  return { onCreate, onUpdate: parse };
}

export function defaulted<T>(parse: Parser<T>, fallback: NoInfer<T>): Given<T, T> {
  return { onCreate: (value, name) => (value === undefined ? fallback : parse(value, name)), onUpdate: parse };
}

export function optional<T>(parse: Parser<T>): Given<T | undefined, T> {
  return { onCreate: (value, name) => (value === undefined ? undefined : parse(value, name)), onUpdate: parse };
}

export function fixed<C>({ onCreate }: Given<C, unknown>): Given<C, never> {
  return { onCreate, onUpdate: undefined };
}

/** Kinds of objects that others name. */
export type NamedKind = 'network' | 'security_group' | 'address_group';

export interface Attribute {
  readonly stored: z.ZodType;
  /** Undefined for one that another Neutron does not have, or that is read by itself. */
  readonly imported?: z.ZodType;
  /** Undefined for one that no client sets. */
  readonly given?: Given<unknown, unknown>;
  /** Of an id, or ids, of other objects: their kind; undefined where a record names none by it. */
  readonly refersTo?: (record: Fields) => NamedKind | undefined;
}

/** All attributes of a kind, in the order in which they are read and stored. */
export type Attributes = Readonly<Record<string, Attribute>>;

type Frozen<T> = T extends readonly (infer E)[]
  ? readonly Frozen<E>[]
  : T extends object
    ? { readonly [N in keyof T]: Frozen<T[N]> }
    : T;

export type RecordOf<A extends Attributes> = { readonly [N in keyof A]: Frozen<z.output<A[N]['stored']>> };
type ImportedOf<A extends Attributes> = {
  [N in keyof A as A[N] extends { readonly imported: z.ZodType } ? N : never]: A[N] extends {
    readonly imported: infer I extends z.ZodType;
  }
    ? I
    : never;
};
export type SpecOf<A extends Attributes> = {
  readonly [N in keyof A as A[N] extends { readonly given: Given<unknown, unknown> } ? N : never]: A[N] extends {
    readonly given: infer G;
  }
    ? G
    : never;
};

/** What of each attribute is described: one column of the table. The types say that names and columns belong together. */
function column(attributes: Attributes, name: keyof Attribute): unknown {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([key, { [name]: one }]) => (one === undefined ? [] : [[key, one]])),
  );
}

export function storedOf(attributes: Attributes): Readonly<Record<string, z.ZodType>> {
  return column(attributes, 'stored') as Readonly<Record<string, z.ZodType>>;
}

export function importedOf<A extends Attributes>(attributes: A): ImportedOf<A> {
  return column(attributes, 'imported') as ImportedOf<A>;
}

export function specOf<A extends Attributes>(attributes: A): SpecOf<A> {
  return column(attributes, 'given') as SpecOf<A>;
}

/** The attributes that name other objects. */
export function referencesIn(attributes: Attributes) {
  return Object.entries(attributes).flatMap(([name, { refersTo }]) =>
    refersTo === undefined ? [] : [{ name, refersTo }],
  );
}

/** The ids in the value of such an attribute. */
export function idsIn(value: unknown): readonly string[] {
  return (typeof value === 'string' ? [value] : listOf(value)).filter((one) => typeof one === 'string');
}

/** Of a record that may hold more: the attributes of this table, in its order. */
export function picked<A extends Attributes>(attributes: A, record: RecordOf<A>): RecordOf<A> {
  // TypeScript keeps no count of the names that are copied one by one.
  return Object.fromEntries(Object.keys(attributes).map((name) => [name, record[name]])) as RecordOf<A>;
}

// What lies in the store. Texts are bounded, so that a backup is.

export const ID = z.string().min(1).max(255);
export const TEXT = z.string().max(1024);
export const TEXTS = z.array(TEXT);
export const NULLABLE_TEXT = TEXT.nullable();

// What another Neutron's document says.

/** Text; null and nothing are none. */
export const TEXT_OR_NONE = z
  .string()
  .nullish()
  .transform((value) => value ?? '');

/** Null where it says nothing. */
export function orNull<T extends z.ZodType>(type: T) {
  return type.nullish().transform((value) => value ?? null);
}

// Attributes that many kinds have, a line each.

export function attribute<T extends z.ZodType, I extends z.ZodType, G>(stored: T, imported: I, given: G) {
  return { stored, imported, given };
}

/** One that follows from others, or from who makes the object. */
export function kept<T extends z.ZodType>(stored: T) {
  return { stored };
}

export const flag = (fallback: boolean) =>
  attribute(z.boolean(), z.boolean().default(fallback), defaulted(truth, fallback));

/** @param most characters. */
export const words = (most: number) => attribute(TEXT, TEXT_OR_NONE, defaulted(text(most), ''));

export const whole = (least: number, most: number, fallback: number) =>
  attribute(z.int(), z.int().default(fallback), defaulted(integer(least, most), fallback));

/** The store and other Neutrons may have a choice that is not offered here. */
export const choice = <T extends string>(values: readonly T[], fallback: NoInfer<T>) =>
  attribute(TEXT, z.string().default(fallback), defaulted(oneOf(values), fallback));

/** Null unless somebody says another thing. */
export const nullableText = <T extends string | null>(parse: Parser<T>) =>
  attribute(NULLABLE_TEXT, z.string().nullable().default(null), defaulted(nullable(parse), null));

/** @param most entries. */
export const texts = (parse: Parser<string>, most: number) =>
  attribute(TEXTS, z.array(z.string()).default([]), defaulted(list(parse, most), []));

/** One that names other objects. @param to their kind. */
export function referring<A extends Attribute>(to: NamedKind | Required<Attribute>['refersTo'], attribute: A) {
  return { ...attribute, refersTo: typeof to === 'string' ? () => to : to };
}

/** Another object's id, once and for all. */
export const reference = (to: NamedKind) => referring(to, attribute(ID, z.string(), fixed(required(uuid))));

/** They are changed by requests of their own (neutron/tags.ts). */
export const TAGS = { stored: TEXTS, imported: z.array(z.string()).default([]) };

/** What Neutron calls standard attributes. Times are `YYYY-MM-DDTHH:MM:SSZ`. */
export const STANDARD = {
  id: { stored: ID, imported: z.string() },
  project_id: kept(TEXT),
  created_at: kept(TEXT),
  updated_at: kept(TEXT),
  revision_number: kept(z.int().min(0)),
};

/** What is made unchangeable of an attribute, the rest as it is. */
export function unchanged<T extends z.ZodType, I extends z.ZodType, C>({
  given,
  ...rest
}: {
  readonly stored: T;
  readonly imported: I;
  readonly given: Given<C, unknown>;
}) {
  return { ...rest, given: fixed(given) };
}
