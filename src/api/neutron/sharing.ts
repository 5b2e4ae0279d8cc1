/** What is shared by RBAC policies. */
import type { Caller } from '../caller.js';
import { isOwn } from '../caller.js';
import type { View } from '../state.js';

interface Owned {
  readonly id: string;
  readonly project_id: string;
}

/** True when a policy lets the project see and use it. */
export function isSharedWith(view: View, objectId: string, projectId: string): boolean {
  for (const { target_tenant: target } of view.by('rbac_policy', 'object_id', objectId)) {
    if (target === '*' || target === projectId) return true;
  }
  return false;
}

/** True when the caller's project has it or shares it. */
export function isUsable(record: Owned, view: View, caller: Caller): boolean {
  return isOwn(caller, record) || isSharedWith(view, record.id, caller.projectId);
}

/** What `shared` says: of one's own objects always false. */
export function isShownShared(record: Owned, view: View, caller: Caller): boolean {
  return !isOwn(caller, record) && isSharedWith(view, record.id, caller.projectId);
}
