/** A plan for people. */
import type { colours } from '../output.js';
import type { Plan, PlanLine } from './line.js';

type Colours = Pick<typeof colours, 'red' | 'green' | 'yellow' | 'bold'>;

/** More lines of a kind than this are counted. */
const MOST_LINES = 50;

/** One line per change, and a summary; empty when nothing changes. */
export function renderPlan(
  { lines, cut }: Pick<Plan, 'lines' | 'cut'>,
  { red, green, yellow, bold }: Colours,
): readonly string[] {
  if (lines.length === 0) return [];
  const paint = { '-': red, '+': green, '~': yellow };
  const kinds = [...new Set(lines.map(({ kind }) => kind))];
  const shown = kinds.flatMap((kind) => {
    const all = lines.filter((line) => line.kind === kind);
    const more = all.length - MOST_LINES;
    return [
      ...all.slice(0, MOST_LINES).map(({ sign, text }) => paint[sign](`${sign} ${text}`)),
      ...(more > 0 ? [`  ... and ${more.toString()} more of that kind`] : []),
    ];
  });
  return [...shown, bold(`Plan: ${summaryOf(lines)}; ${cutText(cut)}`)];
}

function summaryOf(lines: readonly PlanLine[]): string {
  const counts = (
    [
      ['~', 'changed'],
      ['+', 'added'],
      ['-', 'removed'],
    ] as const
  ).map(([sign, word]) => [lines.filter((line) => line.sign === sign).length, word] as const);
  return counts
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${count.toString()} ${word}`)
    .join(', ');
}

function cutText(cut: number | undefined): string {
  if (cut === undefined) return 'live flows cannot be listed';
  return cut === 0 ? 'no live flow would be cut' : `${cut.toString()} live flow${cut === 1 ? '' : 's'} would be cut`;
}
