/** What commands print: results to standard output, everything else to standard error, colour on terminals only. */
import { isatty } from 'node:tty';
import pico from 'picocolors';
import { writeToTerminal } from '../system/terminal.js';
import { print } from './lost-output.js';
import {
  consequenceOf,
  formatProblem,
  isolatedName,
  type Isolation,
  type Problem,
} from '../../compiler/model/index.js';

/** Colours for standard output, or none when it is not a terminal (or NO_COLOR is set). */
export const colours = pico.createColors(isForPeople(1));
const errorColours = pico.createColors(isForPeople(2));

function isForPeople(descriptor: 1 | 2): boolean {
  return isatty(descriptor) && process.env['NO_COLOR'] === undefined;
}

export function printLine(line: string): void {
  clearProgress();
  print(`${line}\n`);
}

/** For the person, not for the next program. */
export function say(line: string): void {
  clearProgress();
  process.stderr.write(`${line}\n`);
}

const TO_LINE_START = '\r\u001b[K';
let isProgressShown = false;

/** On a terminal, what takes long and has begun; it makes room for whatever is said next. */
export function sayProgress(what: string): void {
  if (!isatty(2) || process.env['TERM'] === 'dumb') return;
  process.stderr.write(`${TO_LINE_START}${what} ...`);
  isProgressShown = true;
}

function clearProgress(): void {
  if (isProgressShown) process.stderr.write(TO_LINE_START);
  isProgressShown = false;
}

/** For an error to be taken by a terminal. */
const LAST_WORDS_MS = 2000;

/** One line on standard error. A terminal that takes nothing does not keep the process: its end is what is waited for. */
export function sayError(message: string): void {
  clearProgress();
  const line = `${errorColours.red('error')}: ${message}`;
  if (!isatty(2) || !writeToTerminal(2, `${line}\n`, LAST_WORDS_MS)) say(line);
}

/** Problems of a topology, one line each. */
export function sayProblems(problems: readonly Problem[]): void {
  for (const problem of problems) {
    say(`${problemColour(problem)(problem.severity)}: ${formatProblem(problem)}`);
  }
}

/** More at a time are counted. */
const MOST_ISOLATIONS = 20;

/** What is in force in place of bad objects, one line each. */
export function sayIsolations(isolations: readonly Isolation[]): void {
  for (const isolation of isolations.slice(0, MOST_ISOLATIONS)) {
    const count = isolation.kind === 'port' ? 0 : isolation.portIds.length;
    const ports = count === 0 ? '' : ` (${count.toString()} port${count === 1 ? '' : 's'})`;
    say(`${errorColours.yellow('isolated')}: ${isolatedName(isolation)}: ${consequenceOf(isolation)}${ports}`);
  }
  const more = isolations.length - MOST_ISOLATIONS;
  if (more > 0) say(`${errorColours.yellow('isolated')}: ${more.toString()} more`);
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
