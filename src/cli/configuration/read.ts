/** Finds and reads the configuration file. */
import { readDocument } from '../../sources/file/open.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import type { Configuration } from './parse.js';

/** Where the file is looked for when none is named. */
export const CONFIGURATION_FILE = '/etc/portcullis/portcullis.yaml';

/**
 * @param named on the command line; without it the usual one is read, where it is there
 * @returns undefined where there is none
 * @throws CommandError for one that cannot be read, is half or wrong; with `usage` where trying again will not mend it
 */
export async function readConfiguration(named: string | undefined): Promise<Configuration | undefined> {
  const file = named ?? CONFIGURATION_FILE;
  let content: string;
  try {
    content = await readDocument(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (named === undefined && (code === 'ENOENT' || code === 'ENOTDIR')) return undefined;
    const why = code === 'ENOENT' ? 'is not there' : error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.invalidInput, `--config: ${file}: ${why}`);
  }
  // Most hosts have none: what parses it is loaded for those that do.
  const { parseConfiguration } = await import('./parse.js');
  return parseConfiguration(file, content);
}
