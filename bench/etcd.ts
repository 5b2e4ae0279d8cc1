/**
 * `npm run bench`, fourth part: a real agent that follows a real etcd, in a network namespace of its own: its memory in a small and in a large cloud,
 * one more member of 100 000, and what it does when it was away. See bench/README.md and docs/scale.md.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { applyText } from '../agent/kernel/nft.js';
import { programPath } from '../agent/programs.js';
import { Database } from '../src/api/database.js';
import type { Writer } from '../src/api/writer.js';
import { EtcdStore } from '../src/api/store/etcd.js';
import { parseEtcdAddress } from '../src/etcd/address.js';
import { EtcdClient } from '../src/etcd/client.js';
import type { Compare, Operation } from '../src/etcd/messages.js';
import { EMPTY_TOPOLOGY } from '../compiler/model/index.js';
import { EtcdSource } from '../src/sources/etcd/index.js';
import { writeReport } from '../src/sources/etcd/reports.js';
import { CutProxy } from '../test/support/cut-proxy.js';
import { Etcd, etcdPrograms } from '../test/client/lab/etcd.js';
import { eventually, progressing } from '../test/support/waiting.js';
import { median } from './document.js';
import { say, Table } from './report.js';
import { askMembers, increase } from './scale/members.js';
import {
  Cloud,
  groupId,
  groupRecord,
  hostName,
  portId,
  portRecord,
  ruleRecord,
  type GroupSize,
} from './scale/cloud.js';

const MAIN = programPath('portcullis');
const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };
const MEMBERS = 100_000;
const RUNS = 21;
const AWAY_CHANGES = 10_000;
/** Ports of one commit. */
const AT_ONCE = 20_000;
/** In milliseconds. */
const LIMIT_FOR = 10_000;
/** For a heap to come to rest; in milliseconds. */
const REST = 15_000;

const ms = (value: number): string => `${value.toFixed(1)} ms`;

/** `portcullis agent` itself, in the namespace that we are in. */
class RealAgent {
  readonly #folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  readonly #child: ChildProcess;
  /** Of each transaction: how many changes, and when its line came. */
  readonly applied: { readonly changes: number; readonly at: number }[] = [];
  isStale = false;

  constructor(source: string, host: string) {
    const args = ['agent', '--source', source, '--host', host, '--datapath', 'routed', '--log-level', 'info'];
    this.#child = spawn(process.execPath, [MAIN, ...args, '--socket', join(this.#folder, 'sock')], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // As its unit.
      env: { ...process.env, NODE_OPTIONS: '--max-semi-space-size=2' },
    });
    if (this.#child.stderr === null) throw new Error('no log');
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const { msg, changes } = JSON.parse(line) as { readonly msg: string; readonly changes?: number };
      if (msg === 'applied') this.applied.push({ changes: changes ?? 0, at: performance.now() });
      if (msg.startsWith('the source cannot be used')) this.isStale = true;
      if (msg === 'the source is well again') this.isStale = false;
    });
  }

  /** Waits for one transaction more than there were, for as long as it does anything. */
  async applies(count: number): Promise<void> {
    await progressing(
      () => 'the agent to load rules',
      () => this.applied.length > count,
      () => readFileSync(`/proc/${String(this.#child.pid)}/stat`, 'utf8'),
    );
  }

  /** Of its processor time so far; in milliseconds, in steps of ten. */
  cpu(): number {
    const text = readFileSync(`/proc/${String(this.#child.pid)}/stat`, 'utf8');
    // proc(5): utime and stime are the 14th and 15th field; the name, the 2nd, may have spaces.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return 10 * (Number(fields[11]) + Number(fields[12]));
  }

  /** In bytes. */
  memory(): number {
    const text = readFileSync(`/proc/${String(this.#child.pid)}/status`, 'utf8');
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? Number.NaN);
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
    rmSync(this.#folder, { recursive: true });
    spawnSync('nft', ['flush', 'ruleset']);
  }
}

async function withStore(work: (etcd: Etcd, database: Database) => Promise<void>): Promise<void> {
  const etcd = await Etcd.start({ more: ['--quota-backend-bytes=8589934592'] });
  const database = await Database.open(await EtcdStore.open(parseEtcdAddress(etcd.url()), {}), () => undefined);
  try {
    await work(etcd, database);
  } finally {
    await database.close();
    await etcd.end();
  }
}

async function putCloud(database: Database, cloud: Cloud): Promise<void> {
  let [from, ports] = [0, 0];
  for (let group = 0; group < cloud.groupCount; group++) {
    ports += cloud.sizes[group] ?? 0;
    if (ports < AT_ONCE && group < cloud.groupCount - 1) continue;
    const first = from;
    await database.change(NOBODY, (writer) => {
      cloud.putGroups(writer, first, group + 1);
    });
    [from, ports] = [group + 1, 0];
  }
}

async function memory(): Promise<void> {
  const table = new Table('an agent with 100 ports', [
    { name: 'groups' },
    { name: 'ports of the cloud' },
    { name: 'ports that the agent knows' },
    { name: 'its memory', unit: 'MiB', digits: 1 },
  ]);
  const sizes: readonly (readonly [string, readonly GroupSize[]])[] = [
    ['of 10', [{ size: 10, share: 1 }]],
    [
      'of 10 to 1 000',
      [
        { size: 10, share: 5 },
        { size: 100, share: 3 },
        { size: 1000, share: 2 },
      ],
    ],
  ];
  for (const [name, groupSizes] of sizes) {
    for (const hosts of [1, 1000]) {
      await withStore(async (etcd, database) => {
        const cloud = new Cloud({ hosts, ports: 100, groupSizes, seed: 1 });
        await putCloud(database, cloud);
        const agent = new RealAgent(etcd.url(), hostName(0));
        await agent.applies(0);
        await setTimeout(REST);
        const groups = cloud.groupsByHost()[0] ?? new Set();
        const known = [...groups].reduce((sum, group) => sum + (cloud.sizes[group] ?? 0), 0);
        table.row(name, cloud.portCount, known, agent.memory() / 1024 / 1024);
        await agent.end();
      });
    }
  }
}

/** Group 0 has many members; host 1 has a port whose group names them, host 2 one whose does not. */
function putMany(writer: Writer, from: number, to: number): void {
  if (from === 0) {
    for (const group of [0, 1, 2]) {
      writer.put('security_group', groupRecord(group));
      for (let rule = 0; rule < 4; rule++) {
        const record = ruleRecord(group, rule);
        writer.put(
          'security_group_rule',
          rule === 2 && group === 1 ? { ...record, remote_group_id: groupId(0) } : record,
        );
      }
    }
    for (const host of [1, 2]) writer.put('port', portRecord(2 * MEMBERS + host, host, host));
  }
  for (let port = from; port < to; port++) writer.put('port', portRecord(port, 0, 3 + (port % 1000)));
}

async function oneMore(): Promise<void> {
  await withStore(async (etcd, database) => {
    for (let from = 0; from < MEMBERS; from += AT_ONCE) {
      await database.change(NOBODY, (writer) => {
        putMany(writer, from, from + AT_ONCE);
      });
    }
    const [near, far] = [await CutProxy.start(etcd.url()), await CutProxy.start(etcd.url())];
    const began = performance.now();
    const agent = new RealAgent(near.url, hostName(1));
    const other = new EtcdSource(parseEtcdAddress(far.url), {}, hostName(2));
    other.start(
      () => undefined,
      () => EMPTY_TOPOLOGY,
    );
    await agent.applies(0);
    const started = performance.now() - began;
    await setTimeout(REST);
    const [bytes, others, kernel, commits]: [number[], number[], number[], number[]] = [[], [], [], []];
    const floors: number[] = [];
    const cpu = agent.cpu();
    for (let run = 0; run < RUNS; run++) {
      const [before, beforeFar, count] = [near.said, far.said, agent.applied.length];
      const start = performance.now();
      await database.change(NOBODY, (writer) => {
        writer.put('port', portRecord(MEMBERS + run, 0, 5));
      });
      const committed = performance.now();
      await agent.applies(count);
      await setTimeout(500);
      bytes.push(near.said - before);
      others.push(far.said - beforeFar);
      commits.push(committed - start);
      kernel.push((agent.applied[count]?.at ?? Number.NaN) - committed);
      // Side by side: what one element costs, whoever sends it.
      const floor = performance.now();
      await applyText('create table inet floor\ndelete table inet floor\n');
      floors.push(performance.now() - floor);
    }
    const each = (agent.cpu() - cpu) / RUNS;
    say(
      `\nOne more of ${MEMBERS} members, medians of ${RUNS} (the least where a look at nothing new may come between):`,
    );
    say(
      `to an agent that uses the group ${Math.min(...bytes)} bytes (median ${median(bytes)}), to one that does not ${Math.min(...others)};`,
    );
    say(
      `the commit takes ${ms(median(commits))}, from there to the kernel ${ms(median(kernel))} (least ${ms(Math.min(...kernel))}, most ${ms(Math.max(...kernel))}).`,
    );
    say(
      `Of that the agent's own processor time is ${ms(each)}; beside it, nft alone with a transaction of nothing takes ${ms(median(floors))}.`,
    );
    say(
      `The agent that knows them had them in the kernel ${ms(started)} after its start. Its memory: ${(agent.memory() / 1024 / 1024).toFixed(1)} MiB`,
    );
    other.stop();
    await agent.end();
    await near.end();
    await far.end();
  });
}

/** Away during many changes and a compaction: what the kernel is told when it is back. */
async function away(): Promise<void> {
  await withStore(async (etcd, database) => {
    const cloud = new Cloud({ hosts: 20, ports: 20, groupSizes: [{ size: 200, share: 1 }], seed: 1 });
    await putCloud(database, cloud);
    const proxy = await CutProxy.start(etcd.url());
    const agent = new RealAgent(proxy.url, hostName(0));
    await agent.applies(0);
    await proxy.refuse();
    await eventually(() => agent.isStale);
    for (let made = 0; made < AWAY_CHANGES; made += 100) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) =>
          database.change(NOBODY, (writer) => {
            // Each is deleted, and put back by a later change.
            const port = Math.floor((made + index) / 2) % cloud.portCount;
            if (index % 2 === 0) writer.delete('port', portId(port));
            else writer.put('port', cloud.portRecord(port));
          }),
        ),
      );
    }
    await database.change(NOBODY, (writer) => {
      writer.put('port', portRecord(cloud.portCount, 0, 5));
    });
    etcd.compact();
    const monitor = spawn('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let notices = '';
    monitor.stdout.on('data', (chunk: Buffer) => (notices += chunk.toString()));
    await setTimeout(1000);
    const count = agent.applied.length;
    const start = performance.now();
    await proxy.accept();
    await agent.applies(count);
    const took = (agent.applied[count]?.at ?? Number.NaN) - start;
    await setTimeout(3000);
    monitor.kill('SIGKILL');
    const lines = notices.trim().split('\n');
    const transactions = lines.filter((line) => line.startsWith('# new generation')).length;
    const steps = agent.applied.slice(count).map(({ changes }) => changes);
    say(
      `\nAway during ${AWAY_CHANGES} changes and a compaction, which leave one new member: ${transactions} transaction of the kernel, ${steps.join(' and ')} step, ${lines.length - transactions} notice, ${ms(took)} after etcd could be reached again.`,
    );
    await agent.end();
    await proxy.end();
  });
}

/** What members do for a host's report, and for its question whether anything is missing: CPU, so that a busy machine says the same. */
async function limits(): Promise<void> {
  const etcd = await Etcd.start({ members: 3 });
  const prefix = '/portcullis/';
  const clients = [0, 1, 2].map((first) => new EtcdClient(parseEtcdAddress(etcd.url(first)), {}));
  const key = (mark: number): Buffer => Buffer.from(`${prefix}view/groups/${groupId(mark)}/`);
  const report = {
    version: '0.1.0',
    revision: 1,
    enforced: true,
    trouble: null,
    ports: 100,
    refused: [],
    isolated: 0,
    drift: 0,
  };
  const marks = (count: number): readonly Compare[] =>
    Array.from({ length: count }, (_, mark) => ({ result: 'EQUAL', target: 'MOD', key: key(mark), mod_revision: 0 }));
  const head: Operation = { request_range: { key: Buffer.from(`${prefix}head`), serializable: true } };
  const asks = (count: number) => {
    const request = { compare: marks(count), success: [head], failure: [] };
    return async (client: EtcdClient): Promise<unknown> => client.txn(request);
  };
  const works = {
    'a report': async (client: EtcdClient, number: number): Promise<unknown> =>
      writeReport(client, prefix, hostName(number % 10_000), report),
    'a question of 10 marks': asks(10),
    'a question of 100 marks': asks(100),
  };
  const table = new Table('what members do', [
    { name: 'for' },
    { name: 'a second, 48 at once' },
    { name: 'CPU of 3 members for each', unit: 'ms', digits: 2 },
    { name: 'writes for each', digits: 2 },
  ]);
  for (const [name, work] of Object.entries(works)) {
    const before = await askMembers(etcd.url());
    const until = performance.now() + LIMIT_FOR;
    let done = 0;
    await Promise.all(
      Array.from({ length: 48 }, async (_, worker) => {
        const client = clients[worker % clients.length];
        while (client !== undefined && performance.now() < until) await work(client, done++);
      }),
    );
    // Leases of reports end, too.
    if (name === 'a report') await setTimeout(40_000);
    const after = await askMembers(etcd.url());
    const cpu = (1000 * increase(before, after, 'cpuSeconds')) / done;
    const writes = increase(before, after, 'proposals') / 3 / done;
    table.row(name, (1000 * done) / LIMIT_FOR, cpu, writes);
  }
  for (const client of clients) client.close();
  await etcd.end();
}

async function inside(): Promise<void> {
  spawnSync('ip', ['link', 'set', 'lo', 'up']);
  const [, , , only] = process.argv;
  const parts = { memory, 'one more': oneMore, away, limits };
  for (const [name, part] of Object.entries(parts)) if (only === undefined || only === name) await part();
  process.exit(0);
}

if (process.argv[2] === 'inside') await inside();
else if (process.getuid?.() !== 0) process.stdout.write('etcd: not run: it needs root, for a network namespace\n');
else {
  etcdPrograms();
  const args = ['-n', process.execPath, fileURLToPath(import.meta.url), 'inside', ...process.argv.slice(2)];
  process.exit(spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1);
}
