/** Several processes of the API on one etcd: what one was told is there, the other knows, whoever dies meanwhile. */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { atExit } from '../support/at-exit.js';
import { progressing } from '../support/waiting.js';
import { step } from '../support/progress.js';
import { Etcd } from './lab/etcd.js';

const MAIN = 'dist/bin/portcullis.js';
/** Of each run; a long one: PORTCULLIS_OPERATIONS=100000. */
const OPERATIONS = Number(process.env['PORTCULLIS_OPERATIONS'] ?? '1500');
const CLIENTS = 8;

const toEnd: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of toEnd.splice(0).reverse()) await end();
});

class ApiProcess {
  #child: ChildProcess | undefined;
  url = '';

  constructor(private readonly store: string) {}

  async start(): Promise<void> {
    const args = ['api', '--listen', '127.0.0.1:0', '--store', this.store, '--rate', '1000000'];
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    const forget = atExit(() => child.kill('SIGKILL'));
    child.once('exit', forget);
    let output = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        output = `${output}${chunk.toString()}`.slice(-10_000);
        const address = /"address":"(http[^"]+)"/.exec(output)?.[1];
        if (address === undefined) return;
        this.url = address;
        resolve();
      });
      child.once('exit', () => {
        reject(new Error(`the API ended: ${output.slice(-500)}`));
      });
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

async function api(store: string): Promise<ApiProcess> {
  const started = new ApiProcess(store);
  toEnd.push(async () => started.kill());
  await started.start();
  return started;
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

async function ask(url: string, method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${url}/v2.0/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Answer['body']) };
}

it('what one process was told, the other knows at once, and neither makes what the other has made', async () => {
  const etcd = await Etcd.start();
  toEnd.push(async () => etcd.end());
  const both = await Promise.all([api(etcd.url()), api(etcd.url())]);
  const [one, other] = both;
  // Templates are made once, whichever of two first starts is first.
  const templates = (await ask(one.url, 'GET', 'default-security-group-rules')).body;
  expect(Object.values(templates)[0]).toHaveLength(4);
  for (let round = 0; round < 20; round++) {
    const [here, there] = round % 2 === 0 ? [one, other] : [other, one];
    const made = await ask(here.url, 'POST', 'security-groups', { security_group: { name: `g${round}` } });
    const id = String(made.body['security_group']?.['id']);
    expect((await ask(there.url, 'GET', `security-groups/${id}`)).status).toBe(200);
    const rule = { security_group_rule: { security_group_id: id, direction: 'ingress', protocol: 'tcp' } };
    expect((await ask(there.url, 'POST', 'security-group-rules', rule)).status).toBe(201);
    expect((await ask(here.url, 'POST', 'security-group-rules', rule)).status).toBe(409);
    expect((await ask(here.url, 'DELETE', `security-groups/${id}`)).status).toBe(204);
    expect((await ask(there.url, 'GET', `security-groups/${id}`)).status).toBe(404);
  }
  // A project's default group is made by whoever is asked first, once.
  const lists = await Promise.all(
    both.map(async ({ url }) => (await ask(url, 'GET', 'security-groups?name=default')).body['security_groups']),
  );
  expect(lists[0]).toHaveLength(1);
  expect(lists[1]).toEqual(lists[0]);
});

interface Operation {
  readonly kind: 'read' | 'write';
  readonly begun: number;
  readonly ended: number;
  /** The revision that was written, or seen. */
  readonly revision: number;
  readonly value: string;
}

/**
 * Whether the operations on one record can be put in an order that each of them agrees with: that of their revisions is the only
 * candidate, since each write makes a newer one. It must not put anything before what had ended when it began.
 */
function contradictions(operations: readonly Operation[]): readonly string[] {
  const wrong: string[] = [];
  const values = new Map<number, string>();
  const writes = new Set<number>();
  for (const { kind, revision, value } of operations) {
    const known = values.get(revision);
    if (known !== undefined && known !== value) wrong.push(`revision ${revision} is ${known} and ${value}`);
    values.set(revision, value);
    if (kind !== 'write') continue;
    if (writes.has(revision)) wrong.push(`revision ${revision} was made twice`);
    writes.add(revision);
  }
  const byEnd = [...operations].sort((a, b) => a.ended - b.ended);
  let next = 0;
  let newest = -1;
  for (const operation of [...operations].sort((a, b) => a.begun - b.begun)) {
    for (; (byEnd[next]?.ended ?? Infinity) < operation.begun; next++) {
      newest = Math.max(newest, byEnd[next]?.revision ?? -1);
    }
    const isLate = operation.kind === 'write' ? operation.revision <= newest : operation.revision < newest;
    if (isLate) wrong.push(`${operation.kind} of revision ${operation.revision} began when ${newest} was known`);
  }
  return wrong;
}

it('the checker finds what is no order', () => {
  const read = (begun: number, revision: number, value = 'a'): Operation => ({
    kind: 'read',
    begun,
    ended: begun + 1,
    revision,
    value,
  });
  expect(contradictions([read(0, 1), read(2, 2, 'b')])).toEqual([]);
  expect(contradictions([read(0, 2, 'b'), read(2, 1)])).toHaveLength(1);
  expect(contradictions([read(0, 1), read(0, 1, 'b')])).toHaveLength(1);
  const write: Operation = { kind: 'write', begun: 5, ended: 6, revision: 2, value: 'b' };
  expect(contradictions([read(0, 2, 'b'), write])).toHaveLength(1);
  expect(contradictions([write, write])).toHaveLength(1);
});

it('reads and writes of two processes are linearizable, while the leader of etcd and a process of the API are killed', async () => {
  const etcd = await Etcd.start({ members: 3 });
  toEnd.push(async () => etcd.end());
  const apis = [await api(etcd.url(0)), await api(etcd.url(1))];
  const [first] = apis;
  const made = await ask(first?.url ?? '', 'POST', 'security-groups', { security_group: { name: 'shared' } });
  const id = String(made.body['security_group']?.['id']);
  const operations: Operation[] = [];
  let unknown = 0;
  let begun = 0;
  const path = `security-groups/${id}`;
  const client = async (number: number): Promise<void> => {
    for (let count = 0; begun < OPERATIONS; count++) {
      begun++;
      const isWrite = (count + number) % 2 === 0;
      const url = apis[(count + number) % 3 === 0 ? 0 : 1]?.url ?? '';
      const value = `${number}-${count}`;
      const start = performance.now();
      try {
        const { status, body } = isWrite
          ? await ask(url, 'PUT', path, { security_group: { description: value } })
          : await ask(url, 'GET', path);
        const group = body['security_group'];
        // A 503 says that it may have been done or not.
        if (status !== 200 || group === undefined) {
          expect([200, 503]).toContain(status);
          unknown++;
          continue;
        }
        operations.push({
          kind: isWrite ? 'write' : 'read',
          begun: start,
          ended: performance.now(),
          revision: Number(group['revision_number']),
          value: String(group['description']),
        });
        if (operations.length % 100 === 0) step(`${operations.length} operations`);
      } catch (error) {
        // The process was killed.
        if (!(error instanceof TypeError)) throw error;
        unknown++;
        await setTimeout(50);
      }
    }
  };
  const running = Promise.all(Array.from({ length: CLIENTS }, async (_none, number) => client(number)));
  const done = async (part: number): Promise<void> =>
    progressing(
      () => `${OPERATIONS * part} operations`,
      () => begun >= OPERATIONS * part,
      () => begun,
    );
  await done(0.2);
  const leader = etcd.leader();
  await etcd.kill(leader);
  await done(0.4);
  etcd.run(leader);
  await done(0.6);
  await apis[1]?.kill();
  await apis[1]?.start();
  await running;
  expect(contradictions(operations)).toEqual([]);
  expect(operations.length).toBeGreaterThan(OPERATIONS / 2);
  process.stdout.write(`linearizable: ${operations.length} operations, ${unknown} without an answer\n`);
});
