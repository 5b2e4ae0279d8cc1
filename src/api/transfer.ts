/** Topologies into stores, out of them, and from other APIs. */
import type { Caller } from './caller.js';
import { Database } from './database.js';
import { ImportError } from './import.js';
import { firstTemplates } from './neutron/default-group.js';
import type { RecordChange } from './records.js';
import type { Store } from './store/store.js';
import { topologyDocument } from './topology/lines.js';

const OURSELVES: Caller = { userId: 'portcullis', userName: 'portcullis', projectId: '', roles: ['admin'] };
/** For an answer; in milliseconds. */
const PATIENCE = 60_000;

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
  return topologyDocument(database.view);
}

/** The topology of a running API of ours. @throws ImportError */
export async function apiDocument(url: string, token: string | undefined): Promise<object> {
  return asked(`${url.replace(/\/+$/, '')}/portcullis/v1/topology`, token);
}

const COLLECTIONS = ['networks', 'subnets', 'security-groups', 'address-groups', 'ports'];

/** What a Neutron has of a topology. @throws ImportError */
export async function neutronDocument(
  url: string,
  token: string | undefined,
): Promise<{ readonly file: string; readonly content: object }> {
  const base = url.replace(/\/+$/, '').replace(/\/v2\.0$/, '');
  const parts = await Promise.all(COLLECTIONS.map(async (name) => asked(`${base}/v2.0/${name}`, token)));
  return { file: url, content: Object.assign({}, ...parts) as object };
}

async function asked(url: string, token: string | undefined): Promise<object> {
  try {
    const response = await fetch(url, {
      headers: { Accept: 'application/json', ...(token === undefined ? {} : { 'X-Auth-Token': token }) },
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (!response.ok) throw new Error(`answers ${response.status.toString()}`);
    return (await response.json()) as object;
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    throw new ImportError(`${url}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}
