/** Groups, and what their rules permit. */
import type { HostPolicy } from '../../../compiler/index.js';
import type { Direction } from '../../model/index.js';
import type { PlanLine, Side } from './line.js';
import type { Names } from './names.js';
import { permitChanges, permitsOf, type Permit } from './permits.js';

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
/** Of a group's two chains, the one that stands for the group. */
const CHAIN = /^sg_(.+)_in$/;

export function groupLines(before: Side, after: Side, policy: HostPolicy, names: Names): readonly PlanLine[] {
  const chains = [...before.state.chains.keys(), ...after.state.chains.keys()];
  const shorts = [...new Set(chains.flatMap((name) => CHAIN.exec(name)?.[1] ?? []))].sort();
  return shorts.flatMap((short): readonly PlanLine[] => {
    const chain = `sg_${short}_in`;
    const name = names.group(short) ?? nameInComments(before, short);
    const id = names.idOf(short);
    const used = id === undefined ? '' : ` (${counted(usersOf(policy, id), 'port')})`;
    const line = (sign: PlanLine['sign'], text: string): PlanLine => ({
      sign,
      kind: 'group',
      subject: `sg_${short}`,
      text: `${name}: ${text}`,
    });
    if (!after.state.chains.has(chain)) return [line('-', 'no port here has it any more')];
    const rules = id === undefined ? 0 : (policy.groups.get(id)?.rules.length ?? 0);
    if (!before.state.chains.has(chain)) return [line('+', `${counted(rules, 'rule')}${used}`)];
    const changes = DIRECTIONS.flatMap((direction) => changesOf(before, after, short, direction, names));
    return changes.map(({ sign, text }) => line('~', `${sign === '~' ? '' : `${sign} `}${text}${used}`));
  });
}

function usersOf({ ports }: HostPolicy, id: string): number {
  return ports.filter(({ filtering, securityGroupIds }) => filtering === 'filtered' && securityGroupIds.includes(id))
    .length;
}

/** `1 port`, `3 ports` */
export function counted(count: number, what: string): string {
  return `${count.toString()} ${what}${count === 1 ? '' : 's'}`;
}

/** A group that the topology does not know: comments of its rules begin with its name. */
function nameInComments({ rules }: Side, short: string): string {
  for (const { comment } of DIRECTIONS.flatMap((direction) => rules(chainOf(short, direction)))) {
    const name = /^\S* (.+): rules? /.exec(comment)?.[1];
    if (name !== undefined) return `group ${name}`;
  }
  return `a group whose id begins with ${short}`;
}

function chainOf(short: string, direction: Direction): string {
  return `sg_${short}_${direction === 'ingress' ? 'in' : 'out'}`;
}

function changesOf(
  before: Side,
  after: Side,
  short: string,
  direction: Direction,
  names: Names,
): readonly Pick<PlanLine, 'sign' | 'text'>[] {
  const chain = chainOf(short, direction);
  const [old, fresh] = [permitsIn(before, chain, names), permitsIn(after, chain, names)];
  const changes = permitChanges(old.permits, fresh.permits, direction);
  if (!old.areAllKnown) return [...changes, { sign: '-', text: `${direction} rules that are not of ours` }];
  const isSame = [before, after]
    .map(({ state }) => state.chains.get(chain)?.comments.join('\n'))
    .every((comments, _index, [first]) => comments === first);
  // Another name of the group, or other ids of its rules; or somebody made them do something else by the way.
  return isSame || changes.length > 0
    ? changes
    : [{ sign: '~', text: `${direction} rules are written anew, and permit the same` }];
}

function permitsIn(
  { state, rules }: Side,
  chain: string,
  names: Names,
): { readonly permits: readonly Permit[]; readonly areAllKnown: boolean } {
  const sets = {
    keys: (set: string): readonly (readonly string[])[] =>
      [...(state.sets.get(set)?.elements.keys() ?? [])].map((key) => key.split(' . ')),
    members: (set: string): string | undefined => membersIn(set, names),
  };
  const read = rules(chain).map(({ comment, conditions }) =>
    conditions === undefined ? undefined : permitsOf(conditions, sets, ruleIn(comment)),
  );
  return { permits: read.flatMap((permits) => permits ?? []), areAllKnown: !read.includes(undefined) };
}

const MEMBERS = /^(sg|ag)_(.+)_(?:addresses|prefixes)[46]$/;

/** Whose members a set holds; undefined for a set of something else. */
export function membersIn(set: string, names: Names): string | undefined {
  const [, kind, short = ''] = MEMBERS.exec(set) ?? [];
  switch (kind) {
    case 'sg':
      return names.group(short) ?? `a group whose id begins with ${short}`;
    case 'ag':
      return names.addressGroup(short) ?? `an address group whose id begins with ${short}`;
    default:
      return undefined;
  }
}

/** One rule is named; a lookup that stands for several does not say which of them. */
function ruleIn(comment: string): string {
  const id = /: rule (\S+)$/.exec(comment)?.[1];
  return id === undefined ? '' : `rule ${id} `;
}
