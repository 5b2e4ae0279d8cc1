/** The state as lines of a feed (sources/feed): all of it, or what a change changed. */
import { FEED_VERSION, type FeedLine } from '../../sources/feed/feed.js';
import type { AppliedChange, Database } from '../database.js';
import { portView } from '../neutron/ports.js';
import { limitsOf } from '../neutron/quota.js';
import { ruleView } from '../neutron/rule-view.js';
import { pluralOf, type GroupRecord, type Kind, type Records } from '../records.js';
import type { View } from '../state.js';

interface Shown {
  readonly id: string;
  readonly [key: string]: unknown;
}

/** Kinds that a host's policy depends on. */
const SHOWN = ['network', 'subnet', 'address_group', 'security_group', 'port'] as const satisfies readonly Kind[];
type ShownKind = (typeof SHOWN)[number];

/** The topology as one document, as `compile` reads it. */
export function topologyDocument(view: View): Omit<FeedLine, 'version' | 'revision' | 'reset' | 'gone'> {
  return Object.fromEntries(
    SHOWN.map((kind) => [pluralOf(kind), [...view.all(kind)].map((record) => shown(view, kind, record))]),
  );
}

/** The same with what only another API reads: policies, quotas, templates. Lists by id, keys by name: equal states are equal texts. */
export function exportDocument(view: View): object {
  const lists = {
    ...topologyDocument(view),
    rbac_policies: [...view.all('rbac_policy')],
    default_security_group_rules: [...view.all('default_security_group_rule')],
    quotas: [...view.all('quota')].map(({ id, limits: { instances } }) => ({
      id,
      project_id: id,
      ...limitsOf(view, id),
      ...(instances === undefined ? {} : { instances }),
    })),
  };
  // A feed's lines say no more than that they are lists: these are ours, of objects with an id.
  return Object.fromEntries(
    Object.entries(lists).map(([name, list]) => [
      name,
      [...(list as readonly Shown[])].sort((one, other) => (one.id < other.id ? -1 : 1)).map(inOrder),
    ]),
  );
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, inOrder(inner)]));
}

export function wholeLine({
  view,
  revision,
  storeIdentity,
}: Pick<Database, 'view' | 'revision' | 'storeIdentity'>): FeedLine {
  return {
    version: FEED_VERSION,
    revision,
    ...(storeIdentity === undefined ? {} : { store: storeIdentity }),
    reset: true,
    ...topologyDocument(view),
  };
}

/** Undefined where it changed nothing that a host's policy depends on. */
export function changeLine(view: View, { revision, changes }: AppliedChange): FeedLine | undefined {
  const line: Record<string, Shown[]> = {};
  const gone: Record<string, string[]> = {};
  for (const kind of SHOWN) {
    const ids = new Set(changes.filter((change) => change.kind === kind).map(({ id }) => id));
    for (const id of ids) {
      const record = view.get(kind, id);
      if (record === undefined) (gone[pluralOf(kind)] ??= []).push(id);
      else (line[pluralOf(kind)] ??= []).push(shown(view, kind, record));
    }
  }
  const isNothing = Object.keys(line).length + Object.keys(gone).length === 0;
  return isNothing ? undefined : { revision, ...line, gone };
}

function shown<K extends ShownKind>(view: View, kind: K, record: Records[K]): Shown {
  return SHOW[kind](record, view);
}

const asStored = (record: Records[ShownKind]): Shown => ({ ...record });

const SHOW: { readonly [K in ShownKind]: (record: Records[K], view: View) => Shown } = {
  network: asStored,
  subnet: asStored,
  address_group: asStored,
  security_group: groupShown,
  port: (port) => ({ ...portView(port), id: port.id }),
};

/** A rule's change changes its group's revision, so the group is among what changed. */
function groupShown(group: GroupRecord, view: View): Shown {
  const rules = [...view.by('security_group_rule', 'security_group_id', group.id)].sort((a, b) =>
    a.id < b.id ? -1 : 1,
  );
  return { ...group, security_group_rules: rules.map(ruleView) };
}
