#!/usr/bin/env node
/** What runs first: answers what needs no library, and loads the rest for everything else. */
import { endWithOutput, print } from './lost-output.js';
import { version } from './version.js';

/** What scripts of `portcullis completion` ask with each press of a key: the words so far follow. */
const COMPLETE = '__complete';

const args = process.argv.slice(2);
endWithOutput();
if (args.length === 1 && args[0] === '--version') print(`${version()}\n`);
else if (args[0] === COMPLETE) print(await (await import('./complete.js')).completionsOf(args.slice(1)));
else await (await import('./run.js')).run(args);
