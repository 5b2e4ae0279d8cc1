/** A rule as it is shown, by itself and in its group. */
import type { Fields } from '../kinds/parsers.js';
import { RULE } from '../kinds/rule.js';
import type { RuleRecord } from '../records.js';
import { normalisedCidr } from './rule-content.js';
import { ALL, shows, type Shows } from './shows.js';

export const RULE_SHOWS: Shows<RuleRecord, unknown> = shows(
  RULE,
  [
    'id',
    'tenant_id',
    'security_group_id',
    'ethertype',
    'direction',
    'protocol',
    'port_range_min',
    'port_range_max',
    'remote_ip_prefix',
    'remote_address_group_id',
    'normalized_cidr',
    'remote_group_id',
    'description',
    'created_at',
    'updated_at',
    'revision_number',
    'project_id',
  ],
  { normalized_cidr: (rule) => normalisedCidr(rule.remote_ip_prefix) },
);

export function ruleView(rule: RuleRecord): Fields {
  return RULE_SHOWS.fields(rule, undefined, ALL);
}
