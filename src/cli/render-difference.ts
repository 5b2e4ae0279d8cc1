/** A difference for people: what goes (-), what comes (+), what is rewritten (~). */
import type { Difference } from '../../agent/index.js';
import {
  elementText,
  fullRuleText,
  printIptablesRule,
  type Change,
  type ChainChange,
  type IptablesChange,
  type TableChange,
} from '../../compiler/index.js';
import type { colours } from './output.js';

type Colours = Pick<typeof colours, 'red' | 'green' | 'bold'>;

/** Paints a line by what it says. */
interface Paint {
  readonly removed: (line: string) => string;
  readonly added: (line: string) => string;
  readonly heading: (line: string) => string;
}

/** More elements of one set than this are counted instead of listed. */
const MOST_LISTED = 20;

/** One line per change; empty when nothing changes. */
export function renderDifference(
  { transaction, iptables }: Difference,
  { red, green, bold }: Colours,
): readonly string[] {
  const paint: Paint = { removed: red, added: green, heading: bold };
  return [
    ...transaction.flatMap((change) => renderTable(change, paint)),
    ...iptables.flatMap((change) => renderIptables(change, paint)),
  ];
}

function renderIptables(change: IptablesChange, paint: Paint): readonly string[] {
  switch (change.kind) {
    case 'create-set':
      return [paint.added(`+ ipset ${change.set.name}: ${change.set.entries.length.toString()} entries`)];
    case 'remake-set':
    case 'replace-set':
      return [paint.heading(`~ ipset ${change.set.name} is replaced`)];
    case 'destroy-set':
      return [paint.removed(`- ipset ${change.name}`)];
    case 'change-set':
      return [
        ...shownOf(change.removed).map((entry) => paint.removed(`- ipset ${change.name}: ${entry}`)),
        ...shownOf(change.added).map((entry) => paint.added(`+ ipset ${change.name}: ${entry}`)),
      ];
    case 'chain':
      return renderChain(change, paint);
  }
}

function renderChain(change: ChainChange, paint: Paint): readonly string[] {
  const { family, table, name, before, after, overtaking = [] } = change;
  const title = `${family === 'IPv4' ? 'iptables' : 'ip6tables'} ${table} ${name}`;
  if (after === undefined) return [paint.removed(`- ${title}`)];
  const [old, wanted] = [(before ?? []).map(printIptablesRule), after.map(printIptablesRule)];
  const [isOld, isWanted] = [new Set(old), new Set(wanted)];
  return [
    before === undefined ? paint.added(`+ ${title}`) : paint.heading(`~ ${title}`),
    ...old.filter((rule) => !isWanted.has(rule)).map((rule) => paint.removed(`  - ${rule}`)),
    ...wanted.filter((rule) => !isOld.has(rule)).map((rule) => paint.added(`  + ${rule}`)),
    ...overtaking.map(({ text }) => paint.heading(`  ~ to the front, before: ${text}`)),
  ];
}

function shownOf(list: readonly string[]): readonly string[] {
  const more = list.length - MOST_LISTED;
  return more > 0 ? [...list.slice(0, MOST_LISTED), `... and ${more.toString()} more`] : list;
}

function renderTable(change: TableChange, paint: Paint): readonly string[] {
  switch (change.kind) {
    case 'create': {
      const { family, name, sets, chains } = change.table;
      return [
        paint.added(
          `+ table ${family} ${name}: ${sets.size.toString()} sets and maps, ${chains.size.toString()} chains`,
        ),
      ];
    }
    case 'replace': {
      const { family, name } = change.table;
      return [paint.heading(`~ table ${family} ${name} is replaced: ${change.why} cannot be changed in place`)];
    }
    case 'delete':
      return [paint.removed(`- table ${change.before.family} ${change.before.name}`)];
    case 'update':
      return [
        paint.heading(`table ${change.family} ${change.name}`),
        ...change.changes.flatMap((part) => renderChange(part, paint)).map((line) => `  ${line}`),
      ];
  }
}

function renderChange(change: Change, paint: Paint): readonly string[] {
  const removed = (lines: readonly string[]): readonly string[] => lines.map((line) => paint.removed(`- ${line}`));
  const added = (lines: readonly string[]): readonly string[] => lines.map((line) => paint.added(`+ ${line}`));
  switch (change.kind) {
    case 'add-set':
      return added([`set ${change.set.name}`]);
    case 'delete-set':
      return removed([`${change.setKind} ${change.set} (${change.size.toString()} elements)`]);
    case 'add-chain':
      return added([`chain ${change.chain.name}`, ...change.chain.rules.map((rule) => `  ${fullRuleText(rule)}`)]);
    case 'delete-chain':
      return removed([`chain ${change.chain}`, ...change.before.map((comment) => `  rule "${comment}"`)]);
    case 'rewrite-chain': {
      const after = change.chain.rules.map((rule) => fullRuleText(rule));
      const kept = (comment: string): boolean => after.some((text) => text.endsWith(`comment "${comment}"`));
      const wasThere = (text: string): boolean =>
        change.before.some((comment) => text.endsWith(`comment "${comment}"`));
      return [
        paint.heading(`~ chain ${change.chain.name}`),
        ...removed(change.before.filter((comment) => !kept(comment)).map((comment) => `  rule "${comment}"`)),
        ...added(after.filter((text) => !wasThere(text)).map((text) => `  ${text}`)),
      ];
    }
    case 'delete-elements':
      return removed(elementLines(change));
    case 'add-elements':
      return added(elementLines(change));
  }
}

function elementLines({
  set,
  elements,
}: Extract<Change, { kind: 'add-elements' | 'delete-elements' }>): readonly string[] {
  return shownOf(elements.map((element) => elementText(set.fields, element))).map((text) => `${set.name}: ${text}`);
}
