/** Short words for building rules, so that the program below reads like one. Pure; no knowledge of security groups. */
import type { Direction } from '../model/index.js';
import type {
  Action,
  Chain,
  ChainRole,
  CtState,
  Field,
  Hook,
  Key,
  MapElement,
  Match,
  NamedSet,
  Room,
  Rule,
  SetContent,
  SetRole,
  Verdict,
} from './types.js';

export const ACCEPT: Verdict = { kind: 'accept' };
export const DROP: Verdict = { kind: 'drop' };
export const RETURN: Verdict = { kind: 'return' };

/** The priority of a base chain behind whatever others have in its hook (linux/netfilter_ipv4.h names -450 to INT_MAX). */
export const LAST = 500;

export function jump(chain: string): Verdict {
  return { kind: 'jump', chain };
}

export function goTo(chain: string): Verdict {
  return { kind: 'goto', chain };
}

/** The field's value is one of the values. */
export function is(field: Field, ...values: readonly Key[number][]): Match {
  return { kind: 'values', fields: [field], negated: false, keys: values.map((value) => [value]) };
}

/** The field's value is none of the values. */
export function isNot(field: Field, ...values: readonly Key[number][]): Match {
  return { kind: 'values', fields: [field], negated: true, keys: values.map((value) => [value]) };
}

/** The fields' values are in the named set. */
export function inSet(fields: readonly Field[], set: string): Match {
  return { kind: 'set', fields, set };
}

/** The same of a set of intervals. */
export function inIntervals(fields: readonly Field[], set: string): Match {
  return { kind: 'set', fields, set, interval: true };
}

export function ctState(...states: readonly CtState[]): Match {
  return { kind: 'ct-state', states };
}

/** A rule that ends in a verdict. */
export function rule(matches: readonly Match[], verdict: Verdict, comment: string): Rule {
  return { matches, action: { kind: 'verdict', verdict }, counter: false, comment };
}

/** As {@link rule}, counting what it matches. */
export function counted(matches: readonly Match[], verdict: Verdict, comment: string): Rule {
  return { ...rule(matches, verdict, comment), counter: true };
}

/** Rules that count what they match for the port's device, and drop it. */
export function dropped(direction: Direction, matches: readonly Match[], comment: string): readonly Rule[] {
  const { field, set } = TALLIES[direction];
  const action: Action = { kind: 'tally', fields: [field], set };
  return [{ matches, action, counter: false, comment: 'not let through' }, counted(matches, DROP, comment)];
}

/** Sets that hold what was dropped, by device. */
const TALLIES = {
  egress: { field: 'iifname', set: 'dropped_from_port' },
  ingress: { field: 'oifname', set: 'dropped_to_port' },
} as const;

/** Name of the set that {@link dropped} counts in. */
export function tallySetName(direction: Direction): string {
  return TALLIES[direction].set;
}

/** Room for every device of a host, and a day. */
const ROOM: Room = { keys: 65_536, seconds: 86_400 };

/** The set that {@link dropped} counts in. */
export function tallySet(direction: Direction): NamedSet {
  const { field, set } = TALLIES[direction];
  return filledSet(set, [field], ROOM);
}

/** A set that packets fill. */
export function filledSet(name: string, fields: readonly Field[], room: Room): NamedSet {
  return namedSet(name, fields, false, { data: 'tally', elements: [], room });
}

/** A rule with another action than a verdict. */
export function act(action: Action, comment: string): Rule {
  return { matches: [], action, counter: false, comment };
}

/** Looks fields up in an anonymous verdict map. Only for chains that exist once: see docs/decisions/ruleset-shape.md. */
export function dispatch(fields: readonly Field[], elements: readonly MapElement<Verdict>[], comment: string): Rule {
  return act({ kind: 'inline-verdict-map', fields, elements }, comment);
}

/** The role of what the fixed part is made of: all that is built here, unless another one is given. */
const FIXED = { kind: 'fixed' } as const;

export function chain(name: string, comment: string, rules: readonly Rule[], hook?: Hook): Chain {
  const made: Chain = { name, comment, rules, role: FIXED };
  return hook === undefined ? made : { ...made, hook };
}

/** A chain that something of the policy makes. */
export function chainOf(role: ChainRole, name: string, comment: string, rules: readonly Rule[]): Chain {
  return { name, comment, rules, role };
}

export function namedSet(
  name: string,
  fields: readonly Field[],
  interval: boolean,
  content: SetContent,
  role: SetRole = FIXED,
): NamedSet {
  return { name, fields, interval, role, content };
}

/** A set of keys without data. */
export function plainSet(name: string, fields: readonly Field[], elements: readonly Key[], role?: SetRole): NamedSet {
  return namedSet(name, fields, false, { data: 'none', elements }, role);
}

/** A set of keys that may be prefixes or ranges; they must not overlap. */
export function intervalSet(
  name: string,
  fields: readonly Field[],
  elements: readonly Key[],
  role?: SetRole,
): NamedSet {
  return namedSet(name, fields, true, { data: 'none', elements }, role);
}
