/** What the API listens on, and what it says of itself. */
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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
    version: '0',
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

describe('health, of a store that is not what was written there', () => {
  const DESCRIPTION = 'a text that is easily found';
  const made = async (): Promise<{ readonly test: TestApi; readonly file: string }> => {
    await on(join(folder, 'socket'));
    const test = await TestApi.open();
    await test.group('web', { description: DESCRIPTION });
    return { test, file: join(test.folder, 'data.mdb') };
  };
  const told = async (test: TestApi): Promise<unknown> => {
    const { statusCode } = await test.app.inject({ url: '/health' });
    const { body } = await test.app.inject({ url: '/health' });
    return [statusCode, JSON.parse(body)];
  };

  it('a byte of a record changed on the disk: it cannot be read, whatever is in memory', async () => {
    const { test, file } = await made();
    const content = readFileSync(file);
    const descriptor = openSync(file, 'r+');
    for (let at = content.indexOf(DESCRIPTION); at >= 0; at = content.indexOf(DESCRIPTION, at + 1)) {
      writeSync(descriptor, 'A', at);
    }
    closeSync(descriptor);
    expect(await told(test)).toMatchObject([
      503,
      {
        status: 'failing',
        store: {
          readable: false,
          writable: false,
          reason: expect.stringMatching(/security_group\/.* is not as it was written/) as string,
        },
      },
    ]);
    expect((await test.app.inject({ url: '/metrics' })).body).toContain('portcullis_api_store_readable 0');
  });

  it.each<[string, (file: string) => void]>([
    ['the file was taken away', (file) => rmSync(file)],
    [
      'another file is in its place',
      (file) => {
        renameSync(file, `${file}.old`);
        writeFileSync(file, readFileSync(`${file}.old`));
      },
    ],
  ])('%s: what would be written is lost with the process, so nothing is', async (_what, harm) => {
    const { test, file } = await made();
    harm(file);
    expect(await told(test)).toMatchObject([503, { store: { readable: false, writable: false } }]);
    const answer = await test.call('POST', '/security-groups', { security_group: { name: 'lost' } });
    expect(answer.status).toBe(503);
    expect((await test.get('/security-groups?name=lost')).body).toEqual({ security_groups: [] });
  });

  it('records beyond the first look are looked at, too', async () => {
    const { test, file } = await made();
    const quota = { security_group: -1, security_group_rule: -1 };
    expect((await test.call('PUT', '/quotas/a', { quota })).status).toBe(200);
    for (let number = 0; number < 60; number++) await test.group(`group${number.toString()}`);
    const content = readFileSync(file);
    const last =
      [...test.database.view.all('security_group_rule')]
        .map(({ id }) => id)
        .sort()
        .at(-1) ?? '';
    const descriptor = openSync(file, 'r+');
    const key = `security_group_rule/${last}`;
    // Behind the key stands the checksum of the record.
    for (let at = content.indexOf(key); at >= 0; at = content.indexOf(key, at + 1)) {
      const digest = /[0-9a-f]{32} \{/.exec(content.subarray(at, at + 200).toString('latin1'));
      if (digest !== null) writeSync(descriptor, 'x', at + digest.index);
    }
    closeSync(descriptor);
    const look = (): void => {
      test.database.look();
    };
    expect(() => {
      for (let time = 0; time < 10; time++) look();
    }).toThrow(/is not as it was written/);
  });
});
