/** What may stand in the configuration file: the options of the daemons themselves, so that the two cannot differ. */
import type { Options } from 'yargs';
import { z } from 'zod';
import { quoteValue } from '../../../compiler/model/index.js';
import { didYouMean } from '../../../compiler/model/nearest.js';

/** Options by their long names. */
export type OptionTable = Readonly<Record<string, Options>>;

export type OptionValue = string | number | boolean | readonly string[];
export type Section = Readonly<Record<string, OptionValue | undefined>>;

/**
 * Takes a section as YAML has it when all scalars are texts, which is what they are on a command line, too: `no` is a host's name where
 * a name is asked for, `0x10000000` a mark. Gives the values of its options.
 */
export function sectionSchema(name: string, options: OptionTable): z.ZodType<Section> {
  const shape = Object.fromEntries(
    Object.entries(options).map(([option, kind]) => [option, valueSchema(option, kind).optional()]),
  );
  const error = (issue: { readonly code?: string; readonly keys?: unknown; readonly input?: unknown }): string => {
    if (issue.code !== 'unrecognized_keys') return notKeysAndValues(issue.input);
    const [key = ''] = issue.keys as readonly string[];
    return `${quoteValue(key)} is no option of ${name}${didYouMean(key, Object.keys(options)) || `: portcullis ${name} --help lists them`}`;
  };
  // Where all options are commented out nothing stands behind the section's name.
  return z.preprocess((value) => (value === '' ? {} : value), z.strictObject(shape, { error }));
}

export function notKeysAndValues(value: unknown): string {
  return `${quoteValue(value)} is not a mapping of keys to values`;
}

function valueSchema(name: string, option: Options): z.ZodType<OptionValue> {
  const { choices } = option;
  if (choices !== undefined) {
    const valid = choices.map(String);
    return z.enum(
      valid,
      because((value) => `is none of ${valid.join(', ')}${didYouMean(String(value), valid)}`),
    );
  }
  const text = z.string(because(notText)).min(1, because(notText));
  if (option.array === true) {
    // One alone needs no brackets.
    const listed = (value: unknown): unknown => (typeof value === 'string' ? [value] : value);
    return z.preprocess(listed, z.array(text, because(notText)).min(1, because(notText)));
  }
  switch (option.type) {
    case 'string':
      return text;
    case 'number':
      return z
        .string(because(() => 'is not a number'))
        .regex(
          /^-?\d+(\.\d+)?$/,
          because(() => 'is not a number'),
        )
        .transform(Number);
    case 'boolean':
      return z
        .enum(
          ['true', 'false'],
          because(() => 'is neither true nor false'),
        )
        .transform((word) => word === 'true');
    case 'array':
    case 'count':
    case undefined:
      throw new Error(`--${name}: no value in a file can be of its kind`);
  }
}

function notText(value: unknown): string {
  return value === '' || (Array.isArray(value) && value.length === 0) ? 'says nothing' : 'is not a text';
}

function because(why: (value: unknown) => string): {
  readonly error: (issue: { readonly input?: unknown }) => string;
} {
  return { error: ({ input }) => `${quoteValue(input)} ${why(input)}` };
}
