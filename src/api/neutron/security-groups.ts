/** Security groups. */
import { randomUUID } from 'node:crypto';
import { isAdmin } from '../caller.js';
import { deleteBy, type Writer } from '../writer.js';
import { ApiError } from '../errors.js';
import type { GroupRecord } from '../records.js';
import { isAny } from '../state.js';
import {
  DEFAULT_NAME,
  ensureDefaultGroup,
  isDefaultGroup,
  makeGroup,
  PREPARED,
  templatesFor,
} from './default-group.js';
import { reserve } from './quota.js';
import { madeAt, revised, type Resource } from './resource.js';
import { ruleView } from './rule-view.js';
import { isShownShared, isUsable } from './sharing.js';
import { specOf } from '../kinds/attribute.js';
import { SECURITY_GROUP } from '../kinds/security-group.js';
import { shows } from './shows.js';

const SPEC = specOf(SECURITY_GROUP);

export const securityGroups: Resource<'security_group', typeof SPEC> = {
  kind: 'security_group',
  spec: SPEC,
  shows: shows(
    SECURITY_GROUP,
    [
      'id',
      'name',
      'stateful',
      'tenant_id',
      'description',
      'shared',
      'security_group_rules',
      'tags',
      'created_at',
      'updated_at',
      'revision_number',
      'project_id',
    ],
    {
      shared: (group, { view, caller }) => isShownShared(group, view, caller),
      security_group_rules: ({ id }, { view }) =>
        Array.from(view.by('security_group_rule', 'security_group_id', id), (rule) => ({
          ...ruleView(rule),
          tags: [],
        })),
    },
  ),
  notFound: (id) => new ApiError('SecurityGroupNotFound', `Security group ${id} does not exist`),
  canSee: isUsable,
  ...PREPARED,
  create: (writer, { projectId, values, now }) => {
    refuseDefaultName(values.name);
    ensureDefaultGroup(writer, projectId, { now });
    reserve(writer.view, projectId, {
      security_group: 1,
      security_group_rule: templatesFor(writer.view, false).length,
    });
    const group: GroupRecord = { id: randomUUID(), project_id: projectId, ...values, tags: [], ...madeAt(now, 1) };
    makeGroup(writer, group, false);
    return group;
  },
  update: (writer, group, { values, now }) => {
    if (values.name !== undefined) {
      refuseDefaultName(values.name);
      if (isDefaultGroup(writer.view, group)) {
        throw new ApiError('SecurityGroupCannotUpdateDefault', 'Updating default security group not allowed.');
      }
    }
    if (values.stateful !== undefined && values.stateful !== group.stateful) refuseInUse(writer, group);
    const after = revised(group, { ...group, ...values }, now);
    if (after !== group) writer.put('security_group', after);
    return after;
  },
  remove: (writer, group, { caller, now }) => {
    const isDefault = isDefaultGroup(writer.view, group);
    if (isDefault && !isAdmin(caller)) {
      throw new ApiError(
        'SecurityGroupCannotRemoveDefault',
        'Insufficient rights for removing default security group.',
      );
    }
    refuseInUse(writer, group);
    deleteBy(writer, 'security_group_rule', 'security_group_id', group.id);
    // Rules of others that name it go, too: a group that is no more admits nobody.
    const others = [...writer.view.by('security_group_rule', 'remote_group_id', group.id)];
    for (const rule of others) removeRule(writer, rule, now);
    deleteBy(writer, 'default_security_group_rule', 'remote_group_id', group.id);
    deleteBy(writer, 'rbac_policy', 'object_id', group.id);
    if (isDefault) writer.delete('default_security_group', group.project_id);
    writer.delete('security_group', group.id);
  },
};

function refuseDefaultName(name: string): void {
  if (name.toLowerCase() === DEFAULT_NAME) {
    throw new ApiError('SecurityGroupDefaultAlreadyExists', 'Default security group already exists.');
  }
}

function refuseInUse({ view }: Writer, { id }: GroupRecord): void {
  if (isAny(view.by('port', 'security_groups', id))) {
    throw new ApiError('SecurityGroupInUse', `Security Group ${id} in use.`);
  }
}

/** Takes a rule out of its group, whose revision says so. */
export function removeRule(
  writer: Writer,
  rule: { readonly id: string; readonly security_group_id: string },
  now: string,
): void {
  writer.delete('security_group_rule', rule.id);
  bumpGroup(writer, rule.security_group_id, now);
}

export function bumpGroup(writer: Writer, id: string, now: string): void {
  const group = writer.view.get('security_group', id);
  if (group === undefined) return;
  writer.put('security_group', { ...group, revision_number: group.revision_number + 1, updated_at: now });
}
