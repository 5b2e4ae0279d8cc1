/** A token in a file, so that it is in no list of processes. */
import { readFileSync } from 'node:fs';
import { whyNotReachable } from '../api/auth/secret-file.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

/** @param option for messages. @returns undefined where no file is named. @throws CommandError */
export function readTokenFile(option: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    const why = whyNotReachable(path);
    if (why !== undefined) throw new CommandError(EXIT.invalidInput, `${option}: ${path}: ${why}`);
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(EXIT.invalidInput, `${option}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
