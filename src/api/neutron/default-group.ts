/** What a new group holds, and each project's group `default`. */
import { randomUUID } from 'node:crypto';
import type { Writer } from '../writer.js';
import type { DefaultRuleRecord, GroupRecord, RuleRecord } from '../records.js';
import type { View } from '../state.js';
import { picked, specOf } from '../kinds/attribute.js';
import { CONTENT, PARENT } from '../kinds/rule.js';
import { SECURITY_GROUP } from '../kinds/security-group.js';
import { readCreate } from './attributes.js';
import { madeAt, type ChangeRequest } from './resource.js';

const SPEC = specOf(SECURITY_GROUP);

export const DEFAULT_NAME = 'default';

/** The templates that a new store begins with: egress to anywhere; `default` also admits its own members. */
export function firstTemplates(): readonly DefaultRuleRecord[] {
  const any = {
    protocol: null,
    port_range_min: null,
    port_range_max: null,
    remote_ip_prefix: null,
    remote_address_group_id: null,
  };
  return (['IPv4', 'IPv6'] as const).flatMap((ethertype): readonly DefaultRuleRecord[] => [
    {
      id: randomUUID(),
      description: 'Legacy default SG rule for egress traffic',
      direction: 'egress',
      ethertype,
      ...any,
      remote_group_id: null,
      used_in_default_sg: true,
      used_in_non_default_sg: true,
    },
    {
      id: randomUUID(),
      description: 'Legacy default SG rule for ingress traffic',
      direction: 'ingress',
      ethertype,
      ...any,
      remote_group_id: PARENT,
      used_in_default_sg: true,
      used_in_non_default_sg: false,
    },
  ]);
}

export function templatesFor(view: View, isDefault: boolean): readonly DefaultRuleRecord[] {
  return [...view.all('default_security_group_rule')].filter((template) =>
    isDefault ? template.used_in_default_sg : template.used_in_non_default_sg,
  );
}

/** Makes a group with the rules of the templates. */
export function makeGroup(writer: Writer, group: GroupRecord, isDefault: boolean): void {
  writer.put('security_group', group);
  for (const template of templatesFor(writer.view, isDefault)) {
    writer.put('security_group_rule', ruleFrom(template, group));
  }
}

function ruleFrom(template: DefaultRuleRecord, group: GroupRecord): RuleRecord {
  const content = picked(CONTENT, template);
  return {
    id: randomUUID(),
    project_id: group.project_id,
    security_group_id: group.id,
    ...content,
    remote_group_id: content.remote_group_id === PARENT ? group.id : content.remote_group_id,
    description: null,
    created_at: group.created_at,
    updated_at: group.updated_at,
    revision_number: 0,
  };
}

/** Of resources that show it: before a project's first look it is made. */
export const PREPARED = {
  needsPreparation: (view: View, projects: readonly string[]): boolean =>
    projects.some((project) => view.get('default_security_group', project) === undefined),
  prepare: (writer: Writer, projects: readonly string[], request: ChangeRequest): void => {
    for (const project of projects) ensureDefaultGroup(writer, project, request);
  },
};

/** The id of the project's `default`, which is made where there is none. */
export function ensureDefaultGroup(writer: Writer, projectId: string, { now }: Pick<ChangeRequest, 'now'>): string {
  const known = writer.view.get('default_security_group', projectId);
  if (known !== undefined) return known.security_group_id;
  const id = randomUUID();
  const group: GroupRecord = {
    id,
    project_id: projectId,
    ...readCreate(SPEC, [], { name: DEFAULT_NAME, description: 'Default security group' }),
    tags: [],
    ...madeAt(now, 1),
  };
  makeGroup(writer, group, true);
  writer.put('default_security_group', { id: projectId, security_group_id: id });
  return id;
}

export function isDefaultGroup(view: View, { id, project_id: project }: GroupRecord): boolean {
  return view.get('default_security_group', project)?.security_group_id === id;
}
