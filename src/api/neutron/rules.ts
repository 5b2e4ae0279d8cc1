/** Security group rules. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isOwn } from '../caller.js';
import { ApiError, forbidden } from '../errors.js';
import type { RuleContent, RuleRecord } from '../records.js';
import type { View } from '../state.js';
import { addressGroups } from './address-groups.js';
import type { Parser } from '../kinds/parsers.js';
import { checkCompilable } from './compilable.js';
import { PREPARED } from './default-group.js';
import type { SpecialFilters } from './query.js';
import { reserve } from './quota.js';
import { found, madeAt, type CreateRequest, type Resource } from './resource.js';
import { duplicateKey, ruleContent } from './rule-content.js';
import { bumpGroup, removeRule, securityGroups } from './security-groups.js';
import { isUsable } from './sharing.js';
import { specOf } from '../kinds/attribute.js';
import { port, protocol, RULE } from '../kinds/rule.js';
import { RULE_SHOWS } from './rule-view.js';

const SPEC = specOf(RULE);

export const rules: Resource<'security_group_rule', typeof SPEC> = {
  kind: 'security_group_rule',
  spec: SPEC,
  shows: RULE_SHOWS,
  notFound: (id) => new ApiError('SecurityGroupRuleNotFound', `Security group rule ${id} does not exist`),
  canSee: (rule, view, caller) => {
    const group = view.get('security_group', rule.security_group_id);
    return isOwn(caller, rule) || (group !== undefined && isUsable(group, view, caller));
  },
  canChange: (rule, view, caller) => {
    const group = view.get('security_group', rule.security_group_id);
    return group !== undefined && isOwn(caller, group);
  },
  ...PREPARED,
  filters: {
    protocol: oneOf(protocol, 'protocol'),
    port_range_min: oneOf(port, 'port_range_min'),
    port_range_max: oneOf(port, 'port_range_max'),
  },
  candidates: (view, filters) => {
    const groups = filters.get('security_group_id');
    return groups === undefined
      ? undefined
      : [...new Set(groups)].flatMap((id) => [...view.by('security_group_rule', 'security_group_id', id)]);
  },
  checkBulk: (bodies) => {
    if (new Set(bodies.map((body) => body['security_group_id'])).size > 1) {
      throw new ApiError(
        'SecurityGroupNotSingleGroupRules',
        'Only allowed to update rules for one security profile at a time',
      );
    }
    if (new Set(bodies.map((body) => body['project_id'] ?? body['tenant_id'])).size > 1) {
      throw new ApiError(
        'SecurityGroupRulesNotSingleTenant',
        'Multiple tenant_ids in bulk security group rule create not allowed',
      );
    }
  },
  create: (writer, request) => {
    const { values, projectId, now } = request;
    const content = ruleContent(values);
    checkReferences(writer.view, content, request);
    checkDuplicate(writer.view, content, values.security_group_id, request.made);
    reserve(writer.view, projectId, { security_group_rule: 1 });
    const rule: RuleRecord = {
      id: randomUUID(),
      project_id: projectId,
      ...values,
      ...content,
      ...madeAt(now, 0),
    };
    checkRuleCompilable(rule);
    writer.put('security_group_rule', rule);
    bumpGroup(writer, rule.security_group_id, now);
    return rule;
  },
  remove: (writer, rule, { now }) => {
    removeRule(writer, rule, now);
  },
};

/** A filter of values as a rule has them; the words for none stand for none. @throws ApiError (400) */
function oneOf(parse: Parser<unknown>, name: string): SpecialFilters[string] {
  return (values) => {
    const wanted = new Set(values.map((text) => (/^(null|none)$/i.test(text) ? null : parse(text, name))));
    return (item) => wanted.has(item.value(name));
  };
}

function checkReferences(view: View, content: RuleContent, { values, caller }: CreateRequest<typeof SPEC>): void {
  const group = found(securityGroups, view, caller, values.security_group_id);
  if (!isAdmin(caller) && !isOwn(caller, group)) throw forbidden('rule:create_security_group_rule');
  const { remote_group_id: remoteGroup, remote_address_group_id: remoteAddresses } = content;
  if (remoteGroup !== null) found(securityGroups, view, caller, remoteGroup);
  if (remoteAddresses !== null) found(addressGroups, view, caller, remoteAddresses);
}

function checkDuplicate(view: View, content: RuleContent, groupId: string, made: ReadonlySet<string>): void {
  const key = duplicateKey(content);
  for (const rule of view.by('security_group_rule', 'security_group_id', groupId)) {
    if (duplicateKey(rule) === key) {
      if (made.has(rule.id))
        throw new ApiError('DuplicateSecurityGroupRuleInPost', 'Duplicate Security Group Rule in POST.');
      throw new ApiError('SecurityGroupRuleExists', `Security group rule already exists. Rule id is ${rule.id}.`);
    }
  }
}

/** The rule in a group of its own, with the groups that it names. */
export function checkRuleCompilable(rule: RuleContent & { readonly id: string }): void {
  const { remote_group_id: group, remote_address_group_id: addresses } = rule;
  checkCompilable({
    security_group_rules: [{ ...rule, security_group_id: 'group' }],
    security_groups: ['group', ...(group === null ? [] : [group])].map((id) => ({ id, security_group_rules: [] })),
    address_groups: addresses === null ? [] : [{ id: addresses }],
  });
}
