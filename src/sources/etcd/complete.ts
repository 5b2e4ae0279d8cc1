/** Up to where nothing is missing of what was changed: etcd promises no order between the watches of several scopes, so it is asked. */
import type { EtcdClient } from '../../etcd/client.js';
import type { Compare, KeyValue } from '../../etcd/messages.js';
import { isMark, type Scopes } from './followed.js';
import { readViewHead, VIEW, type ViewHead } from './layout.js';

/** Scopes that one question compares; etcd takes 128 (`--max-txn-ops`). */
const MOST_COMPARED = 100;

/** What is known to be complete. */
export interface Complete {
  /** Revision of etcd. */
  readonly at: number;
  readonly head: ViewHead;
}

/** The store that is asked. */
export interface Asked {
  readonly client: EtcdClient;
  /** The whole key of what stands below the store's prefix. */
  readonly key: (name: string) => Buffer;
}

/** At this address there is another store than was read: everything is to be read again. */
export class AnotherStore extends Error {
  override readonly name = 'AnotherStore';
}

/**
 * Whether nothing that etcd holds by now is missing: answered in a few bytes.
 * @param onAnswer called with each answer.
 * @throws AnotherStore, EtcdError
 */
export async function completeNow(
  { client, key }: Asked,
  identity: string,
  followed: Scopes,
  onAnswer: () => void,
): Promise<Complete | undefined> {
  const scopes = [...followed];
  let complete: Complete | undefined;
  for (let first = 0; first < Math.max(1, scopes.length); first += MOST_COMPARED) {
    const marks = scopes.slice(first, first + MOST_COMPARED).map(([scope, { heard }]): Compare => ({
      result: 'EQUAL',
      target: 'MOD',
      key: key(VIEW + scope),
      mod_revision: heard,
    }));
    // Of another store the same revisions say something else.
    const isSame: Compare = { result: 'EQUAL', target: 'VALUE', key: key('identity'), value: Buffer.from(identity) };
    const { succeeded, header, responses } = await client.txn({
      compare: [isSame, ...marks],
      success: [{ request_range: { key: key('head'), serializable: true } }],
      failure: [{ request_range: { key: key('identity'), serializable: true } }],
    });
    onAnswer();
    if (!succeeded) {
      const [found] = responses[0]?.response_range?.kvs ?? [];
      if (found?.value.toString() === identity) return undefined;
      throw new AnotherStore('it is another store');
    }
    const at = Number(header.revision);
    if (complete === undefined || at < complete.at) {
      complete = { at, head: headOf(responses[0]?.response_range?.kvs) };
    }
  }
  return complete;
}

/**
 * Whether nothing is missing of what etcd held when the newest change was made that was heard of: that does not change any more.
 * @param known up to that revision of etcd everything is in the view.
 * @throws EtcdError
 */
export async function completeBefore(
  { client, key }: Asked,
  followed: Scopes,
  known: number,
): Promise<Complete | undefined> {
  const scopes = [...followed];
  const at = Math.max(...scopes.map(([, { events }]) => events.at(-1)?.revision ?? 0));
  if (at <= known) return undefined;
  const past = { revision: at, serializable: true };
  let head: ViewHead | undefined;
  for (let first = 0; first < scopes.length; first += MOST_COMPARED) {
    const asked = scopes.slice(first, first + MOST_COMPARED);
    const marks = asked.map(([scope]) => ({
      request_range: { key: key(VIEW + scope), keys_only: true, ...past },
    }));
    const success = [{ request_range: { key: key('head'), ...past } }, ...marks];
    const { responses } = await client.txn({ compare: [], success, failure: [] });
    const [found, ...modified] = responses.map(({ response_range }) => response_range?.kvs ?? []);
    head ??= headOf(found);
    const isMissing = asked.some(([, { heard }], index) => {
      const mark = Number(modified[index]?.[0]?.mod_revision ?? 0);
      return heard <= at && heard !== mark;
    });
    if (isMissing) return undefined;
  }
  return head === undefined ? undefined : { at, head };
}

/** Whether a part of a commit that is being carried out is here. */
export function isHalf({ at, head: { next } }: Complete, followed: Scopes): boolean {
  if (next === undefined) return false;
  return [...followed.values()].some(({ by, events }) => {
    // What was heard of later says nothing of it.
    const mark = events.findLast((event) => isMark(event) && event.revision <= at);
    return (mark === undefined ? by : mark.text) === next;
  });
}

/** @throws Error for a head that was not written by us. */
export function headOf(kvs: readonly KeyValue[] | undefined): ViewHead {
  const [kv] = kvs ?? [];
  return kv === undefined ? { revision: 0, next: undefined } : readViewHead(kv.value.toString());
}
