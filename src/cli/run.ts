/** Finds the command, turns every end into one line and an exit code. */
import yargs from 'yargs';
import { specsOf } from './command-spec.js';
import { COMMAND_NAMES, registerCommands } from './commands/index.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { sayError } from './output.js';
import { didYouMean } from '../../compiler/model/nearest.js';
import { checkArguments, kebab, parserError, typedCommand, unknownCommand, usageError, withHelp } from './usage.js';

/** For an error to be read. */
const LAST_WORDS_MS = 2000;
/** Options and arguments that may be given more than once. */
const REPEATABLE: ReadonlySet<string> = new Set(['port', 'ethertype', 'device-prefix', 'topology', 'paths']);

/** @param args without the names of Node and of the program. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await parse(args);
  } catch (error) {
    process.exitCode = await report(error, args);
    // What nobody reads must not keep the process: its end is what the service manager waits for.
    setTimeout(() => {
      if (process.stdout.writableLength === 0) process.exit();
    }, LAST_WORDS_MS).unref();
  }
}

/** Finds the command and does it. @throws CommandError, and whatever else the command throws */
export async function parse(args: readonly string[]): Promise<void> {
  const name = commandNamed(args);
  const specs = name === undefined ? [] : await specsOf((parser) => registerCommands(parser, name));
  const parser = yargs([...withStandardInput(args)])
    .scriptName('portcullis')
    // `--no-device-prefix` would be one that is named "false".
    .parserConfiguration({ 'boolean-negation': false })
    .middleware((given) => {
      lastOfEach(given);
      const command = typedCommand(specs, given._);
      if (command !== undefined) checkArguments(command, given, args);
    }, true)
    .demandCommand(1, 1, 'name a command')
    // Both are answered before (main.ts), without loading a parser.
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail((message: string | undefined, error: Error | undefined) => {
      throw error ?? parserError(message ?? 'wrong usage', typedCommand(specs, args));
    });
  await registerCommands(parser, name);
  makeNoHelp(parser);
  try {
    await parser.parseAsync();
  } catch (error) {
    // What it finds wrong before it knows the command it does not hand to whoever takes failures.
    if (error instanceof Error && error.name === 'YError') throw parserError(error.message, typedCommand(specs, args));
    throw error;
  }
}

/**
 * yargs makes the page of help of each command that it runs, a tenth of what starting one takes; ours is made elsewhere (help.ts). It is
 * asked not to by what it calls its internals, which its types do not have.
 */
function makeNoHelp(parser: object): void {
  const { getInternalMethods } = parser as {
    readonly getInternalMethods: () => { readonly getUsageInstance: () => { cacheHelpMessage: () => void } };
  };
  getInternalMethods.call(parser).getUsageInstance().cacheHelpMessage = () => undefined;
}

/** The help and the version of all, for which no command is named. */
const OF_ALL = ['--help', '--version'];

/**
 * The command that is meant; undefined for what concerns all of them.
 * @throws CommandError where there is none.
 */
function commandNamed(args: readonly string[]): string | undefined {
  const [first] = args;
  if (first === undefined) throw usageError('name a command', '');
  if (COMMAND_NAMES.includes(first)) return first;
  if (!first.startsWith('-')) throw unknownCommand(first, COMMAND_NAMES);
  const later = args.find((word) => COMMAND_NAMES.includes(word));
  if (later !== undefined || OF_ALL.includes(first)) return later;
  throw usageError(`there is no option ${first}${didYouMean(first, OF_ALL)}`, '');
}

/** yargs loses a `-` among arguments of which there may be many. Those of ours are topologies, which an option names, too. */
function withStandardInput(args: readonly string[]): readonly string[] {
  if (args[0] !== 'check') return args;
  const isValue = (index: number): boolean => ['-t', '--topology'].includes(args[index - 1] ?? '');
  return args.map((word, index) => (word === '-' && !isValue(index) ? '--topology=-' : word));
}

/** Of an option that is given twice the last one counts, unless all do: its value would be a list where nobody expects one. */
function lastOfEach(args: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(args)) {
    if (Array.isArray(value) && key !== '_' && !REPEATABLE.has(kebab(key))) args[key] = value.at(-1);
  }
}

async function report(error: unknown, args: readonly string[]): Promise<number> {
  const path = args.find((word) => COMMAND_NAMES.includes(word)) ?? '';
  if (error instanceof CommandError) {
    sayError(error.exitCode === EXIT.usage ? withHelp(error.message, path) : error.message);
    return error.exitCode;
  }
  if (isOfOperatingSystem(error)) {
    sayError(error.message);
    return EXIT.inputOutput;
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

/** A disk that is full, a file that may not be read: what a command did not expect itself. Its message names call and path. */
function isOfOperatingSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'errno' in error && 'syscall' in error;
}
