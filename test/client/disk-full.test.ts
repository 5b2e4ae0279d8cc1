/** A disk that is full: nothing that was acknowledged is lost, reading goes on, and it heals by itself when there is room. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { lastLines, until, within } from '../support/waiting.js';

/** Without authentication nothing else is taken: a browser cannot send it for another site. */
const JSON_BODY = { 'content-type': 'application/json' };

const MAIN = 'dist/bin/portcullis.js';

const disk = mkdtempSync(join(tmpdir(), 'portcullis-disk-'));
let api: ChildProcess | undefined;
let url = '';

const mount = (...args: readonly string[]): void => {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
};

let output = '';
const said = (): string => lastLines(output);

async function start(): Promise<void> {
  const from = output.length;
  const child = spawn(process.execPath, [MAIN, 'api', '--store', join(disk, 'store'), '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  api = child;
  child.once('exit', (code, signal) => (output += `exit ${String(code)} ${String(signal)}\n`));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  url = await until({
    what: 'the API to listen',
    probe: () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${said()}`);
      return /"address":"(http[^"]+)"/.exec(output.slice(from))?.[1] ?? '';
    },
    check: (answer) => expect(answer).not.toBe(''),
    said,
  });
}

async function kill(): Promise<void> {
  if (api === undefined) return;
  const ended = new Promise((resolve) => api?.once('exit', resolve));
  api.kill('SIGKILL');
  await within('the API to end', ended, said);
  api = undefined;
}

beforeAll(async () => {
  mount('-t', 'tmpfs', '-o', 'size=1200k', 'tmpfs', disk);
  await start();
}, 0);
afterAll(async () => {
  try {
    await kill();
  } finally {
    spawnSync('umount', ['-l', disk]);
    rmSync(disk, { recursive: true, force: true });
  }
}, 0);

/** Asks the API; it has to answer. */
async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await within(
      `${init.method ?? 'GET'} ${path} to be answered`,
      fetch(`${url}${path}`, { headers: JSON_BODY, ...init }),
      said,
    );
  } catch (error) {
    throw new Error(`the API does not answer; it said last:\n${said()}`, { cause: error });
  }
}

async function post(name: string): Promise<number> {
  const body = JSON.stringify({ security_group: { name, description: 'x'.repeat(200) } });
  const response = await ask('/v2.0/security-groups', { method: 'POST', body });
  await response.text();
  return response.status;
}

async function names(): Promise<readonly string[]> {
  const response = await ask('/v2.0/security-groups?fields=name');
  const { security_groups: groups } = (await response.json()) as {
    readonly security_groups: readonly { readonly name: string }[];
  };
  return groups
    .map(({ name }) => name)
    .filter((name) => name !== 'default')
    .sort();
}

async function health(): Promise<readonly [number, unknown]> {
  const response = await ask('/health');
  return [response.status, await response.json()];
}

it('is full, and then is not', async () => {
  await ask('/v2.0/quotas/default', {
    method: 'PUT',
    body: JSON.stringify({ quota: { security_group: -1, security_group_rule: -1 } }),
  });
  const kept: string[] = [];
  // A commit that does not fit leaves room in which a smaller one may: full is when several in a row do not.
  let refused = 0;
  for (let number = 0; refused < 5 && number < 5000; number++) {
    const name = `group${number.toString().padStart(4, '0')}`;
    const status = await post(name);
    expect([201, 503]).toContain(status);
    if (status === 201) kept.push(name);
    refused = status === 201 ? 0 : refused + 1;
  }
  expect(refused).toBe(5);
  expect(kept.length).toBeGreaterThan(10);
  expect(await names()).toEqual(kept);
  expect(await health()).toMatchObject([
    503,
    {
      status: 'failing',
      store: { readable: true, writable: false, reason: expect.stringMatching(/no room/) as string },
    },
  ]);
  mount('-o', 'remount,size=8m', disk);
  expect(await post('more')).toBe(201);
  await until({
    what: 'the API to be well again',
    probe: health,
    check: (answer) => expect(answer).toMatchObject([200, { store: { readable: true, writable: true } }]),
    said,
  });
  await kill();
  await start();
  expect(await names()).toEqual([...kept, 'more']);
});
