/**
 * Looks through a store's file in a process of its own: LMDB maps the file into memory and trusts it, so that one that was cut
 * short or overwritten ends the process that reads it by a signal. Better another one than the API.
 */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from './store.js';

/** For the look, in milliseconds: a large store takes some seconds. */
const PATIENCE_MS = 120_000;

/** Reads every page that holds something. Arguments: the module lmdb, the folder, the size of the file. */
const SCRIPT = `
const [lmdb, path, size] = process.argv.slice(1);
const root = require(lmdb).open({ path, noSubdir: false, readOnly: true, maxDbs: 2 });
const { lastPageNumber, pageSize } = root.getStats();
if ((lastPageNumber + 1) * pageSize > Number(size)) throw new Error('it was cut short');
for (const name of ['entries', 'meta']) {
  const db = root.openDB({ name, encoding: 'binary' });
  if (db === undefined) continue;
  let count = 0;
  for (const { key } of db.getRange({})) count += typeof key === 'string' ? 1 : NaN;
  if (count !== db.getCount()) throw new Error('its index is not whole');
}
`;

/** @throws StoreError when the file is damaged. A folder without one is a new store. */
export async function inspect(path: string): Promise<void> {
  const file = join(path, 'data.mdb');
  if (!existsSync(file)) return;
  const { size } = statSync(file);
  if (size === 0) throw damaged(path, 'data.mdb is empty');
  const lmdb = createRequire(import.meta.url).resolve('lmdb');
  const why = await new Promise<string | undefined>((resolve) => {
    const args = ['-e', SCRIPT, lmdb, path, size.toString()];
    execFile(process.execPath, args, { timeout: PATIENCE_MS }, (error, _stdout, stderr) => {
      if (error === null) resolve(undefined);
      else if (typeof error.signal === 'string') resolve(`who reads it dies by ${error.signal}`);
      else resolve(/Error: (.*)/.exec(stderr)?.[1] ?? 'it cannot be read');
    });
  });
  if (why !== undefined) throw damaged(path, why);
}

export function damaged(path: string, why: string): StoreError {
  return new StoreError(`${path}: the store is damaged: ${why}: restore a backup to a new folder`);
}
