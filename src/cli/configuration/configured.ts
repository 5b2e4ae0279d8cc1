/** Commands whose options may also stand in the configuration file: what is typed comes first, then the file, then what is usual. */
import type { InferredOptionTypes, Options } from 'yargs';
import { CommandError } from '../errors.js';
import type { OptionTable } from './schema.js';
import type { Configuration, SectionName } from './parse.js';

export const configOption = {
  config: {
    type: 'string',
    requiresArg: true,
    describe:
      'file of options (/etc/portcullis/portcullis.yaml, where it is there); those of the command line come before it',
  },
} as const satisfies Record<string, Options>;

/** What {@link configOption} gives. */
export interface ConfigArguments {
  readonly config: string | undefined;
}

type AsTyped<T extends OptionTable> = { readonly [Name in keyof T]: Omit<T[Name], 'default'> };

/** The options as yargs is to know them: their defaults are for people alone, so that it is told what was typed and nothing else. */
export function asTyped<T extends OptionTable>(options: T): AsTyped<T> {
  const typed = Object.entries(options).map(([name, { default: usual, ...option }]) => [
    name,
    usual === undefined ? option : { ...option, defaultDescription: JSON.stringify(usual) },
  ]);
  // Each is what it was, less its default: fromEntries() cannot say that.
  return Object.fromEntries(typed) as AsTyped<T>;
}

/** What was typed: of options that were not, undefined. */
export type Typed<T extends OptionTable> = ConfigArguments & Partial<InferredOptionTypes<AsTyped<T>>>;

/**
 * @param options of the section's command
 * @param run gets each option's value, from wherever it came
 * @returns a handler. An error that names an option whose value is the file's says where it stands there.
 */
export function configured<T extends OptionTable>(
  section: SectionName,
  options: T,
  run: (args: InferredOptionTypes<T>) => Promise<void>,
): (typed: Typed<T>) => Promise<void> {
  return async (typed) => {
    const { readConfiguration } = await import('./read.js');
    const configuration = await readConfiguration(typed.config);
    const given: Readonly<Record<string, unknown>> = typed;
    const values = Object.entries(options).map(([name, option]) => [
      name,
      given[name] ?? configuration?.sections[section][name] ?? (option.default as unknown),
    ]);
    try {
      // Of the types that yargs gives them and the schema checks, which both have from the options.
      await run(Object.fromEntries(values) as InferredOptionTypes<T>);
    } catch (error) {
      throw placed(error, configuration, section, given);
    }
  };
}

function placed(
  error: unknown,
  configuration: Configuration | undefined,
  section: SectionName,
  typed: Readonly<Record<string, unknown>>,
): unknown {
  if (!(error instanceof CommandError)) return error;
  const [, option = ''] = /^--([a-z-]+)/.exec(error.message) ?? [];
  const place = typed[option] === undefined ? configuration?.place(section, option) : undefined;
  return place === undefined ? error : new CommandError(error.exitCode, `${place}: ${error.message}`);
}
