/** Security groups as Nova shows them. */
import { isAdmin, type Caller } from '../caller.js';
import { ApiError } from '../errors.js';
import type { GroupRecord, RuleRecord } from '../records.js';
import type { View } from '../state.js';
import { isPortProtocolName } from '../neutron/rule-content.js';
import { isUsable } from '../neutron/sharing.js';

/** @throws ApiError (404, 409) unless the text is the id, or in the caller's sight the only name, of a group. */
export function groupByText(view: View, caller: Caller, text: string): GroupRecord {
  const byId = view.get('security_group', text);
  if (byId !== undefined && (isAdmin(caller) || isUsable(byId, view, caller))) return byId;
  const named = [...view.all('security_group')].filter(({ name }) => name === text);
  const own = named.filter(({ project_id: project }) => project === caller.projectId);
  const candidates = own.length > 0 ? own : named.filter((group) => isUsable(group, view, caller));
  const [only, ...others] = candidates;
  if (only === undefined) throw new ApiError(404, 'itemNotFound', `Security group ${text.slice(0, 255)} not found.`);
  if (others.length > 0) {
    throw new ApiError(
      409,
      'conflictingRequest',
      `Multiple security groups found matching '${text.slice(0, 255)}'. Use an ID to be more specific.`,
    );
  }
  return only;
}

export function novaGroup(group: GroupRecord, view: View): object {
  return {
    id: group.id,
    name: group.name === '' ? group.id : group.name,
    description: group.description,
    tenant_id: group.project_id,
    rules: [...view.rulesOf(group.id)]
      .filter(({ direction }) => direction === 'ingress')
      .map((rule) => novaRule(rule, view)),
  };
}

function novaRule(rule: RuleRecord, view: View): object {
  const { protocol, port_range_min: min, port_range_max: max, remote_group_id: remote } = rule;
  const whole = protocol !== null && isPortProtocolName(protocol) ? [1, 65535] : [-1, -1];
  const [from, to] = protocol === null ? [null, null] : [min ?? whole[0], max ?? whole[1]];
  const group = remote === null ? undefined : view.get('security_group', remote);
  return {
    id: rule.id,
    parent_group_id: rule.security_group_id,
    ip_protocol: protocol,
    from_port: from,
    to_port: to,
    group: group === undefined ? {} : { name: group.name, tenant_id: group.project_id },
    ip_range: group === undefined ? { cidr: rule.remote_ip_prefix ?? '0.0.0.0/0' } : {},
  };
}

/** By project, then by name. */
export function sortedGroups(groups: Iterable<GroupRecord>): readonly GroupRecord[] {
  const key = ({ project_id: project, name, id }: GroupRecord): string => `${project}\0${name}\0${id}`;
  return [...groups].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
