/** The query of a list: filters, fields, order and pages. */
import { parsePortMac } from '../../../compiler/model/index.js';
import { ApiError, badRequest } from '../errors.js';
import { asTruth, shown } from '../kinds/parsers.js';

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
    throw new ApiError(
      'BadRequest',
      `Bad limit request: Limit must be an integer 0 or greater and not '${text.slice(0, 40)}'`,
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
  const sort = keys.map((key, index) => {
    const direction = directions[index] ?? 'asc';
    if (direction !== 'asc' && direction !== 'desc') {
      throw badRequest("The value of sort_dir must be 'asc' or 'desc'");
    }
    return { key, isDescending: direction === 'desc' };
  });
  // What is equal by a key is equal by it again: a thousand times the same one would only take as long.
  return sort.filter(({ key }, index) => keys.indexOf(key) === index);
}

/** One object of a list, as far as it is looked at. */
export interface Listed {
  readonly id: string;
  /** The value of an attribute, as the caller would see it. */
  readonly value: (name: string) => unknown;
}

/**
 * Filters with a meaning of their own, by name. Values are read once for the whole list, and an item once for all values: an URL holds
 * thousands of them.
 */
export type SpecialFilters = Readonly<Record<string, (values: readonly string[]) => (item: Listed) => boolean>>;

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
    const test = special[name]?.(values);
    if (test !== undefined) return test;
    const wanted = convertedFilter(name, values);
    return (item: T) => meets(item.value(name), wanted);
  });
  const passed = [...items].filter((item) => tests.every((test) => test(item)));
  return passed.sort((a, b) => ordered(a, b, sort));
}

function ordered(a: Listed, b: Listed, sort: ListQuery['sort']): number {
  for (const { key, isDescending } of sort) {
    const order = compare(a.value(key), b.value(key), key);
    if (order !== 0) return isDescending ? -order : order;
  }
  if (a.id === b.id) return 0;
  return a.id < b.id ? -1 : 1;
}

/** Attributes that are true or false. */
const TRUTHS = [
  'admin_state_up',
  'enable_dhcp',
  'port_security_enabled',
  'router:external',
  'shared',
  'stateful',
  'used_in_default_sg',
  'used_in_non_default_sg',
];

/** Values of a filter as Neutron converts them: to what attributes hold. @throws ApiError (400) for those that cannot be */
function convertedFilter(name: string, values: readonly string[]): readonly string[] {
  if (TRUTHS.includes(name)) {
    return values.map((text) => {
      const value = asTruth(text);
      if (value !== undefined) return String(value);
      throw new ApiError(
        name === 'stateful' ? 'HTTPBadRequest' : 'InvalidInput',
        `Invalid input for operation: '${shown(text)}' cannot be converted to boolean.`,
      );
    });
  }
  switch (name) {
    case 'ethertype':
      return values.map((text) => ['IPv4', 'IPv6'].find((one) => one.toLowerCase() === text.toLowerCase()) ?? text);
    case 'mac_address':
      return values.map((text) => parsePortMac(text) ?? text);
    default:
      return values;
  }
}

function meets(value: unknown, wanted: readonly string[]): boolean {
  if (Array.isArray(value)) return value.some((entry) => meets(entry, wanted));
  if (typeof value === 'boolean') return wanted.includes(String(value));
  if (value === null || value === undefined) return wanted.some((text) => /^(null|none)$/i.test(text));
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

/** @param marker the object that the page begins after, or in reverse ends before; it need not be among the items. */
export function pageOf<T extends Listed>(items: readonly T[], query: ListQuery, marker: Listed | undefined): Page<T> {
  const { limit, isReverse, sort } = query;
  if (limit === undefined) return { items, hasLinks: false };
  let [start, end] = [0, items.length];
  if (marker !== undefined) {
    const isBeyond = (item: T): boolean => ordered(item, marker, sort) > (isReverse ? -1 : 0);
    const index = items.findIndex(isBeyond);
    if (isReverse) end = index < 0 ? items.length : index;
    else start = index < 0 ? items.length : index;
  }
  const page = isReverse ? items.slice(Math.max(start, end - limit), end) : items.slice(start, start + limit);
  return { items: page, hasLinks: true };
}

export interface Link {
  readonly rel: 'next' | 'previous';
  readonly href: string;
}

/** Links to the pages beside this one, as Neutron makes them: to what may be there, not to what is. @param url the list's own, with its query. */
export function pageLinks(items: readonly Listed[], query: ListQuery, url: URL): readonly Link[] {
  const { limit, isReverse } = query;
  if (limit === undefined) return [];
  const isFull = items.length >= limit;
  const link = (rel: Link['rel'], item: Listed | undefined): Link => {
    const to = new URL(url);
    // Beside a page without anything is the last one, or the first.
    if (item === undefined) to.searchParams.delete('marker');
    else to.searchParams.set('marker', item.id);
    if (rel === 'previous') to.searchParams.set('page_reverse', 'True');
    else to.searchParams.delete('page_reverse');
    return { rel, href: to.href };
  };
  return [
    ...(isReverse || isFull ? [link('next', items.at(-1))] : []),
    ...(!isReverse || isFull ? [link('previous', items.at(0))] : []),
  ];
}
