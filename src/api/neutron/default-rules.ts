/** Templates: the rules that a new group begins with. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isReader } from '../caller.js';
import { ApiError } from '../errors.js';
import type { DefaultRuleRecord } from '../records.js';
import { addressGroups } from './address-groups.js';
import { found, type Resource } from './resource.js';
import { duplicateKey, ruleContent } from './rule-content.js';
import { checkRuleCompilable } from './rules.js';
import { securityGroups } from './security-groups.js';
import { specOf } from '../kinds/attribute.js';
import { DEFAULT_RULE, PARENT } from '../kinds/rule.js';

const SPEC = specOf(DEFAULT_RULE);

export const defaultRules: Resource<'default_security_group_rule', typeof SPEC> = {
  kind: 'default_security_group_rule',
  spec: SPEC,
  shows: {
    names: Object.keys(DEFAULT_RULE),
    // In the order in which they were stored.
    fields: (rule, _looking, isWanted) => Object.fromEntries(Object.entries(rule).filter(([name]) => isWanted(name))),
  },
  notFound: (id) =>
    new ApiError('DefaultSecurityGroupRuleNotFound', `Default Security Group rule ${id} does not exist`),
  canSee: (_rule, _view, caller) => isReader(caller),
  canChange: (_rule, _view, caller) => isAdmin(caller),
  canCreate: isAdmin,
  create: (writer, { values, caller }) => {
    const { view } = writer;
    const content = ruleContent(values);
    const { remote_group_id: group, remote_address_group_id: addresses } = content;
    if (group !== null && group !== PARENT) found(securityGroups, view, caller, group);
    if (addresses !== null) found(addressGroups, view, caller, addresses);
    const rule: DefaultRuleRecord = { id: randomUUID(), ...values, ...content };
    for (const other of view.all('default_security_group_rule')) {
      const isTogether =
        (other.used_in_default_sg && rule.used_in_default_sg) ||
        (other.used_in_non_default_sg && rule.used_in_non_default_sg);
      if (isTogether && duplicateKey(other) === duplicateKey(rule)) {
        throw new ApiError(
          'DefaultSecurityGroupRuleExists',
          `Default Security group rule already exists. Rule id is ${other.id}.`,
        );
      }
    }
    checkRuleCompilable(rule);
    writer.put('default_security_group_rule', rule);
    return rule;
  },
  remove: (writer, { id }) => {
    writer.delete('default_security_group_rule', id);
  },
};
