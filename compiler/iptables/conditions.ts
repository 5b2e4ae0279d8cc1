/** What a rule of a group asks of a packet: in the form in which nftables/conditions.ts says it. */
import type { Family } from '../model/index.js';
import type { NumberRange } from '../number-range.js';
import type { Condition } from '../nftables/conditions.js';
import type { Field } from '../ruleset/types.js';
import { ADMIT_CHAIN } from './names.js';
import type { IptablesRule, Match } from './rule.js';

export interface GroupRuleReader {
  readonly family: Family;
  /** Whether a set holds ports; another one holds addresses. */
  readonly holdsPorts: (set: string) => boolean;
}

/** @returns undefined for a rule of a form that those of groups do not have (group.ts). */
export function groupConditions(
  { source, destination, input, output, protocol, notProtocol, matches = [], target }: IptablesRule,
  reader: GroupRuleReader,
): readonly Condition[] | undefined {
  const { family } = reader;
  if (target?.kind !== 'goto' || !Object.values(ADMIT_CHAIN).some((name) => name === target.chain)) return undefined;
  if ((input ?? output ?? notProtocol) !== undefined) return undefined;
  const asked = matches.map((match) => matchConditions(match, reader));
  if (asked.includes(undefined)) return undefined;
  return [
    is('meta protocol', family === 'IPv4' ? 'ip' : 'ip6'),
    ...(source === undefined ? [] : [is(addressField(family, true), source.text)]),
    ...(destination === undefined ? [] : [is(addressField(family, false), destination.text)]),
    ...(protocol === undefined ? [] : [is('meta l4proto', protocol.toString())]),
    ...asked.flatMap((conditions) => conditions ?? []),
  ];
}

/** Undefined for what no rule of a group asks. */
function matchConditions(match: Match, { family, holdsPorts }: GroupRuleReader): readonly Condition[] | undefined {
  switch (match.kind) {
    case 'set': {
      const field = holdsPorts(match.set) ? 'th dport' : addressField(family, match.side === 'src');
      return [{ fields: [field], keys: { set: match.set } }];
    }
    case 'ports':
      return [{ fields: ['th dport'], keys: match.ranges.map((range) => [printRange(range)]) }];
    case 'icmp':
    case 'icmpv6': {
      const { kind, type, code } = match;
      return [
        is(`${kind} type`, type.toString()),
        ...(code === undefined ? [] : [is(`${kind} code`, code.toString())]),
      ];
    }
    case 'mac':
    case 'udp':
    case 'connmark':
    case 'direction':
    case 'state':
    case 'packet-type':
    case 'bridge-input':
    case 'bridge-output':
    case 'not-bridged':
    case 'u32':
    case 'other':
      return undefined;
  }
}

function printRange({ first, last }: NumberRange): string {
  return first === last ? first.toString() : `${first.toString()}-${last.toString()}`;
}

function is(field: Field, key: string): Condition {
  return { fields: [field], keys: [[key]] };
}

function addressField(family: Family, isSource: boolean): Field {
  if (family === 'IPv4') return isSource ? 'ip saddr' : 'ip daddr';
  return isSource ? 'ip6 saddr' : 'ip6 daddr';
}
