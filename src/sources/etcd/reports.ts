/** What a host says of itself, as it lies in etcd. */
import type { EtcdClient } from '../../etcd/client.js';
import type { HostReport } from '../../../compiler/model/index.js';
import { reportKey } from './layout.js';

/** For how long it is believed, in seconds; it is said again every 10 s. */
const LIVES = 30;

/** Writes it, under a lease: it goes when the host does not say it again. @throws EtcdError */
export async function writeReport(client: EtcdClient, prefix: string, host: string, report: HostReport): Promise<void> {
  const lease = await client.lease(LIVES);
  const request = { key: Buffer.from(prefix + reportKey(host)), value: Buffer.from(JSON.stringify(report)), lease };
  await client.txn({ compare: [], success: [{ request_put: request }], failure: [] });
}
