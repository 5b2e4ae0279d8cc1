/** Groups, and what their rules permit. */
import type { HostPolicy } from '../../../compiler/index.js';
import type { Direction } from '../../../compiler/model/index.js';
import type { PlanLine, Side, SideRules } from './line.js';
import { subjectOfGroup, type Names } from './names.js';
import { permitChanges } from './permits.js';

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];

export function groupLines(before: Side, after: Side, policy: HostPolicy, names: Names): readonly PlanLine[] {
  const shorts = [...new Set([...before.groups.keys(), ...after.groups.keys()])].sort();
  return shorts.flatMap((short): readonly PlanLine[] => {
    const [was, becomes] = [before.groups.get(short), after.groups.get(short)];
    const name = names.group(short) ?? (was?.name === undefined ? unknownGroup(short) : `group ${was.name}`);
    const id = names.idOf(short);
    const used = id === undefined ? '' : ` (${counted(usersOf(policy, id), 'port')})`;
    const line = (sign: PlanLine['sign'], text: string): PlanLine => ({
      sign,
      kind: 'group',
      subject: subjectOfGroup(short),
      text: `${name}: ${text}`,
    });
    if (becomes === undefined) return [line('-', 'no port here has it any more')];
    const rules = id === undefined ? 0 : (policy.groups.get(id)?.rules.length ?? 0);
    if (was === undefined) return [line('+', `${counted(rules, 'rule')}${used}`)];
    const changes = DIRECTIONS.flatMap((direction) =>
      changesOf(was.rules[direction], becomes.rules[direction], direction),
    );
    return changes.map(({ sign, text }) => line('~', `${sign === '~' ? '' : `${sign} `}${text}${used}`));
  });
}

function unknownGroup(short: string): string {
  return `a group whose id begins with ${short}`;
}

function usersOf({ ports }: HostPolicy, id: string): number {
  return ports.filter(({ filtering, securityGroupIds }) => filtering === 'filtered' && securityGroupIds.includes(id))
    .length;
}

/** `1 port`, `3 ports` */
export function counted(count: number, what: string): string {
  return `${count.toString()} ${what}${count === 1 ? '' : 's'}`;
}

function changesOf(
  before: SideRules,
  after: SideRules,
  direction: Direction,
): readonly Pick<PlanLine, 'sign' | 'text'>[] {
  const changes = permitChanges(before.permits, after.permits, direction);
  if (!before.areAllKnown) return [...changes, { sign: '-', text: `${direction} rules that are not of ours` }];
  // Another name of the group, or other ids of its rules; or somebody made them do something else by the way.
  return before.text === after.text || changes.length > 0
    ? changes
    : [{ sign: '~', text: `${direction} rules are written anew, and permit the same` }];
}
