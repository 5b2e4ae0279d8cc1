/** Everything that a store holds, in one file; and back. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Caller } from './caller.js';
import type { Database } from './database.js';
import { changeOf } from './entries.js';
import { ImportError } from './import.js';
import { problemsOf } from './record-check.js';
import { KINDS, type RecordChange } from './records.js';
import { keyOf, type View } from './state.js';
import { checkSchema, SCHEMA, UNSEALED, upgrade } from './store/schema.js';
import { StoreError, type Json } from './store/store.js';

export interface Backup {
  readonly portcullis: { readonly schema: number; readonly revision: number; readonly checksum: string };
  /** By the store's key. */
  readonly entries: Readonly<Record<string, unknown>>;
}

const BACKUP = z.object({
  portcullis: z.object({
    schema: z.number().int().positive(),
    revision: z.number().int().nonnegative(),
    checksum: z.string().optional(),
  }),
  entries: z.record(z.string(), z.record(z.string(), z.json())),
});

/** At one instant: the view is not changed meanwhile. */
export function backupOf({ view, revision }: Pick<Database, 'view' | 'revision'>): Backup {
  const entries: Record<string, unknown> = {};
  for (const kind of KINDS) for (const record of view.all(kind)) entries[keyOf(kind, record.id)] = record;
  return { portcullis: { schema: SCHEMA, revision, checksum: checksumOf(SCHEMA, revision, entries) }, entries };
}

/** Over the same content the same, however it is written. */
export function checksumOf(schema: number, revision: number, entries: unknown): string {
  const sorted = JSON.stringify([schema, revision, entries], (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return `sha256:${createHash('sha256').update(sorted).digest('hex')}`;
}

/** @throws ImportError for what is no backup, one of a newer version, one that was changed, or one that holds what no API makes. */
export function recordsOfBackup(content: unknown): readonly RecordChange[] {
  const backup = BACKUP.safeParse(content);
  if (!backup.success) {
    const [issue] = backup.error.issues;
    throw new ImportError(`not a backup: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
  }
  const { portcullis, entries } = backup.data;
  asImport(() => {
    checkSchema('backup', portcullis.schema);
  });
  if (
    portcullis.checksum !== checksumOf(portcullis.schema, portcullis.revision, entries) &&
    !(portcullis.schema <= UNSEALED && portcullis.checksum === undefined)
  ) {
    throw new ImportError('not a whole backup: its checksum is of another content');
  }
  // What the records are in truth is asked below.
  const records = asImport(() => {
    const all = upgraded(portcullis.schema, new Map<string, Json>(Object.entries(entries)));
    return [...all].map(([key, record]) => changeOf('not a backup', key, record));
  });
  const problems = problemsOf(records);
  if (problems.length > 0)
    throw new ImportError(`not a backup that can be restored: ${problems.slice(0, 20).join('; ')}`);
  return records;
}

/** What a store would be refused for, a backup is. @throws ImportError */
function asImport<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof StoreError ? new ImportError(error.message) : error;
  }
}

function upgraded(schema: number, all: Map<string, Json>): ReadonlyMap<string, Json> {
  for (const [key, value] of upgrade('backup', { schema, entries: all }) ?? []) {
    if (value === undefined) all.delete(key);
    else all.set(key, value);
  }
  return all;
}

/**
 * Makes the state what a backup holds, in one change.
 * @param isReplacing whether what is there may go; without it the state must be empty but for what every new store holds.
 * @returns how many records there are now. @throws ImportError
 */
export async function restore(
  database: Database,
  caller: Caller,
  records: readonly RecordChange[],
  isReplacing: boolean,
): Promise<number> {
  await database.change(caller, (writer) => {
    if (!isReplacing && !isNew(writer.view)) {
      throw new ImportError('the store is not empty: say that it may be replaced, or restore to a new one');
    }
    const wanted = new Set(records.map(({ kind, id }) => keyOf(kind, id)));
    for (const kind of KINDS) {
      // What was revoked since stays so: an older backup opens nothing.
      if (kind === 'revoked_token') continue;
      for (const { id } of [...writer.view.all(kind)]) if (!wanted.has(keyOf(kind, id))) writer.delete(kind, id);
    }
    for (const { kind, record } of records) if (record !== undefined) writer.put(kind, record);
  });
  return records.length;
}

/** Templates are there from the beginning, and revoked tokens are nobody's objects. */
function isNew(view: View): boolean {
  const others = KINDS.filter((kind) => kind !== 'default_security_group_rule' && kind !== 'revoked_token');
  return others.every((kind) => view.count(kind) === 0);
}
