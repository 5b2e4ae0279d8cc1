/** The help of a command, and of all, from what they declare: without the parser, which takes as long to load as Node does to start. */
import type { Options, PositionalOptions } from 'yargs';
import { aliasesOf, dashed, specsOf, type CommandSpec } from './command-spec.js';
import { COMMAND_NAMES, registerCommands } from './commands/index.js';
import { typedCommand } from './usage.js';

const MOST_COLUMNS = 110;
/** The left column is never wider; what is longer has a line of its own. */
const MOST_LEFT = 36;

/** @returns undefined where the arguments name a command that there is not. */
export async function helpOf(args: readonly string[], columns: number): Promise<string | undefined> {
  const width = Math.min(MOST_COLUMNS, columns || MOST_COLUMNS);
  const name = args.find((word) => COMMAND_NAMES.includes(word)) ?? args.find((word) => !word.startsWith('-'));
  if (name === undefined) return helpOfAll(await specsOf((parser) => registerCommands(parser, undefined)), width);
  if (!COMMAND_NAMES.includes(name)) return undefined;
  const specs = await specsOf((parser) => registerCommands(parser, name));
  const command = typedCommand(
    specs,
    args.filter((word) => !word.startsWith('-')),
  );
  return command === undefined ? undefined : helpOfCommand(command.spec, command.path, width);
}

function helpOfAll(specs: readonly CommandSpec[], width: number): string {
  return sections([
    'portcullis COMMAND [OPTIONS]',
    'Compiles OpenStack security groups to nftables, loads them, and says why a packet passes.',
    [
      'Commands:',
      ...table(
        specs.map(({ name, describe }) => [name, describe.split(' ')]),
        width,
      ),
    ].join('\n'),
    'portcullis COMMAND --help says what a command takes; portcullis --version; exit status: portcullis(1).',
  ]);
}

function helpOfCommand(spec: CommandSpec, path: string, width: number): string {
  const typed = spec.positionals.map(({ name, isRequired, isMany }) => {
    const word = `${name.toUpperCase()}${isMany ? '...' : ''}`;
    return isRequired ? word : `[${word}]`;
  });
  const list = (title: string, rows: readonly Row[]): readonly string[] =>
    rows.length === 0 ? [] : [[title, ...table(rows, width)].join('\n')];
  return sections([
    ['portcullis', path, ...typed, ...(spec.options.size === 0 ? [] : ['[OPTIONS]'])].join(' '),
    wrapped(spec.describe.split(' '), width).join('\n'),
    ...list(
      'Commands:',
      spec.subcommands.map(({ name, describe }) => [`${path} ${name}`, describe.split(' ')]),
    ),
    ...list(
      'Arguments:',
      spec.positionals.map(({ name, option }) => [name.toUpperCase(), described(option)]),
    ),
    ...list(
      'Options:',
      [...spec.options].map(([name, option]) => [
        [...aliasesOf(option).map(dashed), dashed(name)].join(', '),
        described(option),
      ]),
    ),
    ...(spec.examples.length === 0
      ? []
      : [['Examples:', ...spec.examples.flatMap((one) => exampleLines(one.command, one.describe))].join('\n')]),
  ]);
}

/** Words, of which those in brackets are not to be broken. */
function described({
  describe = '',
  demandOption,
  choices,
  default: value,
  ...more
}: Options | PositionalOptions): readonly string[] {
  // What the configuration file may say instead has no default here: it is described.
  const usual = 'defaultDescription' in more ? more.defaultDescription : undefined;
  const isTold = value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
  return [
    ...describe.split(' '),
    ...(demandOption === true ? ['[needed]'] : []),
    ...(choices === undefined ? [] : [`[${choices.map(String).join(', ')}]`]),
    ...(usual !== undefined && usual !== 'false' && usual !== '[]' ? [`[default: ${usual}]`] : []),
    ...(isTold ? [`[default: ${[value as unknown].flat().map(String).join(', ')}]`] : []),
  ];
}

function exampleLines(command: string, describe: string): readonly string[] {
  return [`  ${command.replace('$0', 'portcullis')}`, ...(describe === '' ? [] : [`      ${describe}`])];
}

type Row = readonly [left: string, words: readonly string[]];

function table(rows: readonly Row[], width: number): readonly string[] {
  const indent = Math.min(MOST_LEFT, Math.max(...rows.map(([left]) => left.length))) + 4;
  return rows.flatMap(([left, words]) => {
    const [first = '', ...more] = wrapped(words, width - indent);
    const isLong = left.length + 4 > indent;
    return [
      ...(isLong ? [`  ${left}`] : []),
      (isLong ? '' : `  ${left}`).padEnd(indent) + first,
      ...more.map((line) => ' '.repeat(indent) + line),
    ].map((line) => line.trimEnd());
  });
}

/** Lines of whole words; a word that is longer than a line has one of its own. */
function wrapped(words: readonly string[], width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function sections(parts: readonly string[]): string {
  return `${parts.join('\n\n')}\n`;
}
