/** What every resource of Neutron's API has in common: a description of one, and what a request does with it. */
import { isAdmin, isMember, isReader, type Caller } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import { ownerOf, pluralOf, type Kind, type Records } from '../records.js';
import type { Writer } from '../writer.js';
import type { Created, Spec, Updated } from '../kinds/attribute.js';
import { isObject, shown, type Fields } from '../kinds/parsers.js';
import type { View } from '../state.js';
import { projectOf, readCreate, readUpdate } from './attributes.js';
import type { Listed, SpecialFilters } from './query.js';
import { ALL, type Shows } from './shows.js';

export interface Resource<K extends Kind, S extends Spec> {
  readonly kind: K;
  readonly spec: S;
  readonly shows: Shows<Records[K]>;
  /** Attributes that are neither shown nor set, and that clients may know all the same. */
  readonly unused?: readonly string[];
  /** Attributes that are shown to administrators only. */
  readonly adminOnly?: readonly string[];
  readonly notFound: (id: string) => ApiError;
  readonly canSee: (record: Records[K], view: View, caller: Caller) => boolean;
  /** Undefined: a member of the project that has it, or an administrator. */
  readonly canChange?: (record: Records[K], view: View, caller: Caller) => boolean;
  readonly canCreate?: (caller: Caller) => boolean;
  readonly create: (writer: Writer, request: CreateRequest<S>) => Records[K];
  /** Undefined where there is no PUT. */
  readonly update?: (writer: Writer, record: Records[K], request: UpdateRequest<S>) => Records[K];
  readonly remove: (writer: Writer, record: Records[K], request: ChangeRequest) => void;
  /** Before a list is read, and before the first create. */
  readonly prepare?: (writer: Writer, projects: readonly string[], request: ChangeRequest) => void;
  readonly needsPreparation?: (view: View, projects: readonly string[]) => boolean;
  /** Fewer than all, where a filter says which. */
  readonly candidates?: (
    view: View,
    filters: ReadonlyMap<string, readonly string[]>,
  ) => Iterable<Records[K]> | undefined;
  readonly filters?: SpecialFilters;
  /** What filters may ask of and nobody is shown. */
  readonly hidden?: (record: Records[K], view: View, caller: Caller) => Fields;
  /** True where a change of what one may see, and may not change, is answered as if it were not there: for Neutron's sake. */
  readonly isHiddenFromChanges?: boolean;
  /** What all of a bulk must agree in. */
  readonly checkBulk?: (bodies: readonly Fields[], caller: Caller) => void;
}

/** Where a kind's objects are in URLs: `security-groups`. */
export function pathOf(kind: Kind): string {
  return pluralOf(kind).replaceAll('_', '-');
}

export interface ChangeRequest {
  readonly caller: Caller;
  /** `YYYY-MM-DDTHH:MM:SSZ`. */
  readonly now: string;
}

export interface CreateRequest<S extends Spec> extends ChangeRequest {
  /** Ids of what the same request made already. */
  readonly made: ReadonlySet<string>;
  readonly projectId: string;
  readonly values: Created<S>;
  /** The names that the client gave. */
  readonly named: ReadonlySet<string>;
}

export interface UpdateRequest<S extends Spec> extends ChangeRequest {
  readonly values: Updated<S>;
}

/** What every new record of Neutron's ends with. */
export function madeAt(now: string, revision: 0 | 1) {
  return { created_at: now, updated_at: now, revision_number: revision };
}

/** The time as Neutron writes it. */
export function timestamp(date = new Date()): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** The objects of a resource that the caller may see, to be filtered. */
export function* visible<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  view: View,
  caller: Caller,
  filters: ReadonlyMap<string, readonly string[]>,
): Iterable<Listed & { readonly record: Records[K] }> {
  for (const record of candidatesOf(resource, view, filters)) {
    if (!isAdmin(caller) && !resource.canSee(record, view, caller)) continue;
    yield {
      id: record.id,
      record,
      value: (name) =>
        resource.hidden?.(record, view, caller)[name] ??
        shownBy(resource, record, view, caller, (one) => one === name)[name],
    };
  }
}

function candidatesOf<K extends Kind, S extends Spec>(
  { kind, candidates }: Resource<K, S>,
  view: View,
  filters: ReadonlyMap<string, readonly string[]>,
): Iterable<Records[K]> {
  const ids = filters.get('id');
  if (ids !== undefined) return new Set(ids.flatMap((id) => view.get(kind, id) ?? []));
  return candidates?.(view, filters) ?? view.all(kind);
}

/** An object as the caller sees it. */
export function shownBy<K extends Kind, S extends Spec>(
  { shows, adminOnly = [] }: Resource<K, S>,
  record: Records[K],
  view: View,
  caller: Caller,
  wants: (name: string) => boolean = ALL,
): Fields {
  const hidden = isAdmin(caller) ? [] : adminOnly;
  return shows.fields(record, { view, caller }, (name) => wants(name) && !hidden.includes(name));
}

export function shownFields<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  record: Records[K],
  view: View,
  caller: Caller,
  fields: ReadonlySet<string> | undefined,
): Fields {
  return shownBy(resource, record, view, caller, (name) => fields?.has(name) ?? true);
}

/** The names that a filter may use. */
export function attributeNames<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  caller: Caller,
): readonly string[] {
  const { spec, shows, unused = [], adminOnly = [] } = resource;
  const hidden = isAdmin(caller) ? [] : adminOnly;
  return [...new Set([...Object.keys(spec), ...shows.names, ...unused])].filter((name) => !hidden.includes(name));
}

/** Attributes that clients see, or know, and never set. */
function readOnlyOf<K extends Kind, S extends Spec>({ spec, shows, unused = [] }: Resource<K, S>): readonly string[] {
  const settable = [...Object.keys(spec), 'project_id', 'tenant_id'];
  return [...shows.names, ...unused].filter((name) => !settable.includes(name));
}

/**
 * The object with that id, if the caller may see it.
 * @throws ApiError (404): also for one that there is, so that nobody learns of it.
 */
export function found<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  view: View,
  caller: Caller,
  id: string,
): Records[K] {
  const record = view.get(resource.kind, id);
  if (record === undefined || !isReader(caller)) throw resource.notFound(id);
  if (!isAdmin(caller) && !resource.canSee(record, view, caller)) throw resource.notFound(id);
  return record;
}

/** The same, if the caller may change it. @throws ApiError (404, 403) */
export function changeable<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  view: View,
  caller: Caller,
  id: string,
  action: string,
): Records[K] {
  const record = found(resource, view, caller, id);
  const isAllowed =
    isAdmin(caller) ||
    (isMember(caller) && (resource.canChange?.(record, view, caller) ?? ownerOf(record) === caller.projectId));
  if (!isAllowed && resource.isHiddenFromChanges === true && isMember(caller)) throw resource.notFound(id);
  if (!isAllowed) throw forbidden(`rule:${action}_${resource.kind}`);
  return record;
}

/** Makes objects from the body of a POST, all or none. */
export function createAll<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  writer: Writer,
  bodies: readonly Fields[],
  request: ChangeRequest,
): readonly Records[K][] {
  const made = new Set<string>();
  return bodies.map((body) => {
    const record = createOne(resource, writer, body, request, made);
    made.add(record.id);
    return record;
  });
}

/** Makes one object. */
export function createOne<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  writer: Writer,
  body: Fields,
  request: ChangeRequest,
  made: ReadonlySet<string> = new Set(),
): Records[K] {
  const { caller } = request;
  const isAllowed = isAdmin(caller) || (resource.canCreate?.(caller) ?? isMember(caller));
  if (!isAllowed) throw forbidden(`rule:create_${resource.kind}`);
  const projectId = projectOf(body) ?? caller.projectId;
  if (projectId !== caller.projectId && !isAdmin(caller)) {
    throw badRequest(
      "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc role",
    );
  }
  const values = readCreate(resource.spec, readOnlyOf(resource), body);
  return resource.create(writer, { ...request, made, projectId, values, named: new Set(Object.keys(body)) });
}

/** Changes one object by the body of a PUT. */
export function updateOne<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  writer: Writer,
  id: string,
  body: Fields,
  request: ChangeRequest & { readonly ifMatch: string | undefined },
): Records[K] {
  const record = changeable(resource, writer.view, request.caller, id, 'update');
  if (resource.update === undefined)
    throw new ApiError('HTTPMethodNotAllowed', 'The method PUT is not allowed for this resource');
  checkRevision(resource, record, request.ifMatch);
  return resource.update(writer, record, { ...request, values: readUpdate(resource.spec, readOnlyOf(resource), body) });
}

/** @throws ApiError (412) when the client expects another revision. */
export function checkRevision<K extends Kind, S extends Spec>(
  { kind }: Resource<K, S>,
  record: Records[K],
  ifMatch: string | undefined,
): void {
  if (ifMatch === undefined) return;
  const [, wanted] = /^\s*"?revision_number=(\d{1,15})"?\s*$/.exec(ifMatch) ?? [];
  const current = revisionOf(record);
  if (wanted === undefined || current === undefined) throw notUnderstood('If-Match', ifMatch);
  if (Number(wanted) !== current) {
    throw new ApiError(
      'RevisionNumberConstraintFailed',
      `Constrained to ${wanted}, but current revision of ${kind} ${record.id} is ${String(current)}`,
    );
  }
}

/** A precondition that is not understood is not met: whoever sends one relies on it. */
export function notUnderstood(name: string, value: string): ApiError {
  return badRequest(
    `${name}: '${shown(value)}' is not understood here: valid is If-Match: revision_number=N on an object that has one`,
  );
}

/** The object below the one key that the body must have. @throws ApiError (400) */
export function envelope(body: unknown, singular: string): Fields {
  const inner = isObject(body) ? body[singular] : undefined;
  if (!isObject(inner)) throw badRequest(`Unable to find '${singular}' in request body`);
  return inner;
}

/** The objects of a bulk POST; undefined for a body with one object. @throws ApiError (400) */
export function bulk(body: unknown, singular: string, plural: string): readonly Fields[] | undefined {
  if (!isObject(body) || !Object.hasOwn(body, plural)) return undefined;
  const items = body[plural];
  if (!Array.isArray(items) || items.length === 0 || !items.every(isObject)) {
    throw badRequest(`Resources required: '${plural}' must be a list of objects that is not empty`);
  }
  // As Neutron, also those that are wrapped like a single one.
  return items.map((item) => {
    const inner = item[singular];
    return Object.keys(item).length === 1 && isObject(inner) ? inner : item;
  });
}

function revisionOf(record: Records[Kind]): number | undefined {
  return 'revision_number' in record ? record.revision_number : undefined;
}

/** A changed record: its revision is raised when anything differs, and only then. @returns `before` when nothing does */
export function revised<R extends Fields & { readonly revision_number: number; readonly updated_at: string }>(
  before: R,
  after: R,
  now: string,
): R {
  const isSame = Object.entries(after).every(([name, value]) => sameJson(value, before[name]));
  if (isSame) return before;
  return { ...after, revision_number: before.revision_number + 1, updated_at: now };
}

function sameJson(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
