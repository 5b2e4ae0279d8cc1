/** Members of remote groups and address groups. */
import { counted } from './groups.js';
import type { PlanLine, Side } from './line.js';
import { membersIn, subjectOfMembers, type Names } from './names.js';

/** Of groups that are named both before and after; whose set comes or goes with a rule is said there. */
export function memberLines(before: Side, after: Side, names: Names): readonly PlanLine[] {
  const counts = new Map<string, { subject: string; more: number; fewer: number }>();
  for (const [set, members] of after.members) {
    const whose = membersIn(set, names);
    const old = before.members.get(set);
    if (whose === undefined || old === undefined) continue;
    const count = counts.get(whose) ?? { subject: subjectOfMembers(set), more: 0, fewer: 0 };
    for (const key of members.keys()) if (!old.has(key)) count.more++;
    for (const key of old.keys()) if (!members.has(key)) count.fewer++;
    counts.set(whose, count);
  }
  return [...counts]
    .filter(([, { more, fewer }]) => more + fewer > 0)
    .map(([whose, { subject, more, fewer }]) => {
      const [first, second] = [
        more === 0 ? [] : [`${counted(more, 'member')} more`],
        fewer === 0 ? [] : [more === 0 ? `${counted(fewer, 'member')} fewer` : `${fewer.toString()} fewer`],
      ];
      return { sign: '~', kind: 'members', subject, text: `${whose}: ${[...first, ...second].join(', ')}` };
    });
}
