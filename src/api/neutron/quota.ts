/** How many objects of each kind a project may have. */
import { ApiError } from '../errors.js';
import { QUOTA_NAMES, type QuotaName } from '../records.js';
import type { View } from '../state.js';

/** Neutron's defaults; -1 stands for no limit. */
export const DEFAULT_LIMITS: Readonly<Record<QuotaName, number>> = {
  network: 100,
  subnet: 100,
  subnetpool: -1,
  port: 500,
  rbac_policy: 10,
  security_group: 10,
  security_group_rule: 100,
};

/** Servers of a project. Nova has 10 by default, but its servers cost more than a record. */
export const DEFAULT_INSTANCES = 100;

export function limitsOf(view: View, projectId: string): Readonly<Record<QuotaName, number>> {
  const own = view.get('quota', projectId)?.limits ?? {};
  const limits: Record<QuotaName, number> = { ...DEFAULT_LIMITS };
  for (const name of QUOTA_NAMES) limits[name] = own[name] ?? limits[name];
  return limits;
}

/** How many servers a project may have; -1 stands for no limit. */
export function instancesOf(view: View, projectId: string): number {
  return view.get('quota', projectId)?.limits.instances ?? DEFAULT_INSTANCES;
}

export function usedBy(view: View, projectId: string, name: QuotaName): number {
  return name === 'subnetpool' ? 0 : view.countOf(name, projectId);
}

/** @throws ApiError (409) when a project would have more than it may. */
export function reserve(view: View, projectId: string, wanted: Readonly<Partial<Record<QuotaName, number>>>): void {
  const limits = limitsOf(view, projectId);
  const over = QUOTA_NAMES.filter((name) => {
    const more = wanted[name] ?? 0;
    return more > 0 && limits[name] >= 0 && usedBy(view, projectId, name) + more > limits[name];
  });
  if (over.length > 0) {
    throw new ApiError('OverQuota', `Quota exceeded for resources: [${over.map((name) => `'${name}'`).join(', ')}].`);
  }
}
