/** Security groups and their rules. */
import { FAMILIES } from '../address.js';
import { quoteValue } from '../problem.js';
import type { SecurityGroup, SecurityGroupRule } from '../topology.js';
import { reportUnknownFields } from './fields.js';
import {
  fatesOf,
  hasSameName,
  read,
  reportDuplicates,
  sortOut,
  type Entry,
  type Fate,
  type Sorted,
} from './last-good.js';
import type { Directory, Named } from './references.js';
import {
  booleanIn,
  field,
  idIn,
  isId,
  itemsIn,
  projectIn,
  textIn,
  type Fields,
  type Item,
  type Place,
} from './report.js';
import { duplicateKey, isContentId, parseRule } from './rule.js';

export interface GroupHead {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly stateful: boolean;
  /** Undefined when the group does not say: Neutron's rules of a new group. */
  readonly rules: readonly Item[] | undefined;
}

const DEFAULT_NAME = 'default';

function parseGroupHead(fields: Fields, place: Place): GroupHead | undefined {
  reportUnknownFields('security group', fields, place);
  const id = idIn(fields, place);
  const stateful = booleanIn(fields, 'stateful', place) ?? true;
  const name = textIn(fields, 'name', place);
  const projectId = projectIn(fields, place);
  const rules = field(fields, 'security_group_rules');
  const items =
    rules === undefined ? undefined : itemsIn('security group rule', rules, place.key('security_group_rules'));
  return id === undefined ? undefined : { id, name, projectId, stateful, rules: items };
}

/** The groups of a topology before their rules are read: what they are called, and which of them are bad. */
export interface Heads {
  readonly sorted: Sorted<GroupHead>;
  readonly fates: readonly Fate<SecurityGroup>[];
  /** Good ones, and each project's `default` group that somebody asked for. */
  readonly good: Map<string, GroupHead>;
  /** As far as bad ones could be read: what is wrong with their rules is told, too. */
  readonly bad: readonly GroupHead[];
}

export function readHeads(items: readonly Item[], lastGood: ReadonlyMap<string, SecurityGroup>): Heads {
  const all: GroupHead[] = [];
  const sorted = sortOut(
    read(items, (fields, place) => {
      const head = parseGroupHead(fields, place);
      if (head !== undefined) all.push(head);
      return head;
    }),
  );
  const good = new Map(sorted.good);
  const bad = all.filter(({ id }) => !good.has(id));
  return { sorted, fates: fatesOf(sorted, lastGood, hasSameName), good, bad };
}

/** What objects are called, bad ones included. */
export function namesOf(
  good: Iterable<Named>,
  fates: readonly Fate<{ readonly name: string; readonly projectId: string }>[],
): readonly Named[] {
  const bad = fates.map(({ bad: { items }, id, kept }): Named => {
    const [{ fields }] = items;
    const [name, project] = [textOf(fields, 'name'), textOf(fields, 'project_id') ?? textOf(fields, 'tenant_id')];
    return { id, name: name ?? kept?.name ?? '', projectId: project ?? kept?.projectId };
  });
  return [...good, ...bad];
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = field(fields, name);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Each project's `default` group, made where the topology has none. */
export class DefaultGroups {
  readonly #byProject = new Map<string, string>();
  /** Bad groups without a last good version that may be somebody's. */
  readonly #doubtful: readonly Named[];

  constructor(
    private readonly heads: Map<string, GroupHead>,
    fates: readonly Fate<SecurityGroup>[],
  ) {
    const kept = fates.flatMap(({ kept: group }) => group ?? []);
    for (const { id, name, projectId } of [...heads.values(), ...kept]) {
      if (name === DEFAULT_NAME) this.#byProject.set(projectId, id);
    }
    this.#doubtful = namesOf(
      [],
      fates.filter(({ kept: group }) => group === undefined),
    ).filter(({ name }) => name === '' || name === DEFAULT_NAME);
  }

  /** @returns undefined where a bad group may be the one: its rules must not be made up. */
  of(projectId: string): string | undefined {
    const known = this.#byProject.get(projectId);
    if (known !== undefined) return known;
    const mayBe = this.#doubtful.find((group) => group.projectId === undefined || group.projectId === projectId);
    if (mayBe !== undefined) return mayBe.id;
    const id = `default-${projectId}`;
    this.heads.set(id, { id, name: DEFAULT_NAME, projectId, stateful: true, rules: undefined });
    this.#byProject.set(projectId, id);
    return id;
  }
}

/** A rule that is bad, of a group that is not. */
export interface BadRule {
  readonly item: Item;
  /** Undefined where nobody can say which group it is of. */
  readonly groupId: string | undefined;
  readonly isKept: boolean;
}

export interface Groups {
  /** Those in force. */
  readonly groups: Map<string, SecurityGroup>;
  readonly badRules: readonly BadRule[];
}

/** A rule as it was read, and the group that it is of. */
interface RuleEntry extends Entry<SecurityGroupRule> {
  readonly groupId: string;
}

export function readRules(
  heads: Heads,
  topLevel: readonly Item[],
  directories: { readonly groups: Directory; readonly addressGroups: Directory },
  lastGood: ReadonlyMap<string, SecurityGroup>,
): Groups {
  const { listed, strays } = byGroup(topLevel, directories.groups);
  const itemsOf = ({ id, rules }: GroupHead): readonly Item[] | undefined => {
    const separate = listed.get(id);
    return rules === undefined && separate === undefined ? undefined : [...(rules ?? []), ...(separate ?? [])];
  };
  const parsed = [...heads.good.values()].map((head) => ({ head, items: itemsOf(head) }));
  const entries = onceEach(parsed.flatMap(({ head, items = [] }) => readRulesOf(head, items, directories)));
  reportRepeated(entries);
  for (const head of heads.bad) readRulesOf(head, itemsOf(head) ?? [], directories);
  const groups = new Map<string, SecurityGroup>();
  for (const { id, kept } of heads.fates) if (id !== undefined && kept !== undefined) groups.set(id, kept);
  const badRules: BadRule[] = strays.bad.map((item) => ({ item, groupId: undefined, isKept: false }));
  const entriesOf = grouped(entries);
  for (const { head, items } of parsed) {
    const { id, name, projectId, stateful } = head;
    const before = lastGood.get(id)?.rules ?? [];
    const settled = settleRules(entriesOf.get(id) ?? [], before);
    // A rule whose group nobody knows may be of one that seems to have none: Neutron's rules of a new group must not stand in.
    const unsaid = strays.all.length > 0 ? before : rulesOfNewGroup(head);
    const rules = items === undefined ? unsaid : settled.rules;
    badRules.push(...settled.bad.map((bad) => ({ ...bad, groupId: id })));
    groups.set(id, { id, name, projectId, stateful, rules: [...rules].sort((a, b) => (a.id < b.id ? -1 : 1)) });
  }
  return { groups, badRules };
}

function grouped(entries: readonly RuleEntry[]): ReadonlyMap<string, readonly RuleEntry[]> {
  const byId = new Map<string, RuleEntry[]>();
  for (const entry of entries) {
    const same = byId.get(entry.groupId);
    if (same === undefined) byId.set(entry.groupId, [entry]);
    else same.push(entry);
  }
  return byId;
}

/** Rules that are listed by themselves, by their group; `strays` are those whose group is not known. */
function byGroup(
  topLevel: readonly Item[],
  groups: Directory,
): {
  readonly listed: ReadonlyMap<string, readonly Item[]>;
  readonly strays: { readonly all: readonly Item[]; readonly bad: readonly Item[] };
} {
  const listed = new Map<string, Item[]>();
  const strays: Item[] = [];
  for (const item of topLevel) {
    const groupId = item.isBad
      ? undefined
      : groups.find(field(item.fields, 'security_group_id'), '', item.place.key('security_group_id'));
    const items = groupId === undefined ? strays : (listed.get(groupId) ?? []);
    items.push(item);
    if (groupId !== undefined) listed.set(groupId, items);
  }
  return { listed, strays: { all: strays, bad: strays.filter(({ isBad }) => isBad) } };
}

function readRulesOf(
  { id: groupId, projectId }: Pick<GroupHead, 'id' | 'projectId'>,
  items: readonly Item[],
  directories: { readonly groups: Directory; readonly addressGroups: Directory },
): readonly RuleEntry[] {
  const context = { groupId, projectId, ...directories };
  return read(items, (fields, place) => parseRule(fields, place, context)).map((entry) => ({ ...entry, groupId }));
}

/** A dump may hold a rule twice, in its group and in the list of rules: equal ones count once. */
function onceEach(entries: readonly RuleEntry[]): readonly RuleEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ object, groupId }) => {
    if (object === undefined) return true;
    const key = `${groupId} ${object.id} ${duplicateKey(object)}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function reportRepeated(entries: readonly RuleEntry[]): void {
  const byId = new Map<string, RuleEntry[]>();
  for (const entry of entries) {
    const id = entry.object?.id ?? field(entry.item.fields, 'id');
    if (!isId(id)) continue;
    const same = byId.get(id);
    if (same === undefined) byId.set(id, [entry]);
    else same.push(entry);
  }
  for (const [id, [first, ...others]] of byId) {
    if (first === undefined) continue;
    const different = others.filter(({ object }) => !meansTheSame(first.object, object));
    reportDuplicates(id, first.item, different);
  }
}

function meansTheSame(one: SecurityGroupRule | undefined, other: SecurityGroupRule | undefined): boolean {
  return one !== undefined && other !== undefined && duplicateKey(one) === duplicateKey(other);
}

/** The rules of one group that are in force. */
function settleRules(
  entries: readonly RuleEntry[],
  lastGood: readonly SecurityGroupRule[],
): { readonly rules: readonly SecurityGroupRule[]; readonly bad: readonly Omit<BadRule, 'groupId'>[] } {
  const good = withoutDuplicates(entries);
  const badItems = [...new Set(entries.map(({ item }) => item))].filter(({ isBad }) => isBad);
  if (badItems.length === 0) return { rules: good, bad: [] };
  const ids = new Set(good.map(({ id }) => id));
  // Of rules without an id nobody can say which one became the bad one: all that are gone stay.
  const nameless = lastGood.filter(({ id }) => isContentId(id) && !ids.has(id));
  const fates = badItems.map((item) => {
    const id = field(item.fields, 'id');
    return { item, kept: id === undefined ? nameless : lastGood.filter((rule) => rule.id === id) };
  });
  const kept = new Map(fates.flatMap((fate) => fate.kept).map((rule) => [rule.id, rule]));
  return {
    rules: [...good, ...kept.values()],
    bad: fates.map(({ item, kept: rules }) => ({ item, isKept: rules.length > 0 })),
  };
}

function withoutDuplicates(entries: readonly RuleEntry[]): readonly SecurityGroupRule[] {
  const first = new Map<string, SecurityGroupRule>();
  for (const { object, item } of entries) {
    if (object === undefined || item.isBad) continue;
    const key = duplicateKey(object);
    const other = first.get(key);
    // The same one whatever their order: that with the smaller id.
    if (other === undefined || object.id < other.id) first.set(key, object);
    if (other !== undefined && other.id !== object.id) {
      item.place.report(
        'notice',
        'duplicate',
        `rule ${quoteValue(object.id)} means the same as rule ${quoteValue(other.id)}: one of them is used`,
      );
    }
  }
  return [...first.values()];
}

/** Egress to anywhere; a `default` group admits its own members, too. */
function rulesOfNewGroup({ id, name }: GroupHead): readonly SecurityGroupRule[] {
  const common = { service: { kind: 'any' }, description: '' } as const;
  return FAMILIES.flatMap((family) => [
    { id: `${id}-egress-${family}`, direction: 'egress' as const, family, remote: { kind: 'any' } as const, ...common },
    ...(name === DEFAULT_NAME
      ? [
          {
            id: `${id}-ingress-${family}`,
            direction: 'ingress' as const,
            family,
            remote: { kind: 'security-group', id } as const,
            ...common,
          },
        ]
      : []),
  ]);
}
