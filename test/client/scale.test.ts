/** Scale, in small: what the model predicts is what a real run measures; who was away for long is told the difference, in one transaction. */
import { execa } from 'execa';
import { afterEach, expect, it } from 'vitest';
import { SourceGate } from '../../agent/gate.js';
import { DEFAULT_OPTIONS, HostCompiler, printTransaction, type Transaction } from '../../compiler/index.js';
import { addressOf, Cloud, groupId, hostName, portId, portRecord, randomNumbers } from '../../bench/scale/cloud.js';
import type { Line } from '../../bench/scale/report.js';
import { Database } from '../../src/api/database.js';
import { EtcdStore } from '../../src/api/store/etcd.js';
import { parseEtcdAddress } from '../../src/etcd/address.js';
import { isOnHost, type Port, type TopologyChanges } from '../../compiler/model/index.js';
import { EtcdSource } from '../../src/sources/etcd/index.js';
import { step } from '../support/progress.js';
import { eventually } from '../support/waiting.js';
import { CutProxy } from '../support/cut-proxy.js';
import { Etcd } from './lab/etcd.js';

const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };
/** While the host is away. */
const CHANGES = 10_000;
/** That wait for the store together. */
const TOGETHER = 25;

const toEnd: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of toEnd.splice(0).reverse()) await end();
});

it('who was away during 10 000 changes and a compaction converges with one transaction of the difference alone', async () => {
  const etcd = await Etcd.start();
  toEnd.push(async () => etcd.end());
  const api = await Database.open(await EtcdStore.open(parseEtcdAddress(etcd.url()), {}), () => undefined);
  toEnd.push(async () => api.close());
  const cloud = new Cloud({ hosts: 20, ports: 20, groupSizes: [{ size: 200, share: 1 }], seed: 1 });
  await api.change(NOBODY, (writer) => {
    cloud.putGroups(writer, 0, cloud.groupCount);
  });
  const proxy = await CutProxy.start(etcd.url());
  toEnd.push(async () => proxy.end());

  // As an agent has it, up to the packet filter.
  const isLocal = (port: Port): boolean => isOnHost(port, hostName(0));
  const gate = new SourceGate(isLocal, false);
  const compiler = new HostCompiler(isLocal, DEFAULT_OPTIONS);
  const transactions: Transaction[] = [];
  const [wholes, differences]: [number[], TopologyChanges[]] = [[], []];
  let [revision, isStale] = [-1, false];
  const source = new EtcdSource(parseEtcdAddress(proxy.url), {}, hostName(0));
  toEnd.push(() => {
    source.stop();
  });
  source.start(
    (event) => {
      isStale = event.kind === 'stale';
      if (event.kind === 'stale') return;
      const passage = event.kind === 'topology' ? gate.whole(event.topology, event.doubt) : gate.changes(event.changes);
      if (passage.kind === 'held') throw new Error(passage.reason);
      if (event.kind === 'topology') wholes.push(event.revision ?? -1);
      const { changes } = passage;
      compiler.update(changes);
      const { transaction } = compiler.take();
      if (transaction.length > 0) {
        transactions.push(transaction);
        differences.push(changes);
      }
      revision = event.revision ?? -1;
    },
    () => gate.inForce,
  );
  await eventually(() => revision === api.revision);
  expect(transactions).toHaveLength(1);
  await proxy.refuse();
  await eventually(() => isStale);

  // Any port comes, goes, gets another address; what is not to differ is as it was in the end.
  const random = randomNumbers(7);
  const ports = [...cloud.groupOf.keys()];
  const own = ports.find((port) => cloud.hostOf[port] === 0) ?? -1;
  const [gone = -1] = ports.filter(
    (port) => port > own && cloud.groupOf[port] === cloud.groupOf[own] && cloud.hostOf[port] !== 0,
  );
  const group = cloud.groupOf[own] ?? 0;
  const more = cloud.portCount;
  const pair = (address: string): object => ({
    allowed_address_pairs: [{ ip_address: address, mac_address: cloud.portRecord(own).mac_address }],
  });
  let made = 0;
  const change = async (work: Parameters<Database['change']>[1]): Promise<unknown> => {
    made++;
    return api.change(NOBODY, work);
  };
  const last = 3 + ports.length;
  while (made < CHANGES - last) {
    step(`change ${made}`);
    await Promise.all(
      Array.from({ length: Math.min(TOGETHER, CHANGES - last - made) }, async () => {
        const port = Math.floor(random() * ports.length);
        const record = cloud.portRecord(port);
        const [choice, address] = [random(), `172.16.${Math.floor(random() * 256)}.${Math.floor(random() * 256)}`];
        return change((writer) => {
          if (choice < 0.3) writer.delete('port', record.id);
          else writer.put('port', choice < 0.6 ? record : { ...record, ...pair(address) });
        });
      }),
    );
  }
  await Promise.all(
    ports.map(async (port) =>
      change((writer) => {
        writer.put('port', cloud.portRecord(port));
      }),
    ),
  );
  await change((writer) => {
    writer.put('port', portRecord(more, group, 5));
  });
  await change((writer) => {
    writer.delete('port', portId(gone));
  });
  await change((writer) => {
    writer.put('port', { ...cloud.portRecord(own), ...pair('172.16.0.1') });
  });
  expect(made).toBe(CHANGES);
  etcd.compact();
  expect(transactions).toHaveLength(1);

  await proxy.accept();
  await eventually(() => revision === api.revision);
  // What it missed is not to be had any more: everything was read.
  expect(wholes).toHaveLength(2);
  expect(transactions).toHaveLength(2);
  const [, difference] = differences;
  expect([...(difference?.ports.keys() ?? [])].sort()).toEqual([portId(own), portId(gone), portId(more)].sort());
  expect([difference?.securityGroups.size, difference?.addressGroups.size]).toEqual([0, 0]);
  const { mac_address: mac } = cloud.portRecord(own);
  const device = `"tap${portId(own).slice(0, 11)}" . ${mac}`;
  const members = `sg_${groupId(group).slice(0, 8)}_addresses4`;
  expect(
    printTransaction(transactions[1] ?? [])
      .trimEnd()
      .split('\n'),
  ).toEqual([
    `delete element inet portcullis ${members} { ${addressOf(gone)} }`,
    `add element inet portcullis ${members} { 172.16.0.1, ${addressOf(more)} }`,
    `add element inet portcullis sources4 { ${device} . 172.16.0.1 }`,
    `add element inet portcullis stateful_sources4 { ${device} . 172.16.0.1 }`,
    `add element arp portcullis sources4 { ${device} . 172.16.0.1 }`,
  ]);
});

it('what the model predicts is what a run measures: keys, watches and events exactly, bytes within a quarter', async () => {
  const simulation = execa(process.execPath, ['dist/bench/simulate.js', '--quick', '--json']);
  toEnd.push(() => void simulation.kill());
  simulation.stderr.on('data', (said: Buffer) => {
    step(said.toString());
  });
  const { stdout } = await simulation;
  const { lines, stale } = JSON.parse(stdout) as {
    readonly lines: Readonly<Record<string, Line>>;
    readonly stale: number;
  };
  const ratio = (name: string): number =>
    (lines[name]?.measured ?? Number.NaN) / (lines[name]?.predicted ?? Number.NaN);
  for (const name of ['keys', 'watches']) expect([name, ratio(name)]).toEqual([name, 1]);
  // A source that lost its connection, on a machine that is too busy, is told some again.
  if (stale === 0) expect(lines['events']?.measured).toBe(lines['events']?.predicted);
  else expect(ratio('events')).toBeGreaterThan(1);
  for (const name of ['file', 'start', 'agentBytes', 'engineBytes']) {
    expect(ratio(name), name).toBeGreaterThan(0.75);
    // What is told again is as many bytes more.
    if (stale === 0) expect(ratio(name), name).toBeLessThan(1.25);
  }
});
