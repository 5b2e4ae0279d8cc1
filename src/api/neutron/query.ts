/** The query of a list: filters, fields, order and pages. */
import { badRequest, notFound } from '../errors.js';
import type { Fields } from './attributes.js';

export interface ListQuery {
  /** Attribute -> values, of which one must be met. */
  readonly filters: ReadonlyMap<string, readonly string[]>;
  /** Undefined for all. */
  readonly fields: ReadonlySet<string> | undefined;
  readonly sort: readonly { readonly key: string; readonly isDescending: boolean }[];
  /** Undefined for everything. */
  readonly limit: number | undefined;
  readonly marker: string | undefined;
  readonly isReverse: boolean;
}

const RESERVED = ['fields', 'limit', 'marker', 'page_reverse', 'sort_key', 'sort_dir'];

/** @throws ApiError (400) */
export function readQuery(parameters: URLSearchParams): ListQuery {
  const filters = new Map<string, readonly string[]>();
  for (const key of new Set(parameters.keys())) {
    if (!RESERVED.includes(key)) filters.set(key, parameters.getAll(key));
  }
  const fields = parameters.getAll('fields').filter((field) => field !== '');
  return {
    filters,
    fields: fields.length === 0 ? undefined : new Set(fields),
    sort: readSort(parameters),
    limit: readLimit(parameters.get('limit')),
    marker: parameters.get('marker') ?? undefined,
    isReverse: /^(true|1)$/i.test(parameters.get('page_reverse') ?? ''),
  };
}

function readLimit(text: string | null): number | undefined {
  if (text === null || text === '') return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw badRequest(
      `Bad limit request: Limit must be an integer 0 or greater and not '${text.slice(0, 40)}'`,
      'BadRequest',
    );
  }
  return Number(text) || undefined;
}

function readSort(parameters: URLSearchParams): ListQuery['sort'] {
  const [keys, directions] = [parameters.getAll('sort_key'), parameters.getAll('sort_dir')];
  // SDKs send one parameter with `key:dir,key:dir` nowhere; Neutron wants as many of one as of the other.
  if (directions.length !== 0 && keys.length !== directions.length) {
    throw badRequest('The number of sort_keys and sort_dirs must be same');
  }
  return keys.map((key, index) => {
    const direction = directions[index] ?? 'asc';
    if (direction !== 'asc' && direction !== 'desc') {
      throw badRequest("The value of sort_dir must be 'asc' or 'desc'");
    }
    return { key, isDescending: direction === 'desc' };
  });
}

/** One object of a list, as far as it is looked at. */
export interface Listed {
  readonly id: string;
  /** The value of an attribute, as the caller would see it. */
  readonly value: (name: string) => unknown;
}

/** Filters with a meaning of their own, by name. */
export type SpecialFilters = Readonly<Record<string, (item: Listed, values: readonly string[]) => boolean>>;

/** @param known the names of attributes. @throws ApiError (400) for names that are no attributes. */
export function checkQuery({ filters, sort }: ListQuery, known: readonly string[], special: SpecialFilters): void {
  const unknown = [...filters.keys()].filter((name) => !known.includes(name) && !Object.hasOwn(special, name));
  if (unknown.length > 0) {
    throw badRequest(
      `[${unknown.map((name) => `'${name.slice(0, 80)}'`).join(', ')}] is invalid attribute for filtering`,
    );
  }
  for (const { key } of sort) {
    if (!known.includes(key)) throw badRequest(`[] is invalid attribute for sort_keys: '${key.slice(0, 80)}'`);
  }
}

/** The objects that pass the filters, in order. */
export function selected<T extends Listed>(
  items: Iterable<T>,
  { filters, sort }: ListQuery,
  special: SpecialFilters,
): readonly T[] {
  const tests = [...filters].map(([name, values]) => {
    const test = special[name];
    return test === undefined ? (item: T) => meets(item.value(name), values) : (item: T) => test(item, values);
  });
  const passed = [...items].filter((item) => tests.every((test) => test(item)));
  return passed.sort((a, b) => {
    for (const { key, isDescending } of sort) {
      const order = compare(a.value(key), b.value(key), key);
      if (order !== 0) return isDescending ? -order : order;
    }
    return a.id < b.id ? -1 : 1;
  });
}

function meets(value: unknown, wanted: readonly string[]): boolean {
  if (Array.isArray(value)) return value.some((entry) => meets(entry, wanted));
  if (typeof value === 'boolean') return wanted.some((text) => /^(true|1|yes|on)$/i.test(text) === value);
  if (value === null || value === undefined) return wanted.some((text) => /^(|null|none)$/i.test(text));
  return (typeof value === 'string' || typeof value === 'number') && wanted.includes(value.toString());
}

function compare(a: unknown, b: unknown, key: string): number {
  const rank = (value: unknown): string | number => {
    if (value === null || value === undefined) return '';
    if (typeof value === 'boolean') return Number(value);
    if (typeof value === 'string' || typeof value === 'number') return value;
    throw badRequest(`The attribute '${key}' is not valid for sort_key`);
  };
  const [left, right] = [rank(a), rank(b)];
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly hasLinks: boolean;
}

/** @throws ApiError (404) when the marker is no object of the list. */
export function pageOf<T extends Listed>(items: readonly T[], query: ListQuery, collection: string): Page<T> {
  const { limit, marker, isReverse } = query;
  if (limit === undefined) return { items, hasLinks: false };
  let [start, end] = [0, items.length];
  if (marker !== undefined && marker !== '') {
    const index = items.findIndex(({ id }) => id === marker);
    if (index < 0) throw notFound('MarkerNotFound', `marker ${marker.slice(0, 80)} is no object of ${collection}`);
    if (isReverse) end = index;
    else start = index + 1;
  }
  const page = isReverse ? items.slice(Math.max(start, end - limit), end) : items.slice(start, start + limit);
  return { items: page, hasLinks: true };
}

export interface Link {
  readonly rel: 'next' | 'previous';
  readonly href: string;
}

/** Links to the pages beside this one. @param url the list's own, with its query. */
export function pageLinks(items: readonly Listed[], query: ListQuery, url: URL): readonly Link[] {
  const { limit, marker, isReverse } = query;
  const [first, last] = [items.at(0), items.at(-1)];
  if (limit === undefined || first === undefined || last === undefined) return [];
  const isFull = items.length >= limit;
  const link = (rel: Link['rel'], id: string): Link => {
    const to = new URL(url);
    to.searchParams.set('marker', id);
    if (rel === 'previous') to.searchParams.set('page_reverse', 'True');
    else to.searchParams.delete('page_reverse');
    return { rel, href: to.href };
  };
  const hasMarker = marker !== undefined && marker !== '';
  return [
    ...((isReverse ? hasMarker : isFull) ? [link('next', last.id)] : []),
    ...((isReverse ? isFull : hasMarker) ? [link('previous', first.id)] : []),
  ];
}

/** What was asked for of a view. */
export function onlyFields(view: Fields, fields: ReadonlySet<string> | undefined): Fields {
  if (fields === undefined) return view;
  return Object.fromEntries(Object.entries(view).filter(([name]) => fields.has(name)));
}
