/**
 * One bad object costs nobody but itself: what is in force in place of an object that cannot be used as it is.
 *
 * Its last good version, where there is one; else nothing, and nothing closes: a rule allows nothing, a group has no rules and no
 * members, an address group no addresses, a port's device is closed. docs/decisions/bad-objects.md.
 */
import { formatProblem, quoteValue, type ObjectKind, type Problem } from './problem.js';
import { placeKey, type DevicePlace } from './topology.js';

export interface Isolation {
  readonly kind: ObjectKind;
  /** Undefined where it has none that is valid. */
  readonly id: string | undefined;
  /** '' for none. */
  readonly name: string;
  /** Id of the group that a rule is in. */
  readonly groupId: string | undefined;
  /** Where it stands; more than once where several have its id. */
  readonly places: readonly { readonly file: string; readonly path: string }[];
  /** What is wrong with it, and what would be valid; never empty. */
  readonly problems: readonly Problem[];
  /** True while its last good version is in force in its place. */
  readonly isKept: boolean;
  /** Ids of the ports that it concerns, on any host, sorted. */
  readonly portIds: readonly string[];
  /** Of a port without a last good version: the devices that are closed for it. */
  readonly closedDevices: readonly string[];
  /** Of a port: the hosts that it names; none where nobody can say. */
  readonly hosts: readonly string[];
  /** What else may change what is in force of it, by {@link objectKey} and {@link deviceKey}. */
  readonly hangsOn: readonly string[];
}

export function objectKey(kind: ObjectKind, id: string): string {
  return `${kind} ${id}`;
}

export function deviceKey(place: DevicePlace): string {
  return `device ${placeKey(place)}`;
}

/** The same for the same object at fault, whatever is wrong with it. */
export function isolationKey({ kind, id, groupId, places: [first] }: Isolation): string {
  return id === undefined ? `${kind} at ${first?.file ?? ''} ${first?.path ?? ''}` : `${kind} ${groupId ?? ''} ${id}`;
}

/** What is in force in place of the object. */
export function consequenceOf({ kind, isKept, closedDevices }: Isolation): string {
  if (isKept) return 'its last good version stays in force';
  switch (kind) {
    case 'security group rule':
      return 'it allows nothing';
    case 'security group':
      return 'it has no rules and no members';
    case 'address group':
      return 'it matches nothing';
    case 'network':
      return 'its ports are filtered unless they say otherwise themselves';
    case 'subnet':
      return 'it is left out';
    case 'port':
      return closedDevices.length === 0
        ? 'it is in no remote group, and has no device of its own to close'
        : `its device ${closedDevices.join(', ')} is closed, and it is in no remote group`;
  }
}

/** "security group rule r1 of group g1". */
export function isolatedName({ kind, id, name, groupId }: Isolation): string {
  const own = id ?? (name === '' ? 'without a valid id' : quoteValue(name));
  return `${kind} ${own}${groupId === undefined ? '' : ` of group ${groupId}`}`;
}

/** One line: which object, what is in force in its place, why, and what would be valid. */
export function formatIsolation(isolation: Isolation): string {
  const { problems } = isolation;
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${(problems.length - 1).toString()} more)` : '';
  const why = first === undefined ? '' : `: ${formatProblem(first)}${more}`;
  return `${isolatedName(isolation)}: ${consequenceOf(isolation)}${why}`;
}
