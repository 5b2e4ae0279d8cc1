/** What is wrong with a command line: one line, what was probably meant, and whose help says more. */
import { aliasesOf, dashed, demandedOptions, type CommandSpec } from './command-spec.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';
import { didYouMean, nearest } from '../../compiler/model/nearest.js';

/** What a parser made of the command line. */
type Arguments = Readonly<Record<string, unknown>>;

/** Every command knows these. */
const COMMON = ['help', 'version'];

export function unknownCommand(typed: string, commands: readonly string[]): CommandError {
  return usageError(`there is no command ${JSON.stringify(typed)}${didYouMean(typed, commands)}`, '');
}

/** The command that was typed, with its subcommand where there is one, and how it is typed. */
export interface TypedCommand {
  readonly spec: CommandSpec;
  readonly path: string;
  /** Options that a subcommand has from its command. */
  readonly inherited: readonly string[];
}

/** @param words of the command line that are no options and no values of options. */
export function typedCommand(commands: readonly CommandSpec[], words: readonly unknown[]): TypedCommand | undefined {
  const [first, second] = words;
  const command = commands.find(({ name }) => name === first);
  if (command === undefined) return undefined;
  const inner = command.subcommands.find(({ name }) => name === second);
  return inner === undefined
    ? { spec: command, path: command.name, inherited: [] }
    : { spec: inner, path: `${command.name} ${inner.name}`, inherited: [...command.options.keys()] };
}

/**
 * @param raw the command line as it was typed.
 * @throws CommandError when something is unknown, missing, or none of what it may be.
 */
export function checkArguments(command: TypedCommand, args: Arguments, raw: readonly string[]): void {
  const { spec, path } = command;
  const fail = (message: string): never => {
    throw usageError(message, path);
  };
  refuseUnknown(command, args, fail);
  const missing = demandedOptions(spec).filter((name) => args[name] === undefined);
  if (missing.length > 0) fail(`${path} needs ${listed(missing.map(dashed))}`);
  for (const { name, option } of spec.positionals) {
    if (option.choices === undefined) continue;
    refuseOthers(fail, name.toUpperCase(), [args[name] ?? []].flat(), option.choices.map(String));
  }
  for (const [name, { choices, type }] of spec.options) {
    const values = [args[name]].flat().filter((value) => value !== undefined);
    if (choices !== undefined) refuseOthers(fail, `--${name}`, values, choices.map(String));
    if (type === 'number' && values.some(Number.isNaN)) {
      fail(`--${name}: ${JSON.stringify(typedValue(raw, name) ?? '')} is not a number`);
    }
  }
}

function refuseOthers(
  fail: (message: string) => never,
  what: string,
  values: readonly unknown[],
  valid: readonly string[],
): void {
  const wrong = values.map(String).find((value) => !valid.includes(value));
  if (wrong === undefined) return;
  fail(`${what}: ${JSON.stringify(wrong)} is not one of ${valid.join(', ')}${didYouMean(wrong, valid)}`);
}

function refuseUnknown(
  { spec, path, inherited }: TypedCommand,
  args: Arguments,
  fail: (message: string) => never,
): void {
  const known = [...spec.options].flatMap(([name, option]) => [name, ...aliasesOf(option)]);
  const names = new Set([...known, ...inherited, ...COMMON, ...spec.positionals.map(({ name }) => name), '_', '$0']);
  const unknown = Object.keys(args).find((key) => !names.has(key) && !names.has(kebab(key)));
  if (unknown !== undefined) {
    const near = nearest(
      unknown,
      [...known, ...COMMON].filter((name) => name.length > 1),
    );
    const meant = near === undefined ? '' : `: did you mean --${near}?`;
    fail(`${path} has no option ${dashed(unknown)}${meant}`);
  }
  const words = [args['_']].flat().map(String);
  const extra = words[path.split(' ').length];
  if (extra === undefined) return;
  const meant = nearest(
    extra,
    spec.subcommands.map(({ name }) => name),
  );
  const end = meant === undefined ? '' : `: did you mean ${path} ${meant}?`;
  fail(`${path} takes no ${spec.positionals.length === 0 ? '' : 'further '}argument ${JSON.stringify(extra)}${end}`);
}

/** The parser gives each option with capitals, too. */
export function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** What the parser found wrong by itself, in our words. It has no codes, and its words are those of a version that we pin. */
export function parserError(message: string, command: TypedCommand | undefined): CommandError {
  const path = command?.path ?? '';
  const [, option] = /^Not enough arguments following: (.+)$/.exec(message) ?? [];
  if (option !== undefined) return usageError(`${dashed(option)} needs a value`, path);
  const missing = (command?.spec.positionals ?? []).filter(({ isRequired }) => isRequired);
  if (message.startsWith('Not enough non-option arguments') && missing.length > 0) {
    return usageError(`${path} needs ${listed(missing.map(({ name }) => name.toUpperCase()))}`, path);
  }
  return usageError(message.replace(/\s*\n\s*/g, ' '), path);
}

/** @param path of the command whose help says more; empty for all. */
export function usageError(message: string, path: string): CommandError {
  return new CommandError(EXIT.usage, withHelp(message, path));
}

/** Names the help that says more, unless the message names a command already. */
export function withHelp(message: string, path: string): string {
  return message.includes('portcullis ') ? message : `${message} (portcullis ${path === '' ? '' : `${path} `}--help)`;
}

function typedValue(raw: readonly string[], name: string): string | undefined {
  const at = raw.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  const word = raw[at];
  return word?.includes('=') === true ? word.slice(word.indexOf('=') + 1) : raw[at + 1];
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`;
}
