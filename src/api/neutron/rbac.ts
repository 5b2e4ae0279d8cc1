/** RBAC policies: groups and address groups that other projects may use. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isOwn } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import { type RbacRecord } from '../records.js';
import type { View } from '../state.js';
import { addressGroups } from './address-groups.js';
import { optional, specOf } from '../kinds/attribute.js';
import { text } from '../kinds/parsers.js';
import { networks } from './networks.js';
import { reserve } from './quota.js';
import type { Resource } from './resource.js';
import { securityGroups } from './security-groups.js';
import { isSharedWith } from './sharing.js';
import { RBAC_POLICY } from '../kinds/rbac-policy.js';
import { shows } from './shows.js';

/** The newer name of `target_tenant`, which clients may write, too. */
const SPEC = { ...specOf(RBAC_POLICY), target_project: optional(text(255)) };

export const rbacPolicies: Resource<'rbac_policy', typeof SPEC> = {
  kind: 'rbac_policy',
  spec: SPEC,
  shows: shows(
    RBAC_POLICY,
    ['id', 'project_id', 'action', 'object_id', 'target_tenant', 'object_type', 'tenant_id'],
    {},
  ),
  notFound: (id) => new ApiError('RbacPolicyNotFound', `RBAC policy of type rbac_policy with ID ${id} not found`),
  canSee: (policy, _view, caller) => isOwn(caller, policy),
  create: (writer, { values: { target_project: newer, ...values }, projectId, caller }) => {
    const { object_type: type, object_id: object } = values;
    const target = targetOf(values.target_tenant ?? newer);
    const { view } = writer;
    const record = view.get(type, object);
    const isVisible =
      record !== undefined &&
      (isAdmin(caller) || isOwn(caller, record) || isSharedWith(view, object, caller.projectId));
    if (!isVisible) throw SHARED[type].notFound(object);
    if (!isAdmin(caller) && !isOwn(caller, record)) {
      throw new ApiError(
        'InvalidInput',
        `Invalid input for operation: Only admins can manipulate policies on objects they do not own.`,
      );
    }
    if (target === '*' && !isAdmin(caller)) throw forbidden('rule:create_rbac_policy:target_tenant');
    reserve(view, projectId, { rbac_policy: 1 });
    refuseDuplicate(view, object, target);
    const policy: RbacRecord = { id: randomUUID(), project_id: projectId, ...values, target_tenant: target };
    writer.put('rbac_policy', policy);
    return policy;
  },
  update: (writer, policy, { values, caller }) => {
    const target = values.target_tenant ?? values.target_project ?? policy.target_tenant;
    if (target === policy.target_tenant) return policy;
    if (target === '*' && !isAdmin(caller)) throw forbidden('rule:update_rbac_policy:target_tenant');
    refuseDuplicate(writer.view, policy.object_id, target);
    const after = { ...policy, target_tenant: target };
    writer.put('rbac_policy', after);
    refuseInUse(writer.view, policy);
    return after;
  },
  remove: (writer, policy) => {
    writer.delete('rbac_policy', policy.id);
    refuseInUse(writer.view, policy);
  },
};

const SHARED = { security_group: securityGroups, address_group: addressGroups, network: networks } as const;

function targetOf(target: string | undefined): string {
  if (target === undefined || target === '') {
    throw badRequest("Failed to parse request. Required attribute 'target_tenant' not specified");
  }
  return target;
}

function refuseDuplicate(view: View, object: string, target: string): void {
  for (const other of view.by('rbac_policy', 'object_id', object)) {
    if (other.target_tenant === target) {
      throw new ApiError('DuplicateRbacPolicy', 'An RBAC policy already exists with those values.');
    }
  }
}

/**
 * Once the policy is gone: whom it let see the object, and who still uses it, must see it by another one. What others use was not by
 * this one's leave: an administrator, who needs none, keeps no owner from taking it back.
 */
function refuseInUse(view: View, { object_type: type, object_id: object, target_tenant: target }: RbacRecord): void {
  const record = view.get(type, object);
  if (record !== undefined && 'shared' in record && record.shared) return;
  const left = usersOf(view, type, object).find(
    (project) =>
      (target === '*' || project === target) && project !== record?.project_id && !isSharedWith(view, object, project),
  );
  if (left !== undefined) {
    throw new ApiError(
      'RbacPolicyInUse',
      `RBAC policy on object ${object} cannot be removed because other objects depend on it.\nDetails: in use by project ${left}`,
    );
  }
}

/** The projects of what depends on an object. */
function usersOf(view: View, type: RbacRecord['object_type'], object: string): readonly string[] {
  const owners = (records: Iterable<{ readonly project_id: string }>): readonly string[] =>
    [...records].map(({ project_id: project }) => project);
  switch (type) {
    case 'security_group':
      return [
        ...owners(view.by('security_group_rule', 'remote_group_id', object)),
        ...owners(view.by('port', 'security_groups', object)),
      ];
    case 'address_group':
      return owners(view.by('security_group_rule', 'remote_address_group_id', object));
    case 'network':
      return [...owners(view.by('port', 'network_id', object)), ...owners(view.by('subnet', 'network_id', object))];
  }
}
