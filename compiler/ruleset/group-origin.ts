/** Which rules of a group a compiled rule comes from. */
import {
  covers,
  type Direction,
  type Remote,
  type SecurityGroup,
  type SecurityGroupRule,
  type Service,
} from '../model/index.js';
import { rangeCovers } from '../intervals.js';
import { ETHERTYPE } from './ethertype.js';
import type { Component, Field, Match } from './types.js';

/** Whom a compiled rule is for, and which kind of service it lets pass. */
export interface Purpose {
  readonly direction: Direction;
  readonly remote: Exclude<Remote['kind'], 'unknown'>;
  /** Of a remote group or an address group. */
  readonly id?: string;
  readonly service: Service['kind'];
}

/**
 * Ids of the group's rules of that purpose, as far as the compiled rule's own matches are about them: of one that asks a set all,
 * since the set holds what all of them say.
 */
export function originOf(group: SecurityGroup, purpose: Purpose, matches: readonly Match[]): readonly string[] {
  return group.rules
    .filter(({ direction, service }) => direction === purpose.direction && service.kind === purpose.service)
    .filter(({ remote }) => remote.kind === purpose.remote)
    .filter(({ remote }) => purpose.id === undefined || ('id' in remote && remote.id === purpose.id))
    .filter((rule) => matches.every((match) => isAbout(match, rule)))
    .map(({ id }) => id);
}

function isAbout(match: Match, rule: SecurityGroupRule): boolean {
  switch (match.kind) {
    case 'values':
      return match.keys.some((key) => key.every((component, at) => isOf(match.fields[at], component, rule)));
    case 'set':
      return match.fields.every((field) => !field.startsWith(rule.family === 'IPv4' ? 'ip6 ' : 'ip '));
    default:
      return true;
  }
}

/** Rules are merged into wider parts, never cut: what a part covers is in it. */
function isOf(field: Field | undefined, component: Component, { family, service, remote }: SecurityGroupRule): boolean {
  if (typeof component === 'string') return true;
  if (typeof component === 'object' && 'network' in component)
    return remote.kind === 'prefix' && covers(component, remote.prefix);
  const range = typeof component === 'number' ? { first: component, last: component } : component;
  const holds = (value: number): boolean => range.first <= value && value <= range.last;
  switch (field) {
    case 'meta protocol':
      return holds(ETHERTYPE[family]);
    case 'meta l4proto':
      return service.kind !== 'any' && holds(service.protocol);
    case 'th dport':
      return service.kind === 'ports' && rangeCovers(range, service);
    case 'icmp type':
    case 'icmpv6 type':
      return service.kind === 'icmp' && holds(service.type);
    case 'icmp code':
    case 'icmpv6 code':
      return service.kind === 'icmp' && service.code !== undefined && holds(service.code);
    default:
      return true;
  }
}
