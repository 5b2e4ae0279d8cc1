/** A rule as it is shown, by itself and in its group. */
import type { RuleRecord } from '../records.js';
import type { Fields } from './attributes.js';
import { normalisedCidr } from './rule-content.js';

export function ruleView(rule: RuleRecord): Fields {
  return {
    id: rule.id,
    tenant_id: rule.project_id,
    security_group_id: rule.security_group_id,
    ethertype: rule.ethertype,
    direction: rule.direction,
    protocol: rule.protocol,
    port_range_min: rule.port_range_min,
    port_range_max: rule.port_range_max,
    remote_ip_prefix: rule.remote_ip_prefix,
    remote_address_group_id: rule.remote_address_group_id,
    normalized_cidr: normalisedCidr(rule.remote_ip_prefix),
    remote_group_id: rule.remote_group_id,
    description: rule.description,
    created_at: rule.created_at,
    updated_at: rule.updated_at,
    revision_number: rule.revision_number,
    project_id: rule.project_id,
  };
}
