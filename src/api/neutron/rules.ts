/** Security group rules. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isOwn } from '../caller.js';
import { ApiError, forbidden } from '../errors.js';
import type { RuleContent, RuleRecord } from '../records.js';
import type { View } from '../state.js';
import type { Writer } from '../writer.js';
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
import { projectOf } from './attributes.js';
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
  checkBulk: (bodies, caller) => {
    if (new Set(bodies.map((body) => body['security_group_id'])).size > 1) {
      throw new ApiError(
        'SecurityGroupNotSingleGroupRules',
        'Only allowed to update rules for one security profile at a time',
      );
    }
    // Who names no project means his own, as if he had.
    if (new Set(bodies.map((body) => projectOf(body) ?? caller.projectId)).size > 1) {
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
    const known = knownIn(writer, values.security_group_id);
    checkDuplicate(known, content, request.made);
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
    known.set(duplicateKey(rule), rule.id);
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

/** The ids of a group's rules by what they say. */
type Known = Map<string, string>;

/** Of the group that a change makes rules in: a bulk of thousands reads the group's rules once, and not for each. */
const knownOf = new WeakMap<Writer, { readonly groupId: string; readonly known: Known }>();

function knownIn(writer: Writer, groupId: string): Known {
  const before = knownOf.get(writer);
  if (before?.groupId === groupId) return before.known;
  const rulesThere = writer.view.by('security_group_rule', 'security_group_id', groupId);
  const known = new Map([...rulesThere].map((rule) => [duplicateKey(rule), rule.id]));
  knownOf.set(writer, { groupId, known });
  return known;
}

function checkDuplicate(known: Known, content: RuleContent, made: ReadonlySet<string>): void {
  const id = known.get(duplicateKey(content));
  if (id === undefined) return;
  if (made.has(id)) throw new ApiError('DuplicateSecurityGroupRuleInPost', 'Duplicate Security Group Rule in POST.');
  throw new ApiError('SecurityGroupRuleExists', `Security group rule already exists. Rule id is ${id}.`);
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
