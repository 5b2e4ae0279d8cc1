/** What a command takes, read off its own declaration without the library that parses it: for help, for completion, and to say what was meant. */
import type { Argv, CommandModule, Options, PositionalOptions } from 'yargs';

export interface CommandSpec {
  /** As it is typed: `hosts`, `enrol`. */
  readonly name: string;
  readonly describe: string;
  readonly positionals: readonly PositionalSpec[];
  /** By their long names. */
  readonly options: ReadonlyMap<string, Options>;
  readonly subcommands: readonly CommandSpec[];
  readonly examples: readonly Example[];
}

export interface Example {
  /** With `$0` for the program. */
  readonly command: string;
  readonly describe: string;
}

export interface PositionalSpec {
  readonly name: string;
  readonly isRequired: boolean;
  readonly isMany: boolean;
  readonly option: PositionalOptions;
}

type Declared = Pick<CommandModule, 'command' | 'describe'> & { readonly builder?: (parser: Argv) => unknown };

/** The commands that `declare` makes known to a parser. */
export async function specsOf(declare: (parser: Argv) => Promise<unknown>): Promise<readonly CommandSpec[]> {
  const { parser, commands } = recorder();
  await declare(parser);
  return commands;
}

function specOf({ command, describe, builder }: Declared): CommandSpec {
  const [name = '', ...positionals] = String(command).split(' ');
  const { parser, options, arguments: declared, commands, examples } = recorder();
  builder?.(parser);
  return {
    name,
    describe: String(describe),
    positionals: positionals.map((text) => {
      const given = text.replace(/[^a-z-]/g, '');
      return {
        name: given,
        isRequired: text.startsWith('<'),
        isMany: text.includes('..'),
        option: declared.get(given) ?? {},
      };
    }),
    options,
    subcommands: commands,
    examples,
  };
}

interface Recorder {
  readonly parser: Argv;
  readonly options: ReadonlyMap<string, Options>;
  /** Positional ones. */
  readonly arguments: ReadonlyMap<string, PositionalOptions>;
  readonly commands: readonly CommandSpec[];
  readonly examples: readonly Example[];
}

/** In place of a parser: remembers the options and commands that it is told, and passes over everything else. */
function recorder(): Recorder {
  const declared = new Map<string, PositionalOptions>();
  const examples: Example[] = [];
  const options = new Map<string, Options>();
  const commands: CommandSpec[] = [];
  const remembered: Readonly<Record<string, (first: never, second: never) => void>> = {
    options: (many: Readonly<Record<string, Options>>) => {
      for (const [name, option] of Object.entries(many)) options.set(name, option);
    },
    option: (name: string, option: Options) => options.set(name, option),
    positional: (name: string, option: PositionalOptions) => declared.set(name, option),
    example: (command: string, text: string) => examples.push({ command, describe: text }),
    command: (command: Declared) => commands.push(specOf(command)),
  };
  const parser: unknown = new Proxy(remembered, {
    get: (target, key, self: unknown) =>
      // Whoever awaits it would take it for a promise.
      key === 'then'
        ? undefined
        : (first: never, second: never): unknown => {
            if (typeof key === 'string' && Object.hasOwn(target, key)) target[key]?.(first, second);
            return self;
          },
  });
  // It has no more of a parser than what a builder calls, each of which gives the parser back.
  return { parser: parser as Argv, options, arguments: declared, commands, examples };
}

/** The options that demand a value and have no default, so that a command line without them means nothing. */
export function demandedOptions({ options }: CommandSpec): readonly string[] {
  return [...options].filter(([, { demandOption }]) => demandOption === true).map(([name]) => name);
}

/** `--topology`, `-t` */
export function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

/** The other names of an option. */
export function aliasesOf({ alias }: Options): readonly string[] {
  return alias === undefined ? [] : [alias].flat();
}
