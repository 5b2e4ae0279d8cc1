/** `kill -9` of the API under eight writers: every acknowledged write is there, every other one is whole or absent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { eventually } from '../../support/waiting.js';

const MAIN = 'dist/bin/portcullis.js';
const ROUNDS = 8;
const WRITERS = 8;
/** After the first acknowledged write of a round; in milliseconds. */
const MOST_LIFE = 150;

const folder = mkdtempSync(join(tmpdir(), 'portcullis-killed-'));
const store = join(folder, 'store');
let current: ChildProcess | undefined;
afterAll(() => {
  current?.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** @returns its address, when it listens. */
async function start(): Promise<string> {
  const child = spawn(
    process.execPath,
    [MAIN, 'api', '--listen', '127.0.0.1:0', '--store', store, '--rate', '1000000'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  current = child;
  let output = '';
  return new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const address = /"address":"(http[^"]+)"/.exec(output)?.[1];
      if (address !== undefined) resolve(address);
    });
    child.once('exit', () => {
      reject(new Error(`the API ended: ${output.slice(-500)}`));
    });
  });
}

async function kill(): Promise<void> {
  const ended = new Promise((resolve) => current?.once('exit', resolve));
  current?.kill('SIGKILL');
  await ended;
}

async function post(url: string, path: string, body: object): Promise<boolean> {
  try {
    const response = await fetch(`${url}/v2.0/${path}`, {
      method: path.startsWith('quotas') ? 'PUT' : 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    await response.text();
    return response.ok;
  } catch {
    return false;
  }
}

async function list(url: string, path: string): Promise<readonly Readonly<Record<string, string>>[]> {
  const response = await fetch(`${url}/v2.0/${path}`);
  return (
    Object.values(
      (await response.json()) as Readonly<Record<string, readonly Readonly<Record<string, string>>[]>>,
    )[0] ?? []
  );
}

it('again and again', async () => {
  const lives = fc.sample(fc.integer({ min: 0, max: MOST_LIFE }), ROUNDS);
  const acknowledged: string[] = [];
  let url = await start();
  await post(url, 'quotas/default', { quota: { security_group: -1, security_group_rule: -1 } });
  for (const [round, life] of lives.entries()) {
    let isOver = false;
    const writing = Array.from({ length: WRITERS }, async (_none, writer) => {
      for (let number = 0; !isOver; number++) {
        const name = `${round.toString()}-${writer.toString()}-${number.toString()}`;
        // Two groups with two rules each: six objects that come together.
        const pair = { security_groups: [{ name: `${name}-a` }, { name: `${name}-b` }] };
        if (await post(url, 'security-groups', pair)) acknowledged.push(name);
      }
    });
    const before = acknowledged.length;
    await eventually(() => acknowledged.length > before);
    await setTimeout(life);
    isOver = true;
    await kill();
    await Promise.all(writing);
    url = await start();
  }
  const groups = await list(url, 'security-groups?fields=id&fields=name');
  const names = new Set(groups.map(({ name }) => name));
  expect(acknowledged.length).toBeGreaterThanOrEqual(ROUNDS);
  expect(acknowledged.filter((name) => !names.has(`${name}-a`) || !names.has(`${name}-b`))).toEqual([]);
  const torn = [...names].filter(
    (name) => /-[ab]$/.test(name ?? '') && !names.has(name?.replace(/[ab]$/, (end) => (end === 'a' ? 'b' : 'a'))),
  );
  expect(torn).toEqual([]);
  const rules = new Map<string, number>();
  for (const { security_group_id: id = '' } of await list(url, 'security-group-rules?fields=security_group_id')) {
    rules.set(id, (rules.get(id) ?? 0) + 1);
  }
  const wrong = groups.filter(({ id = '', name }) => rules.get(id) !== (name === 'default' ? 4 : 2));
  expect(wrong).toEqual([]);
  process.stdout.write(
    `killed ${ROUNDS.toString()} times: ${acknowledged.length.toString()} acknowledged writes, all there\n`,
  );
});
