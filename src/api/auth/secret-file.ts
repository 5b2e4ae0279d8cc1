/** What a file that holds a secret must be. */
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { quoteValue } from '../../../compiler/model/index.js';

/** @returns why a file is no place for a secret; undefined when it is one. @throws when there is no such file */
export function whyNotPrivate(path: string): string | undefined {
  return isForOwner(path)
    ? undefined
    : `others than its owner may read it: valid is mode 0600 (chmod 600 ${quoteValue(path)})`;
}

/** The same, where a folder that only its owner may enter keeps others out as well: of the file itself, where the path is a link. */
export function whyNotReachable(path: string): string | undefined {
  const file = realpathSync(path);
  const isInPrivate = isForOwner(dirname(file)) && statSync(file).nlink === 1;
  return isInPrivate ? undefined : whyNotPrivate(path);
}

function isForOwner(path: string): boolean {
  return (statSync(path).mode & 0o077) === 0;
}
