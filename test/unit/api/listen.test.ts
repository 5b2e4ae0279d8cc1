/** What the API listens on, and what it says of itself. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Api, ListenError } from '../../../src/api/api.js';
import { noAuthentication } from '../../../src/api/auth/none.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import { TestApi } from '../../support/api.js';

let folder: string;
let api: Api;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-listen-'));
});
afterEach(async () => {
  await api.close();
  rmSync(folder, { recursive: true });
});

async function on(path: string): Promise<Api> {
  api = await Api.open({
    listen: { kind: 'unix', path },
    store: await LmdbStore.open(join(folder, 'store')),
    authenticator: noAuthentication,
    tokens: undefined,
    agentToken: undefined,
    tls: undefined,
    computeHost: undefined,
    rate: 1000,
    log: pino({ level: 'silent' }),
  });
  return api;
}

const listening = async (path: string): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.destroy();
    }).listen(path, () => {
      resolve(server);
    });
  });

it('a file at the path of the socket is left alone', async () => {
  const path = join(folder, 'precious');
  writeFileSync(path, 'data');
  await expect((await on(path)).listen()).rejects.toThrow(ListenError);
  expect(readFileSync(path, 'utf8')).toBe('data');
});

it('a living socket is not taken; a dead one is, and is for its owner alone', async () => {
  const path = join(folder, 'socket');
  const other = await listening(path);
  await expect((await on(path)).listen()).rejects.toThrow(/another process listens/);
  expect(existsSync(path)).toBe(true);
  await new Promise((resolve) => other.close(resolve));
  await api.close();
  // What a dead process leaves.
  const { execFileSync } = await import('node:child_process');
  const script = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  expect(() => execFileSync(process.execPath, ['-e', script, path], { stdio: 'ignore' })).toThrow();
  expect(existsSync(path)).toBe(true);
  await (await on(path)).listen();
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it('health says whether the store takes changes, and how far followers are; metrics the same in numbers', async () => {
  await on(join(folder, 'socket'));
  const test = await TestApi.open();
  await test.group('web');
  const { status, body } = await test.get('/health-check');
  expect([status, body]).toMatchObject([404, {}]);
  const health = await test.app.inject({ url: '/health' });
  expect([health.statusCode, health.json()]).toMatchObject([
    200,
    { status: 'ok', store: { readable: true, writable: true }, followers: { count: 0, behind: 0 } },
  ]);
  const metrics = await test.app.inject({ url: '/metrics' });
  expect(metrics.body).toContain('portcullis_api_objects{kind="security_group"} 2');
  expect(metrics.body).toContain('portcullis_api_store_writable 1');
  expect(metrics.body).toMatch(/portcullis_api_answers_total\{code="201"\} \d+/);
});
