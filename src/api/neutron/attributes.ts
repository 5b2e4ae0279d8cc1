/** Bodies of requests: which attributes they may name, and what those say. */
import { badRequest } from '../errors.js';
import type { Created, Spec, Updated } from '../kinds/attribute.js';
import { shown, text, type Fields } from '../kinds/parsers.js';

/** Reads the body of a POST. @param readOnly attributes that clients see but do not set. */
export function readCreate<S extends Spec>(spec: S, readOnly: readonly string[], body: Fields): Created<S> {
  checkNames(spec, body, readOnly, (name) => `Attribute '${name}' not allowed in POST`);
  // Each by the parser of its own name: TypeScript does not follow that through the entries. So below, too.
  return Object.fromEntries(
    Object.entries(spec).map(([name, { onCreate }]) => [name, onCreate(body[name], name)]),
  ) as Created<S>;
}

/** Reads the body of a PUT. */
export function readUpdate<S extends Spec>(spec: S, readOnly: readonly string[], body: Fields): Updated<S> {
  const fixedNames = Object.entries(spec).flatMap(([name, { onUpdate }]) => (onUpdate === undefined ? [name] : []));
  checkNames(
    spec,
    body,
    [...readOnly, ...fixedNames, 'tenant_id', 'project_id'],
    (name) => `Cannot update read-only attribute ${name}`,
  );
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, spec[name]?.onUpdate?.(value, name)]),
  ) as Updated<S>;
}

function checkNames(spec: Spec, body: Fields, refused: readonly string[], why: (name: string) => string): void {
  const names = Object.keys(body);
  for (const name of names) if (refused.includes(name)) throw badRequest(why(name));
  const unknown = names.filter((name) => !Object.hasOwn(spec, name) && name !== 'tenant_id' && name !== 'project_id');
  if (unknown.length > 0) throw badRequest(`Unrecognized attribute(s) '${shown(unknown.join(', '))}'`);
}

/** `project_id`, or its older name; undefined when there is neither. */
export function projectOf(body: Fields): string | undefined {
  const [project, tenant] = ['project_id', 'tenant_id'].map((name) =>
    body[name] === undefined ? undefined : text(255)(body[name], name),
  );
  if (project !== undefined && tenant !== undefined && project !== tenant) {
    throw badRequest("'project_id' and 'tenant_id' do not match");
  }
  return project ?? tenant;
}
