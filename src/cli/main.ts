#!/usr/bin/env node
/** What runs first: answers what needs no library, and loads the rest for everything else. */
import { endWithOutput, print } from './lost-output.js';
import { version } from './version.js';

/** What scripts of `portcullis completion` ask with each press of a key: the words so far follow. */
const COMPLETE = '__complete';

const args = process.argv.slice(2);
endWithOutput();
const answer = await answerOf(args);
if (answer === undefined) await (await import('./run.js')).run(args);
else print(answer);

/** Undefined where the command itself is meant, or what nobody can mean. */
async function answerOf([first, second, ...more]: readonly string[]): Promise<string | undefined> {
  if (first === COMPLETE) return (await import('./complete.js')).completionsOf(args.slice(1));
  if (args.includes('--version')) return `${version()}\n`;
  if (args.includes('--help')) return (await import('./help.js')).helpOf(args, process.stdout.columns);
  // Shells ask for it each time that one begins.
  if (first !== 'completion' || more.length > 0) return undefined;
  const { completionScript, SHELLS } = await import('./completion-scripts.js');
  const shell = SHELLS.find((name) => name === second);
  return shell === undefined ? undefined : completionScript(shell);
}
