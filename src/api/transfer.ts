/** Topologies into stores, out of them, and from other APIs. */
import { AnswerError, asked, pages, reasonOf, type Fields } from '../openstack/answer.js';
import type { Caller } from './caller.js';
import { backupOf, recordsOfBackup, restore } from './backup.js';
import { Database } from './database.js';
import { ImportError } from './import.js';
import { firstTemplates } from './neutron/default-group.js';
import type { RecordChange } from './records.js';
import type { Store } from './store/store.js';
import { exportDocument } from './topology/lines.js';

const OURSELVES: Caller = { userId: 'portcullis', userName: 'portcullis', projectId: '', roles: ['admin'] };
/** For an answer. */
const PATIENCE_MS = 60_000;

/**
 * Puts records into a store, all or none, and closes it.
 * @returns how many.
 * @throws ImportError when one is there already; StoreError.
 */
export async function importRecords(store: Store, records: readonly RecordChange[]): Promise<number> {
  const database = await Database.open(store, () => undefined);
  try {
    await database.change(OURSELVES, (writer) => {
      for (const { kind, id, record } of records) {
        if (record === undefined) continue;
        if (writer.view.get(kind, id) !== undefined)
          throw new ImportError(`${store.name}: ${kind} ${id} is there already`);
        writer.put(kind, record);
      }
      if (writer.view.count('default_security_group_rule') > 0) return;
      for (const template of firstTemplates()) writer.put('default_security_group_rule', template);
    });
  } finally {
    await database.close();
  }
  return records.length;
}

/** The topology of a store, which may be in use. */
export async function storeDocument(store: Store): Promise<object> {
  const database = await Database.open(store, () => undefined);
  return exportDocument(database.view);
}

/** Where a backup comes from, or goes to. */
export type Place =
  | { readonly kind: 'store'; readonly store: Store }
  | { readonly kind: 'api'; readonly url: string; readonly token: string | undefined };

/** Everything that a store, which may be in use and is closed, or a running API holds. @throws ImportError, StoreError */
export async function backup(place: Place): Promise<object> {
  if (place.kind === 'api') return askedByUs(backupUrl(place.url), place.token);
  const database = await Database.open(place.store, () => undefined);
  try {
    return backupOf(database);
  } finally {
    await database.close();
  }
}

/** @returns how many objects. @throws ImportError, StoreError; then nothing is changed. */
export async function restoreBackup(place: Place, content: unknown, isReplacing: boolean): Promise<number> {
  if (place.kind === 'api') {
    const url = `${backupUrl(place.url)}${isReplacing ? '?replace=1' : ''}`;
    const { restored } = await askedByUs(url, place.token, { method: 'PUT', body: JSON.stringify(content) });
    return typeof restored === 'number' ? restored : 0;
  }
  const database = await Database.open(place.store, () => undefined);
  try {
    return await restore(database, OURSELVES, recordsOfBackup(content), isReplacing);
  } finally {
    await database.close();
  }
}

function backupUrl(url: string): string {
  return `${url.replace(/\/+$/, '')}/portcullis/v1/backup`;
}

/** The topology of a running API of ours. @throws ImportError */
export async function apiDocument(url: string, token: string | undefined): Promise<object> {
  return askedByUs(`${url.replace(/\/+$/, '')}/portcullis/v1/topology`, token);
}

const COLLECTIONS = ['networks', 'subnets', 'security-groups', 'address-groups', 'ports', 'rbac-policies', 'quotas'];
/** What older Neutrons do not have. */
const NEWER = ['address-groups', 'default-security-group-rules'];

/** What a Neutron has of what is kept here; lists are followed to their end. @throws ImportError */
export async function neutronDocument(
  url: string,
  token: string | undefined,
): Promise<{ readonly file: string; readonly content: object }> {
  const base = url.replace(/\/+$/, '').replace(/\/v2\.0$/, '');
  const names = [...new Set([...COLLECTIONS, ...NEWER])];
  const parts = await Promise.all(names.map(async (name) => wholeList(`${base}/v2.0/${name}`, name, token)));
  return { file: url, content: Object.fromEntries(parts.flatMap((part) => Object.entries(part))) };
}

async function wholeList(url: string, name: string, token: string | undefined): Promise<Fields> {
  const key = name.replaceAll('-', '_');
  const items: unknown[] = [];
  try {
    for await (const page of pages(url, key, async (each) => askedByUs(each, token))) items.push(...page);
  } catch (error) {
    if (NEWER.includes(name) && error instanceof ImportError && isAbsence(error.cause)) return {};
    throw error instanceof ImportError ? error : new ImportError(reasonOf(error));
  }
  return { [key]: items };
}

function isAbsence(error: unknown): boolean {
  return error instanceof AnswerError && error.status === 404;
}

/** @throws ImportError */
async function askedByUs(
  url: string,
  token: string | undefined,
  more: { readonly method?: string; readonly body?: string } = {},
): Promise<Fields> {
  try {
    const { content } = await asked(url, {
      ...more,
      headers: { Accept: 'application/json', ...(token === undefined ? {} : { 'X-Auth-Token': token }) },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return content;
  } catch (error) {
    throw new ImportError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
