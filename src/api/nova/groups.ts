/** Security groups as Nova shows them. */
import { isAdmin, type Caller } from '../caller.js';
import { ApiError } from '../errors.js';
import type { GroupRecord, RuleRecord } from '../records.js';
import type { View } from '../state.js';
import { isPortProtocolName } from '../neutron/rule-content.js';
import { isUsable } from '../neutron/sharing.js';

/**
 * The group that a text means. By id: one that the caller may use. By name: one that the project itself has, as Nova asks Neutron;
 * anybody may give any name to a group of his own and share it with anybody, so a shared one is not found by its name.
 * @param projectId whose names they are: the server's.
 * @throws ApiError (404, 409)
 */
export function groupByText(view: View, caller: Caller, projectId: string, text: string): GroupRecord {
  const byId = view.get('security_group', text);
  if (byId !== undefined && (isAdmin(caller) || isUsable(byId, view, caller))) return byId;
  const [only, ...others] = [...view.all('security_group')].filter(
    ({ name, project_id: project }) => name === text && project === projectId,
  );
  if (only === undefined) throw new ApiError('itemNotFound', `Security group ${text.slice(0, 255)} not found.`);
  if (others.length > 0) {
    throw new ApiError(
      'conflictingRequest',
      `Multiple security groups found matching '${text.slice(0, 255)}'. Use an ID to be more specific.`,
    );
  }
  return only;
}

export function novaGroup(group: GroupRecord, view: View, caller: Caller): object {
  return {
    id: group.id,
    name: group.name === '' ? group.id : group.name,
    description: group.description,
    tenant_id: group.project_id,
    rules: [...view.by('security_group_rule', 'security_group_id', group.id)]
      .filter(({ direction }) => direction === 'ingress')
      .flatMap((rule) => novaRule(rule, view, caller)),
  };
}

/** As in Nova, a rule whose remote group the caller may not see is left out: its name is that group's own matter. */
function novaRule(rule: RuleRecord, view: View, caller: Caller): readonly object[] {
  const { protocol, port_range_min: min, port_range_max: max, remote_group_id: remote } = rule;
  const whole = protocol !== null && isPortProtocolName(protocol) ? [1, 65535] : [-1, -1];
  const [from, to] = protocol === null ? [null, null] : [min ?? whole[0], max ?? whole[1]];
  const group = remote === null ? undefined : view.get('security_group', remote);
  if (group !== undefined && !isAdmin(caller) && !isUsable(group, view, caller)) return [];
  return [
    {
      id: rule.id,
      parent_group_id: rule.security_group_id,
      ip_protocol: protocol,
      from_port: from,
      to_port: to,
      group: group === undefined ? {} : { name: group.name, tenant_id: group.project_id },
      ip_range: group === undefined ? { cidr: rule.remote_ip_prefix ?? '0.0.0.0/0' } : {},
    },
  ];
}

/** By project, then by name. */
export function sortedGroups(groups: Iterable<GroupRecord>): readonly GroupRecord[] {
  const key = ({ project_id: project, name, id }: GroupRecord): string => `${project}\0${name}\0${id}`;
  return [...groups].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
