#!/usr/bin/env node
/** The command line: finds the command, turns every end into one line and an exit code. */
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { registerCommands } from './commands/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { sayError } from './output.js';
import { version } from './version.js';

const MAX_WIDTH = 110;
/** For an error to be read, in milliseconds. */
const LAST_WORDS = 2000;
/** Options that may be given more than once. */
const REPEATABLE: ReadonlySet<string> = new Set(['port', 'ethertype', 'device-prefix']);

async function main(): Promise<void> {
  const args = hideBin(process.argv);
  const parser = yargs(args)
    .scriptName('portcullis')
    // `--no-device-prefix` would be one that is named "false".
    .parserConfiguration({ 'boolean-negation': false })
    .middleware(lastOfEach, true)
    .usage('$0 <command>\n\nCompiles OpenStack security groups to nftables, loads them, and says why a packet passes.')
    .completion('completion', 'print a completion script for bash or zsh')
    .demandCommand(1, 1, 'name a command')
    .strict()
    .version(version())
    .wrap(Math.min(MAX_WIDTH, process.stdout.columns || MAX_WIDTH))
    .epilog('Exit codes: 0 done, 1 invalid input, 2 differs, 3 dropped, 4 the kernel refused, 64 usage.')
    .exitProcess(false)
    .fail((message: string | undefined, error: Error | undefined) => {
      throw error ?? new CommandError(EXIT.usage, `${message ?? 'wrong usage'} (portcullis --help)`);
    });
  await registerCommands(parser, args);
  try {
    await parser.parseAsync();
  } catch (error) {
    process.exitCode = await report(error);
    // What nobody reads must not keep the process: its end is what the service manager waits for.
    setTimeout(() => {
      if (process.stdout.writableLength === 0) process.exit();
    }, LAST_WORDS).unref();
  }
}

/** Of an option that is given twice the last one counts, unless all do: its value would be a list where nobody expects one. */
function lastOfEach(args: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(args)) {
    const name = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (Array.isArray(value) && key !== '_' && !REPEATABLE.has(name)) args[key] = value.at(-1);
  }
}

async function report(error: unknown): Promise<number> {
  if (error instanceof CommandError) {
    sayError(error.message);
    return error.exitCode;
  }
  if (error instanceof Error && error.name === 'YError') {
    sayError(`${error.message} (portcullis --help)`);
    return EXIT.usage;
  }
  const { KernelError } = await import('../../agent/kernel/errors.js');
  if (error instanceof KernelError) {
    sayError(error.message);
    return EXIT.kernelRefused;
  }
  sayError(
    `this is a defect of portcullis, please report it: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return EXIT.internal;
}

// A reader that goes away (`portcullis compile --dry-run | head`) is no defect.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.done);
  throw error;
});

await main();
