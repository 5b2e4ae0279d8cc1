/** What happens to a cloud: each fault is over when what it names is as it was before, and not when everybody has got over it. */
import { setTimeout } from 'node:timers/promises';
import { expect } from 'vitest';
import { until } from '../../support/waiting.js';
import { askOne } from './api-clients.js';
import type { ApiProcess, FaultedCloud, FaultedHost } from './faulted-cloud.js';

export interface Fault {
  readonly name: string;
  readonly happen: (cloud: FaultedCloud) => Promise<void>;
}

/** How long a member of etcd does nothing; in milliseconds. */
const STOPPED = 4000;
/** Junk that fills etcd, in bytes: etcd takes 1.5 MiB in one request. */
const JUNK = 1_400_000;
/** Of a certificate that is about to expire; in seconds. */
const SHORT = 2;

/** @param partition how long a host reaches nobody, in milliseconds. */
export function faults(partition: number): readonly Fault[] {
  return [
    { name: 'the leader of etcd is killed, and started again', happen: leaderDies },
    { name: 'a member of etcd hangs', happen: memberHangs },
    {
      name: `a host is partitioned for ${partition / 1000} s; meanwhile an API and another agent are killed, and started again`,
      happen: async (cloud) => hostIsPartitioned(cloud, partition),
    },
    { name: 'etcd is full, until somebody makes room', happen: etcdIsFull },
    { name: 'certificates of a host and of an API expire, until they are renewed', happen: certificatesExpire },
  ];
}

async function leaderDies({ etcd }: FaultedCloud): Promise<void> {
  const leader = etcd.leader();
  await etcd.kill(leader);
  await setTimeout(1000);
  etcd.run(leader);
  await etcd.healthy();
}

async function memberHangs({ etcd }: FaultedCloud): Promise<void> {
  const leader = etcd.leader();
  etcd.stop(leader);
  try {
    await setTimeout(STOPPED);
  } finally {
    etcd.goOn(leader);
  }
  await etcd.healthy();
}

async function hostIsPartitioned(cloud: FaultedCloud, milliseconds: number): Promise<void> {
  const [first, second] = cloud.hosts as readonly [FaultedHost, FaultedHost];
  const [api] = cloud.apis as readonly [ApiProcess];
  cloud.silence(first.streams.host);
  const healed = performance.now() + milliseconds;
  await api.kill();
  await second.agent.end('SIGKILL');
  await setTimeout(500);
  await cloud.startApi(api);
  cloud.startAgent(second);
  await second.agent.until(({ settled, lastTransaction }) => settled && lastTransaction !== undefined);
  await setTimeout(Math.max(0, healed - performance.now()));
  // It has noticed, and keeps what it has.
  const { enforced } = await first.agent.until(({ source }) => source.staleSince !== undefined);
  expect(enforced).toBe(true);
  cloud.heal(first.streams.host);
}

/** As docs/operations.md tells who is on call. */
async function etcdIsFull({ etcd, apis, hosts }: FaultedCloud): Promise<void> {
  const value = 'x'.repeat(JUNK);
  for (let count = 0; ; count++) {
    try {
      etcd.ctlWith(value, 'put', `/junk/${count.toString()}`);
    } catch (error) {
      expect(String(error)).toContain('space exceeded');
      break;
    }
  }
  for (const { name, socket } of apis) {
    await until({
      what: `${name} to say that etcd is full`,
      probe: async () => askOne(socket, 'GET', '/health'),
      check: (answer) => {
        expect(answer).toMatchObject({ status: 503, body: { store: { readable: true, writable: false } } });
        expect(JSON.stringify(answer?.body)).toContain('space exceeded');
      },
      said: () => '',
    });
  }
  // What can be read is followed: even by who reads everything anew.
  for (const { agent } of hosts) {
    const before = (await agent.status()).source.readAt;
    process.kill(agent.pid(), 'SIGHUP');
    await agent.until(({ source }) => source.readAt !== before && source.staleSince === undefined);
  }
  etcd.ctl('del', '--prefix', '/junk/');
  const status = JSON.parse(etcd.ctl('endpoint', 'status', '--write-out=json')) as readonly {
    readonly Status: { readonly header: { readonly revision: number } };
  }[];
  etcd.ctl('compact', String(status[0]?.Status.header.revision));
  etcd.ctl('defrag', '--cluster');
  etcd.ctl('alarm', 'disarm');
}

async function certificatesExpire(cloud: FaultedCloud): Promise<void> {
  const [, , host] = cloud.hosts as readonly [FaultedHost, FaultedHost, FaultedHost];
  const [, api] = cloud.apis as readonly [ApiProcess, ApiProcess];
  cloud.renew(host.pair, host.name, SHORT);
  cloud.renew(api.pair, 'root', SHORT);
  await setTimeout(1000 * SHORT);
  // What is connected stays so: they are asked for when it is made anew.
  for (const namespace of [host.streams.host, api.namespace]) await cloud.cut(namespace);
  const { enforced } = await host.agent.until(({ source }) => source.problems.join().includes('expired'));
  expect(enforced).toBe(true);
  await until({
    what: `${api.name} to say that its certificate has expired`,
    probe: async () => askOne(api.socket, 'GET', '/health'),
    check: (answer) => {
      expect(answer?.status).toBe(503);
      expect(JSON.stringify(answer?.body)).toContain('expired');
    },
    said: () => '',
  });
  cloud.renew(host.pair, host.name);
  cloud.renew(api.pair, 'root');
}
