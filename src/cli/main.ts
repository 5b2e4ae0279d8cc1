#!/usr/bin/env node
/** What runs first: answers what needs no library, and loads the rest for everything else. */
import { EXIT } from './exit-codes.js';
import { endWithOutput, print } from './lost-output.js';
import { version } from './version.js';

/** What scripts of `portcullis completion` ask with each press of a key: the words so far follow. */
const COMPLETE = '__complete';

/** Node's exit status where nothing is left that what is awaited could come from. */
const NODE_UNSETTLED = 13;

const args = process.argv.slice(2);
endWithOutput();
const endUnanswered = (): void => {
  // Node's own status for that is 13, which `status` says of devices that are not filtered.
  if (process.exitCode !== NODE_UNSETTLED) return;
  process.stderr.write('error: this is a defect of portcullis, please report it: it ended without an answer\n');
  process.exitCode = EXIT.internal;
};
process.on('exit', endUnanswered);
const answer = await answerOf(args);
if (answer === undefined) await (await import('./run.js')).run(args);
else print(answer);
process.off('exit', endUnanswered);

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
