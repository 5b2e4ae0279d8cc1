/** What the members of etcd say of themselves: https://etcd.io/docs/v3.4/metrics/. */
import { parseEtcdAddress } from '../../src/etcd/address.js';

const NAMES = {
  /** Events that were sent to watchers. */
  events: 'etcd_debugging_mvcc_events_total',
  watches: 'etcd_debugging_mvcc_watcher_total',
  streams: 'etcd_debugging_mvcc_watch_stream_total',
  keys: 'etcd_debugging_mvcc_keys_total',
  /** What every member writes to its log and carries out. */
  proposals: 'etcd_server_proposals_applied_total',
  databaseBytes: 'etcd_mvcc_db_total_size_in_bytes',
  databaseBytesInUse: 'etcd_mvcc_db_total_size_in_use_in_bytes',
  cpuSeconds: 'process_cpu_seconds_total',
  resident: 'process_resident_memory_bytes',
} as const;

/** Of each name what each member says. */
export type Members = Readonly<Record<keyof typeof NAMES, readonly number[]>>;

export async function askMembers(url: string): Promise<Members> {
  const texts = await Promise.all(
    parseEtcdAddress(url).endpoints.map(async (endpoint) => (await fetch(`http://${endpoint}/metrics`)).text()),
  );
  const values = (name: string): readonly number[] =>
    texts.map((text) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN));
  // The keys are those of NAMES.
  return Object.fromEntries(Object.entries(NAMES).map(([key, name]) => [key, values(name)])) as unknown as Members;
}

export function total(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0);
}

/** How much more, over all members. */
export function increase(before: Members, after: Members, name: keyof Members): number {
  return total(after[name]) - total(before[name]);
}
