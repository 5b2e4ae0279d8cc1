/** Who asks. */
export interface Caller {
  readonly userId: string;
  readonly userName: string;
  readonly projectId: string;
  /** Lower case. */
  readonly roles: readonly string[];
}

export function isAdmin({ roles }: Caller): boolean {
  return roles.includes('admin');
}

/** May change what is the project's own (keystone's `member`, and what implies it). */
export function isMember({ roles }: Caller): boolean {
  return roles.some((role) => role === 'admin' || role === 'manager' || role === 'member');
}

/** Reads the topology, and nothing else. */
export function isAgent({ roles }: Caller): boolean {
  return roles.includes('portcullis-agent');
}

export function isReader(caller: Caller): boolean {
  return isMember(caller) || caller.roles.includes('reader');
}

export function isOwn(caller: Caller, { project_id: project }: { readonly project_id: string }): boolean {
  return project === caller.projectId;
}
