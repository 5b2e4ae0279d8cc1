/** What hosts say of themselves, passed on through etcd to every process of the API. */
import { EtcdError, endOf, type EtcdClient } from '../../etcd/client.js';
import type { KeyValue } from '../../etcd/messages.js';
import { Follow } from '../../sources/follow.js';
import { HOST_NAME, HOST_REPORT, type HostReport } from '../../../compiler/model/index.js';
import { ASKED, REPORTS, reportKey, VIEW } from '../../sources/etcd/layout.js';
import { writeReport } from '../../sources/etcd/reports.js';
import { StoreError, type Reports } from './store.js';

/** Between two questions to all hosts. */
const ASK_EVERY_MS = 1000;
const PAGE = 1000;

export class EtcdReports implements Reports {
  #follow: Follow | undefined;
  #askedAt = -Infinity;

  constructor(
    private readonly client: EtcdClient,
    private readonly prefix: string,
  ) {}

  async say(host: string, report: HostReport): Promise<void> {
    await this.#asStoreError(async () => writeReport(this.client, this.prefix, host, report));
  }

  async forget(host: string): Promise<void> {
    const gone = { request_delete_range: { key: Buffer.from(this.prefix + reportKey(host)) } };
    await this.#asStoreError(async () => this.client.txn({ compare: [], success: [gone], failure: [] }));
  }

  ask(): void {
    if (performance.now() - this.#askedAt < ASK_EVERY_MS) return;
    this.#askedAt = performance.now();
    const put = { request_put: { key: Buffer.from(this.prefix + VIEW + ASKED), value: Buffer.of() } };
    this.client.txn({ compare: [], success: [put], failure: [] }).catch(() => {
      // Hosts say it by themselves within seconds; whoever cannot write is told so by its changes.
    });
  }

  follow(listener: (host: string, report: HostReport) => void): void {
    const follow = new Follow(
      async (signal) => {
        const at = await this.#readAll(listener);
        follow.well();
        await this.#watch(at, listener, signal);
      },
      () => {
        // What is known stays, and grows old; the store says that etcd is not there.
      },
      null,
    );
    this.#follow = follow;
    follow.start();
  }

  close(): void {
    this.#follow?.stop();
  }

  /** @returns the revision of etcd that it was read at. */
  async #readAll(listener: (host: string, report: HostReport) => void): Promise<number> {
    let revision = 0;
    for await (const { header, kvs } of this.client.pages(Buffer.from(this.prefix + REPORTS), {
      limit: PAGE,
      revision,
    })) {
      if (revision === 0) revision = Number(header.revision);
      for (const kv of kvs) this.#take(kv, listener);
    }
    return revision;
  }

  /** Until it ends. */
  async #watch(
    after: number,
    listener: (host: string, report: HostReport) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const key = Buffer.from(this.prefix + REPORTS);
    await new Promise<void>((resolve, reject) => {
      const end = this.client.watch(key, endOf(key), after, {
        onEvents: (events) => {
          // One that goes is one that was not said again: it is as old as it is.
          for (const { type, kv } of events) if (type === 'PUT') this.#take(kv, listener);
        },
        onEnd: reject,
      });
      signal.addEventListener('abort', () => {
        end();
        resolve();
      });
    });
  }

  /** A host may write what it likes there: what is no report is not taken. */
  #take({ key, value }: KeyValue, listener: (host: string, report: HostReport) => void): void {
    try {
      const host = decodeURIComponent(key.toString().slice(this.prefix.length + REPORTS.length));
      const report = HOST_REPORT.safeParse(JSON.parse(value.toString()));
      if (HOST_NAME.test(host) && report.success) listener(host, report.data);
    } catch {
      // Neither a name nor JSON.
    }
  }

  async #asStoreError(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw error instanceof EtcdError ? new StoreError(error.message) : error;
    }
  }
}
