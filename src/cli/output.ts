/** What commands print: results to standard output, everything else to standard error, colour on terminals only. */
import { isatty } from 'node:tty';
import pico from 'picocolors';
import { formatProblem, type Problem } from '../model/index.js';

/** Colours for standard output, or none when it is not a terminal (or NO_COLOR is set). */
export const colours = pico.createColors(isForPeople(1));
const errorColours = pico.createColors(isForPeople(2));

function isForPeople(descriptor: 1 | 2): boolean {
  return isatty(descriptor) && process.env['NO_COLOR'] === undefined;
}

export function printLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** For the person, not for the next program. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** One line on standard error. */
export function sayError(message: string): void {
  say(`${errorColours.red('error')}: ${message}`);
}

/** Problems of a topology, one line each. */
export function sayProblems(problems: readonly Problem[]): void {
  for (const problem of problems) {
    say(`${problemColour(problem)(problem.severity)}: ${formatProblem(problem)}`);
  }
}

function problemColour({ severity }: Problem): (text: string) => string {
  switch (severity) {
    case 'error':
      return errorColours.red;
    case 'unresolved':
      return errorColours.yellow;
    case 'notice':
      return errorColours.cyan;
  }
}
