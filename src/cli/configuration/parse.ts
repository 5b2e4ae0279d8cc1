/** Parses the configuration file: YAML, a section for each daemon. Nothing of a file is taken that is not right as a whole. */
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { formatProblem, quoteValue } from '../../../compiler/model/index.js';
import { didYouMean } from '../../../compiler/model/nearest.js';
import { agentOptions } from '../agent-options.js';
import { apiCommandOptions } from '../api-options.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { notKeysAndValues, sectionSchema, type OptionTable, type Section } from './schema.js';

/** The daemons that have a section. */
export const SECTIONS = { agent: agentOptions, api: apiCommandOptions } as const satisfies Record<string, OptionTable>;
export type SectionName = keyof typeof SECTIONS;

export interface Configuration {
  readonly sections: Readonly<Record<SectionName, Section>>;
  /** Where in the file an option stands: `FILE:LINE:COLUMN`; undefined where it does not. */
  readonly place: (section: SectionName, option: string) => string | undefined;
}

/**
 * @param file its name, for messages
 * @throws CommandError for one that is half or wrong; with `usage` where trying again will not mend it
 */
export function parseConfiguration(file: string, content: string): Configuration {
  const lines = new LineCounter();
  // A text that was cut mostly ends within a line.
  if (!content.endsWith('\n')) {
    throw unfinished(file, content === '' ? 'is empty' : 'ends within a line: it is not written to its end');
  }
  const document = parseDocument(content, { schema: 'failsafe', uniqueKeys: true, lineCounter: lines });
  const at = (offset: number, message: string): string => {
    const { line, col } = lines.linePos(offset);
    return formatProblem({ ...NOWHERE, file, line, column: col, message });
  };
  const [error] = document.errors;
  if (error !== undefined) {
    const [reason = ''] = error.message.split('\n');
    throw new CommandError(EXIT.invalidInput, at(error.pos[0], `is not YAML: ${reason.replace(/ at line .*$/, '')}`));
  }
  const value = document.toJS() as unknown;
  if (value === null || value === '') throw unfinished(file, 'has no section: valid are agent: and api:');
  const { success, data, error: wrong } = FILE.safeParse(value);
  if (success) {
    return {
      sections: { agent: data.agent ?? {}, api: data.api ?? {} },
      place: (section, option) => {
        const offset = offsetOf(document, [section, option], undefined);
        if (offset === undefined) return undefined;
        const { line, col } = lines.linePos(offset);
        return `${file}:${line.toString()}:${col.toString()}`;
      },
    };
  }
  const found = wrong.issues
    .map((issue) => {
      const path = issue.path.map(String);
      const key = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
      const where = path.length === 0 ? '' : `${path.join('.')}: `;
      return { offset: offsetOf(document, path, key) ?? 0, message: `${where}${issue.message}` };
    })
    .sort((a, b) => a.offset - b.offset);
  const [first = { offset: 0, message: '' }] = found;
  const more = found.length > 1 ? ` (and ${(found.length - 1).toString()} more)` : '';
  throw new CommandError(EXIT.usage, `${at(first.offset, first.message)}${more}`);
}

const FILE = z.strictObject(
  { agent: sectionSchema('agent', SECTIONS.agent).optional(), api: sectionSchema('api', SECTIONS.api).optional() },
  {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return notKeysAndValues(issue.input);
      const [key = ''] = issue.keys as readonly string[];
      return `${quoteValue(key)} is no section${didYouMean(key, Object.keys(SECTIONS)) || ': valid are agent and api'}`;
    },
  },
);

const NOWHERE = { severity: 'error', code: 'value', path: '' } as const;

/** Whoever writes the file may be at work: what starts the daemon tries again. */
function unfinished(file: string, why: string): CommandError {
  return new CommandError(EXIT.invalidInput, `${file}: ${why}`);
}

/** Of a value, or of a key of a mapping, where the path leads; in characters of the text. */
function offsetOf(document: Document, path: readonly string[], key: string | undefined): number | undefined {
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  if (key !== undefined && isMap(node)) {
    const found = node.items.find((pair) => isScalar(pair.key) && pair.key.value === key)?.key;
    return isNode(found) ? found.range?.[0] : undefined;
  }
  return isNode(node) ? node.range?.[0] : undefined;
}
