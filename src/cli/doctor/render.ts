/** Findings for people, and for programs. */
import type { colours } from '../output.js';
import { shownText } from '../shown-text.js';
import { worstOf, type CheckedFinding, type Result } from './finding.js';

type Colours = Pick<typeof colours, 'red' | 'green' | 'yellow'>;

/** As they are printed. */
const WORDS: Readonly<Record<Result, string>> = {
  ok: 'ok',
  warning: 'warning',
  failed: 'failed',
  unknown: 'cannot tell',
};

/** A line each, and below it what mends it. */
export function renderFindings(
  findings: readonly CheckedFinding[],
  { red, green, yellow }: Colours,
): readonly string[] {
  const paint: Readonly<Record<Result, (text: string) => string>> = {
    ok: green,
    warning: yellow,
    unknown: yellow,
    failed: red,
  };
  const [wide, deep] = [
    Math.max(...Object.values(WORDS).map((word) => word.length)),
    Math.max(...findings.map(({ check }) => check.length)),
  ];
  return findings.flatMap(({ check, result, reason, mend }) => [
    `${paint[result](WORDS[result].padEnd(wide))}  ${check.padEnd(deep)}  ${shownText(reason)}`,
    ...(mend === undefined ? [] : [`${' '.repeat(wide + deep + 4)}to mend it: ${shownText(mend)}`]),
  ]);
}

export function jsonOfFindings(findings: readonly CheckedFinding[], about: Readonly<Record<string, string>>): string {
  return JSON.stringify({ ...about, result: worstOf(findings), findings }, null, 2);
}
