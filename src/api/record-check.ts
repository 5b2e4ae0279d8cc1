/**
 * Whether records are such as the API itself would have made: each by the parsers of a create, all together by what they name, and
 * the topology that they are by the compiler's own parser. For what comes back from a backup, which anybody may have edited.
 */
import { z } from 'zod';
import { formatProblem, parseTopology } from '../../compiler/model/index.js';
import { ApiError } from './errors.js';
import { specOf, storedOf, type Attributes, type Spec } from './kinds/attribute.js';
import { listOf, type Fields } from './kinds/parsers.js';
import { ruleContent } from './neutron/rule-content.js';
import { ATTRIBUTES, KINDS, referencesOf, type Kind, type RecordChange, type Records } from './records.js';
import { keyOf, State, type View } from './state.js';
import { topologyDocument } from './topology/lines.js';

/** What lies in the store of each kind, and what a create reads. */
function shapeOf(kind: Kind): { readonly stored: z.ZodType; readonly given: Spec } {
  const attributes: Attributes = ATTRIBUTES[kind];
  return { stored: z.strictObject(storedOf(attributes)), given: specOf(attributes) };
}

const SHAPES = new Map(KINDS.map((kind) => [kind, shapeOf(kind)]));

/** @returns what is wrong, one line each; none when all may be stored. */
export function problemsOf(records: readonly RecordChange[]): readonly string[] {
  const problems = records.flatMap((change) => problemsOfOne(change));
  if (problems.length > 0) return problems;
  const state = new State();
  for (const change of records) state.apply(change);
  const together = [...records].flatMap((change) => danglingOf(state, change));
  if (together.length > 0) return together;
  const parsed = parseTopology([{ file: 'records', content: topologyDocument(state) }]);
  return parsed.problems.filter(({ severity }) => severity !== 'notice').map(formatProblem);
}

function problemsOfOne({ kind, id: key, record }: RecordChange): readonly string[] {
  const where = keyOf(kind, key);
  const { stored, given } = SHAPES.get(kind) ?? shapeOf(kind);
  const shape = stored.safeParse(record);
  if (!shape.success || record === undefined) {
    return (shape.error?.issues ?? []).map(({ path, message }) => `${where}: ${path.join('.')}: ${message}`);
  }
  if (record.id !== key) return [`${where}: id: ${record.id} is another one`];
  const fields: Fields = record;
  const attributes = Object.entries(given).flatMap(([name, { onCreate }]) => {
    const value = fields[name];
    // Rules that were made with their group have none.
    if (value === undefined || (value === null && name === 'description')) return [];
    return chunksOf(value).flatMap((part) => refused(where, () => onCreate(part, name)));
  });
  if (attributes.length > 0) return attributes;
  if (kind === 'security_group_rule' || kind === 'default_security_group_rule') {
    return refused(where, () => ruleContent(record));
  }
  return [];
}

/** How long lists may be is asked of clients: what another Neutron had may be longer. */
function chunksOf(value: unknown): readonly unknown[] {
  const items = listOf(value);
  if (items.length <= CHUNK) return [value];
  return Array.from({ length: Math.ceil(items.length / CHUNK) }, (_, index) =>
    items.slice(index * CHUNK, (index + 1) * CHUNK),
  );
}

/** No list of an attribute is limited to less. */
const CHUNK = 5;

function refused(where: string, read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    if (error instanceof ApiError) return [`${where}: ${error.message}`];
    throw error;
  }
}

/** What a record names and what is not there, and addresses that two ports have. */
function danglingOf(view: View, change: RecordChange): readonly string[] {
  const where = keyOf(change.kind, change.id);
  const missing = referencesOf(change).filter(({ kind, id }) => view.get(kind, id) === undefined);
  return [
    ...missing.map(({ kind, id }) => `${where}: ${keyOf(kind, id)} is not there`),
    ...(change.kind === 'port' && change.record !== undefined ? takenFrom(view, where, change.record) : []),
    ...(change.kind === 'default_security_group' && change.record !== undefined
      ? ofAnother(view, where, change.record)
      : []),
  ];
}

function takenFrom(view: View, where: string, port: Records['port']): readonly string[] {
  const { network_id: network, mac_address: mac, fixed_ips: ips } = port;
  const isTaken = (other: Records['port'] | undefined): boolean => other !== undefined && other.id !== port.id;
  const taken = [
    ...(isTaken(view.portWithMac(network, mac)) ? [mac] : []),
    ...ips
      .map(({ ip_address: address }) => address)
      .filter((address) => isTaken(view.portWithAddress(network, address))),
  ];
  return taken.map((one) => `${where}: ${one} is another port's, too`);
}

function ofAnother(
  view: View,
  where: string,
  { id: project, security_group_id: group }: Records['default_security_group'],
): readonly string[] {
  const owner = view.get('security_group', group)?.project_id;
  return owner === undefined || owner === project ? [] : [`${where}: the group is of project ${owner}`];
}
