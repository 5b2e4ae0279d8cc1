/**
 * Everything that can be wrong with a topology, in one closed list.
 *
 * A problem never opens anything: the parser isolates the object at fault (isolation.ts) and goes on, so that all problems are
 * reported at once.
 */

/**
 * - `error`: invalid input; `compile` refuses it, an agent isolates the object that it is in.
 * - `unresolved`: something is named that is not there; what names it matches nothing. `check` fails, `compile` goes on.
 * - `notice`: valid, but perhaps not what was meant. Nobody fails.
 */
export type Severity = 'error' | 'unresolved' | 'notice';

/** What a topology is made of: what can be wrong by itself. */
export type ObjectKind = 'network' | 'subnet' | 'address group' | 'security group' | 'security group rule' | 'port';

export type ProblemCode =
  | 'unreadable' // the file cannot be read
  | 'syntax' // not JSON or YAML
  | 'shape' // a value of the wrong type or missing
  | 'unknown-field' // a field that no object of its kind has
  | 'value' // a value of the right type that is not allowed
  | 'conflict' // values that exclude each other
  | 'duplicate' // ids, rules, addresses or devices that must be unique
  | 'ambiguous-name' // a name is used that several objects have
  | 'unknown-reference' // an id or name that no object has
  | 'matches-nothing' // a valid rule that no packet can match
  | 'wide-address-pair'; // an allowed address pair that stays out of member sets

export interface Problem {
  readonly severity: Severity;
  readonly code: ProblemCode;
  /** The document, as the user named it; '' for a topology as a whole. */
  readonly file: string;
  /** Where in the document, `security_groups[2].security_group_rules[0].port_range_min`; '' for the whole. */
  readonly path: string;
  /** Where in the file's text, counted from 1, where that is known. */
  readonly line?: number;
  readonly column?: number;
  /** Name or id of the object that it is in, where it has one. */
  readonly object?: string;
  /** What is wrong with the value and what would be valid, one line. The value stands in front where there is one. */
  readonly message: string;
}

/** One line: `topology.yaml:12:9: security_groups[2].rules[0].port_range_min: 70000 is not a port (0-65535) (in "web")`. */
export function formatProblem({ file, line, column, path, message, object }: Problem): string {
  const at = line === undefined ? file : `${file}:${line.toString()}:${(column ?? 1).toString()}`;
  const text = [at, path, message].filter((part) => part !== '').join(': ');
  return object === undefined ? text : `${text} (in ${object})`;
}

const MOST_VALUE_CHARACTERS = 80;

/**
 * A value from outside, quoted so that it stays on one line and on the user's terminal does nothing: JSON with every
 * character outside printable ASCII, letters and digits escaped, and cut.
 */
export function quoteValue(value: unknown): string {
  const json = (JSON.stringify(value) as string | undefined) ?? 'nothing';
  const safe = json.replace(
    /[^\p{L}\p{N}\x20-\x7e]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return safe.length > MOST_VALUE_CHARACTERS ? `${safe.slice(0, MOST_VALUE_CHARACTERS)}...` : safe;
}
