/** A topology in Neutron's shapes -> records: for a store that begins with what another one has. */
import { z } from 'zod';
import { parsePrefix, parseTopology, type Isolation, type SourceDocument } from '../../compiler/model/index.js';
import { ApiError } from './errors.js';
import { idAt, withoutObjects, type ImportProblem } from './import-leave-out.js';
import { ADDRESS_GROUP } from './kinds/address-group.js';
import { importedOf, TAGS, TEXT_OR_NONE } from './kinds/attribute.js';
import { NETWORK } from './kinds/network.js';
import { isObject, listOf, shown, type Fields } from './kinds/parsers.js';
import { PORT } from './kinds/port.js';
import { RBAC_POLICY } from './kinds/rbac-policy.js';
import { DEFAULT_RULE, RULE } from './kinds/rule.js';
import { SECURITY_GROUP } from './kinds/security-group.js';
import { SUBNET } from './kinds/subnet.js';
import { timestamp } from './neutron/resource.js';
import { DEFAULT_NAME } from './neutron/default-group.js';
import { ruleContent } from './neutron/rule-content.js';
import {
  ofSomeKind,
  pluralOf,
  QUOTA_NAMES,
  referencesOf,
  SHARED_TYPES,
  type GroupRecord,
  type Kind,
  type RecordChange,
  type Records,
  type RuleRecord,
} from './records.js';
import { keyOf } from './state.js';

/** A document that cannot be imported; a line for each thing that is wrong. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
}

const PROJECT = { project_id: z.string().optional(), tenant_id: z.string().optional() };

/** @param now for objects that do not say when they were made. */
function schemas(now: string) {
  const standard = {
    id: z.string(),
    description: TEXT_OR_NONE,
    ...PROJECT,
    created_at: z.string().default(now),
    updated_at: z.string().default(now),
    revision_number: z.int().default(1),
  };
  const tagged = { ...standard, name: TEXT_OR_NONE, tags: TAGS.imported };
  // Records are stored with their attributes in this order.
  const { extra_dhcp_opts: options, ...port } = importedOf(PORT);
  return {
    network: z.object({ ...tagged, ...importedOf(NETWORK) }),
    subnet: z.object({ ...tagged, ...importedOf(SUBNET) }),
    port: z.object({ ...tagged, ...port, extra_dhcp_opts: options }),
    security_group: z.object({ ...tagged, ...importedOf(SECURITY_GROUP) }),
    rules_in_group: z.object({ id: z.string(), security_group_rules: z.array(z.looseObject({})).default([]) }),
    security_group_rule: z.object({ ...standard, ...importedOf(RULE) }),
    address_group: z.object({ ...standard, ...importedOf(ADDRESS_GROUP) }),
    rbac_policy: z.object({ ...PROJECT, ...importedOf(RBAC_POLICY) }),
    quota: z.looseObject(PROJECT),
    default_security_group_rule: z.object({ ...standard, ...importedOf(DEFAULT_RULE) }),
  };
}

type Shape<K extends keyof ReturnType<typeof schemas>> = z.infer<ReturnType<typeof schemas>[K]>;

/**
 * The records of a topology, whose objects are named by id, as Neutron's API gives them, and one line for each object that is left out:
 * what is of no use here, and with `skipsInvalid` what cannot be used, because of itself or of something that it names.
 * @throws ImportError with everything that is wrong, unless that is left out; for a document of which nothing can be used.
 */
export function recordsOf(
  documents: readonly SourceDocument[],
  skipsInvalid: boolean,
  now = timestamp(),
): { readonly records: readonly RecordChange[]; readonly leftOut: readonly string[] } {
  const leftOut: string[] = [];
  let rest = documents;
  for (;;) {
    const { records, problems, unkept, isolations, isUsable } = readRecords(rest, now);
    if (problems.length === 0) return { records, leftOut: [...leftOut, ...unkept.map(lineOf)] };
    const without = skipsInvalid && isUsable ? withoutObjects(rest, problems, isolations) : undefined;
    if (without === undefined) throw new ImportError(problems.map(lineOf).join('\n'));
    leftOut.push(
      ...problems.map((problem) => lineOf({ ...problem, message: `${idAt(rest, problem)}${problem.message}` })),
    );
    rest = without;
  }
}

function lineOf({ file, path, message }: ImportProblem): string {
  return [file, path, message].filter((part) => part !== '').join(': ');
}

interface Read {
  readonly records: readonly RecordChange[];
  readonly problems: readonly ImportProblem[];
  /** What is right, and of no use here. */
  readonly unkept: readonly ImportProblem[];
  readonly isolations: readonly Isolation[];
  readonly isUsable: boolean;
}

function readRecords(documents: readonly SourceDocument[], now: string): Read {
  const { problems: all, isolations, isUsable } = parseTopology(documents);
  const wrong = all.filter(({ severity }) => severity !== 'notice');
  // Of what the compiler refuses the rest is not looked at: much of it would follow.
  if (wrong.length > 0) return { records: [], problems: wrong, unkept: [], isolations, isUsable };
  const shapes = schemas(now);
  const problems: ImportProblem[] = [];
  const unkept: ImportProblem[] = [];
  const parsed = <S extends z.ZodType>(schema: S, value: unknown, file: string, path: string): z.infer<S>[] => {
    const result = schema.safeParse(value);
    if (result.success) return [result.data];
    for (const issue of result.error.issues) {
      problems.push({ file, path: [path, ...issue.path.map(String)].join('.'), message: issue.message });
    }
    return [];
  };
  const each = <T>(key: string, use: (item: unknown, file: string, path: string) => readonly T[]): readonly T[] =>
    documents.flatMap(({ file, content }) => {
      const items = isObject(content) ? content[key] : undefined;
      return listOf(items).flatMap((one, index) => use(one, file, `${key}[${index.toString()}]`));
    });
  const read = <S extends z.ZodType>(key: string, schema: S): readonly z.infer<S>[] =>
    each(key, (one, file, path) => parsed(schema, one, file, path));
  const rule = (one: unknown, file: string, path: string): readonly RuleRecord[] =>
    parsed(shapes.security_group_rule, one, file, path).flatMap((found) => {
      if (hasTags(one)) unkept.push({ file, path, message: `tags of rule ${found.id} are not kept here` });
      try {
        return [ruleRecord(owned(found))];
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        problems.push({ file, path, message: error.message });
        return [];
      }
    });
  const groups = read('security_groups', shapes.security_group);
  const rules = [
    ...each('security_groups', (one, file, path) =>
      parsed(shapes.rules_in_group, one, file, path).flatMap((group) =>
        group.security_group_rules.flatMap((inner, index) =>
          rule({ ...inner, security_group_id: group.id }, file, `${path}.security_group_rules[${index.toString()}]`),
        ),
      ),
    ),
    ...each('security_group_rules', rule),
  ];
  const addressGroups = each('address_groups', (one, file, path) => {
    const found = parsed(shapes.address_group, one, file, path);
    for (const { id } of hasTags(one) ? found : []) {
      unkept.push({ file, path, message: `tags of address group ${id} are not kept here` });
    }
    return found;
  });
  const policies = each('rbac_policies', (one, file, path) => {
    const why = whyNotKept(one);
    if (why === undefined) return parsed(shapes.rbac_policy, one, file, path);
    if (why !== '') unkept.push({ file, path, message: why });
    return [];
  });
  const records = [
    ...made('network', read('networks', shapes.network).map(owned)),
    ...made('subnet', read('subnets', shapes.subnet).map(subnetRecord)),
    ...made('security_group', groups.map(owned)),
    ...made('default_security_group', defaultsOf(groups.map(owned))),
    ...made('security_group_rule', [...new Map(rules.map((one) => [one.id, one])).values()]),
    ...made('address_group', addressGroups.map(owned)),
    ...made('port', read('ports', shapes.port).map(portRecord)),
    ...made('rbac_policy', policies.map(owned)),
    ...made('quota', read('quotas', shapes.quota).map(quotaRecord)),
    ...made(
      'default_security_group_rule',
      read('default_security_group_rules', shapes.default_security_group_rule).map(templateRecord),
    ),
  ];
  return { records, problems: [...problems, ...danglingIn(documents, records)], unkept, isolations, isUsable };
}

function hasTags(one: unknown): boolean {
  const tags = isObject(one) ? one['tags'] : undefined;
  return Array.isArray(tags) && tags.length > 0;
}

/** @returns undefined for a policy that is kept; '' for one that says what its network says already */
function whyNotKept(one: unknown): string | undefined {
  const { object_type: type, action, object_id: object, target_tenant: target } = isObject(one) ? one : {};
  if (action === 'access_as_external' && target === '*') return '';
  const isKept = SHARED_TYPES.some((known) => known === type) && action === 'access_as_shared';
  return isKept ? undefined : `a policy ${shown(action)} of ${shown(type)} ${shown(object)} is not kept here`;
}

/** The lists of a document whose objects the API makes only when what they name is there; of others the compiler says it. */
const DEPENDENT = new Map(
  (['port', 'subnet', 'rbac_policy', 'default_security_group_rule'] as const).map((kind) => [pluralOf(kind), kind]),
);

/** What names something that is not there, or was left out. */
function danglingIn(documents: readonly SourceDocument[], records: readonly RecordChange[]): readonly ImportProblem[] {
  const there = new Set(records.map(({ kind, id }) => keyOf(kind, id)));
  const missing = new Map(
    records.map((one) => [
      keyOf(one.kind, one.id),
      referencesOf(one).find(({ kind, id }) => !there.has(keyOf(kind, id))),
    ]),
  );
  return documents.flatMap(({ file, content }) =>
    Object.entries(isObject(content) ? content : {}).flatMap(([key, list]) =>
      listOf(list).flatMap((item, index) => {
        const kind = DEPENDENT.get(key);
        const named = kind === undefined || !isObject(item) ? undefined : missing.get(keyOf(kind, String(item['id'])));
        if (named === undefined) return [];
        const path = `${key}[${index.toString()}].${named.name}`;
        return [{ file, path, message: `${shown(named.id)} is no ${named.kind} of what is imported` }];
      }),
    ),
  );
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Of the resources that are here: what a Neutron limits beside them has no meaning. */
function quotaRecord(one: Fields): Records['quota'] {
  const { project_id: id } = owned({ project_id: textOf(one['project_id']), tenant_id: textOf(one['tenant_id']) });
  const limits = [...QUOTA_NAMES, 'instances' as const].flatMap((name) => {
    const limit = one[name];
    return typeof limit === 'number' ? [[name, limit] as const] : [];
  });
  return { id, limits: Object.fromEntries(limits) };
}

function owned<T extends { readonly project_id?: string | undefined; readonly tenant_id?: string | undefined }>(
  one: T,
): Omit<T, 'project_id' | 'tenant_id'> & { readonly project_id: string } {
  const { project_id: id, tenant_id: older, ...rest } = one;
  return { ...rest, project_id: id ?? older ?? '' };
}

function subnetRecord(one: Shape<'subnet'>): Records['subnet'] {
  return { ...owned(one), ip_version: parsePrefix(one.cidr)?.family === 'IPv6' ? 6 : 4 };
}

function portRecord(one: Shape<'port'>): Records['port'] {
  const pairs = one.allowed_address_pairs.map(({ mac_address: mac, ip_address: address }) => ({
    mac_address: mac ?? one.mac_address,
    ip_address: address,
  }));
  return { ...owned(one), allowed_address_pairs: pairs };
}

/** In the form that the API stores, `icmp` of IPv6 by its own name and so on. */
function ruleRecord(rule: RuleRecord): RuleRecord {
  return { ...rule, ...ruleContent(rule) };
}

function templateRecord(one: Shape<'default_security_group_rule'>): Records['default_security_group_rule'] {
  const { id, description, used_in_default_sg, used_in_non_default_sg } = one;
  return { id, description, used_in_default_sg, used_in_non_default_sg, ...ruleContent(one) };
}

function defaultsOf(
  groups: readonly Pick<GroupRecord, 'id' | 'name' | 'project_id'>[],
): readonly Records['default_security_group'][] {
  return groups
    .filter(({ name }) => name === DEFAULT_NAME)
    .map(({ id, project_id: owner }) => ({ id: owner, security_group_id: id }));
}

function made<K extends Kind>(kind: K, records: readonly Records[K][]): readonly RecordChange[] {
  return records.map((record) => ofSomeKind<K>({ kind, id: record.id, record }));
}
