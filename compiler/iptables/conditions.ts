/** What a rule of a group asks of a packet, from its text: in the form in which nftables/conditions.ts says it. */
import { parsePrefix, type Family } from '../model/index.js';
import type { Condition } from '../nftables/conditions.js';
import type { Field } from '../ruleset/types.js';
import { ADMIT_CHAIN } from './names.js';
import { protocolOf } from './rule.js';

export interface GroupRuleReader {
  readonly family: Family;
  /** Whether a set holds ports; another one holds addresses. */
  readonly holdsPorts: (set: string) => boolean;
}

/**
 * @param rule as {@link ruleText} writes it.
 * @returns undefined for a rule of a form that those of groups do not have (group.ts).
 */
export function groupConditions(rule: string, reader: GroupRuleReader): readonly Condition[] | undefined {
  const [, asked, chain] = /^(.*)-g (\S+)$/.exec(rule) ?? [];
  if (asked === undefined || !Object.values(ADMIT_CHAIN).some((name) => name === chain)) return undefined;
  const conditions: Condition[] = [is('meta protocol', reader.family === 'IPv4' ? 'ip' : 'ip6')];
  for (let rest = asked; rest !== '';) {
    const [part, read] = firstPart(rest, reader);
    if (read === undefined) return undefined;
    conditions.push(...read);
    rest = rest.slice(part.length);
  }
  return conditions;
}

const ADDRESS = /^-([sd]) (\S+) /;
const PROTOCOL = /^-p (\S+) /;
const SET = /^-m set --match-set (\S+) (src|dst) /;
const PORTS = /^-m multiport --dports (\S+) /;
const ICMP = /^-m icmp(6?) --icmp(?:v6)?-type (\d+)(?:\/(\d+))? /;

/** The first part of a rule, and what it asks; undefined for what no rule of a group has. */
function firstPart(
  text: string,
  { family, holdsPorts }: GroupRuleReader,
): readonly [string, readonly Condition[] | undefined] {
  const [address, side, prefix = ''] = ADDRESS.exec(text) ?? [];
  if (address !== undefined) {
    const known = parsePrefix(prefix)?.text;
    return [address, known === undefined ? undefined : [is(addressField(family, side === 's'), known)]];
  }
  const [protocol, name = ''] = PROTOCOL.exec(text) ?? [];
  if (protocol !== undefined) {
    const number = protocolOf(name);
    return [protocol, number === undefined ? undefined : [is('meta l4proto', number.toString())]];
  }
  const [lookup, set = '', end] = SET.exec(text) ?? [];
  if (lookup !== undefined) {
    const field = holdsPorts(set) ? 'th dport' : addressField(family, end === 'src');
    return [lookup, [{ fields: [field], keys: { set } }]];
  }
  const [ports, list = ''] = PORTS.exec(text) ?? [];
  if (ports !== undefined) {
    const keys = list.split(',').map((range) => [range.replace(':', '-')]);
    return [ports, [{ fields: ['th dport'], keys }]];
  }
  const [icmp, six, type = '', code] = ICMP.exec(text) ?? [];
  if (icmp !== undefined) {
    const kind = six === '6' ? 'icmpv6' : 'icmp';
    return [icmp, [is(`${kind} type`, type), ...(code === undefined ? [] : [is(`${kind} code`, code)])]];
  }
  return ['', undefined];
}

function is(field: Field, key: string): Condition {
  return { fields: [field], keys: [[key]] };
}

function addressField(family: Family, isSource: boolean): Field {
  if (family === 'IPv4') return isSource ? 'ip saddr' : 'ip daddr';
  return isSource ? 'ip6 saddr' : 'ip6 daddr';
}
