/** `portcullis api` and its kin as they are typed: what is refused, and how. */
import { execFileSync, spawn } from 'node:child_process';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../support/waiting.js';
import { isPassword } from '../../../src/api/auth/password.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import { CommandError } from '../../../src/cli/errors.js';
import { EXIT } from '../../../src/cli/exit-codes.js';
import { parse } from '../../../src/cli/run.js';

const MAIN = 'dist/bin/portcullis.js';
const folder = mkdtempSync(join(tmpdir(), 'portcullis-cli-'));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function run(...args: readonly string[]): Promise<{ readonly exit: number; readonly says: string }> {
  const { exitCode, stderr } = await execa(process.execPath, [MAIN, ...args], { reject: false });
  return { exit: exitCode ?? -1, says: stderr };
}

/** Without a process, for what means nothing; daemons make a log of standard error before they know. */
async function refusal(args: readonly string[]): Promise<{ readonly exit: number; readonly says: string }> {
  if (['api', 'agent'].includes(args[0] ?? '')) return run(...args);
  const error: unknown = await parse(args).catch((why: unknown) => why);
  if (!(error instanceof CommandError)) throw new Error(`not refused: ${args.join(' ')}`, { cause: error });
  return { exit: error.exitCode, says: error.message };
}

describe('refused', () => {
  beforeAll(() => {
    writeFileSync(at('open.yaml'), 'projects: [{ id: p, name: p }]', { mode: 0o644 });
    mkdirSync(at('shared'), { mode: 0o755 });
    writeFileSync(at('shared/token'), '0123456789abcdef', { mode: 0o644 });
    symlinkSync(at('shared/token'), at('link'));
    linkSync(at('shared/token'), at('other-name'));
    writeFileSync(at('short'), 'short', { mode: 0o600 });
    // In a folder that nobody else may enter.
    writeFileSync(at('short-for-all'), 'short', { mode: 0o644 });
    writeFileSync(at('text'), 'text');
  });

  it.each<[readonly string[], number, RegExp]>([
    [['api'], 64, /store/],
    [['api', '--store', at('s'), '--listen', '0.0.0.0:9696'], 64, /--auth none: only with a loopback address/],
    [['api', '--store', at('s'), '--listen', 'here'], 64, /--listen: "here" is no address/],
    [['api', '--store', at('s'), '--listen', '127.0.0.1:70000'], 64, /--listen/],
    [['api', '--store', at('s'), '--auth', 'magic'], 64, /valid is none, tokens:FILE or keystone:URL/],
    [['api', '--store', at('s'), '--auth', 'keystone:controller'], 64, /--auth/],
    [['api', '--store', at('s'), '--auth', `tokens:${at('nothing')}`], 1, /nothing/],
    [['api', '--store', at('s'), '--auth', `tokens:${at('open.yaml')}`], 1, /mode 0600/],
    [['api', '--store', at('s'), '--tls-cert', at('text')], 64, /both or none/],
    [['api', '--store', at('s'), '--tls-cert', at('text'), '--tls-key', at('nothing')], 1, /--tls-key/],
    [['api', '--store', at('s'), '--rate', '0'], 64, /--rate/],
    [['api', '--store', at('s'), '--etcd-ca', at('text')], 64, /--etcd-ca: only with a store in etcd/],
    [['api', '--store', 'etcd:http://192.0.2.1:2379'], 64, /--store: .*without TLS/],
    [['api', '--store', 'etcd:https://localhost:1', '--etcd-key', at('text')], 64, /--etcd-cert and --etcd-key: both/],
    [['api', '--store', 'etcd:https://localhost:1', '--etcd-ca', at('nothing')], 1, /nothing/],
    [['wait', '--api', 'http://127.0.0.1:1', '--latest'], 1, /127.0.0.1:1/],
    [['wait', '--latest', '--revision', '1'], 64, /--revision and --latest: valid is one of them/],
    [['wait', '--revision', '-1'], 64, /--revision: -1 is no revision/],
    [['wait', '--latest', '--timeout', 'x'], 64, /--timeout/],
    [['hosts', '--api', 'http://127.0.0.1:1'], 1, /127.0.0.1:1/],
    [['api', '--store', at('s'), '--agent-token', at('short')], 1, /--agent-token: the token is shorter/],
    [['api', '--store', at('s'), '--agent-token', at('short-for-all')], 1, /--agent-token: the token is shorter/],
    ...['shared/token', 'link', 'other-name'].map((name): [string[], number, RegExp] => [
      ['api', '--store', at('s'), '--agent-token', at(name)],
      1,
      new RegExp(`--agent-token: .*mode 0600 \\(chmod 600 "${at(name)}"\\)`),
    ]),
    [['api', '--store', at('text')], 1, /text/],
    [['import', '--store', at('s')], 64, /valid is a topology, or a Neutron/],
    [['import', '--store', at('s'), '-t', at('text'), '--os-cloud', 'x'], 64, /valid is a topology, or a Neutron/],
    [['import', '--store', at('s'), '--os-cloud', 'x', '--token-file', at('text')], 64, /--token-file: not with/],
    [['agent', '--source', 'file:/x', '--metrics', '127.0.0.1:70000'], 64, /--metrics: .* is not HOST:PORT/],
    [['import', '--store', at('s'), '-t', at('nothing')], 1, /nothing/],
    [['export'], 64, /valid is one of them/],
    [['export', '--store', at('nothing')], 1, /nothing/],
    [['export', '--api', 'http://127.0.0.1:1'], 1, /127\.0\.0\.1:1/],
    [['backup', at('b')], 64, /valid is one of them/],
    [['restore', '--store', at('s'), at('text')], 1, /text/],
    [['agent'], 64, /--source and --api: valid is one of them/],
  ])('%j', async (args, exit, says) => {
    const answer = await (exit === 64 ? refusal(args) : run(...args));
    expect([answer.exit, answer.says.trim().split('\n').length]).toEqual([exit, 1]);
    expect(answer.says).toMatch(says);
  });

  it('a store that somebody serves', async () => {
    const store = await LmdbStore.open(at('served'));
    expect(await run('api', '--store', at('served'), '--listen', '127.0.0.1:0')).toMatchObject({
      exit: 1,
      says: expect.stringMatching(/another process serves this store/) as string,
    });
    await store.close();
  });
});

it('hash-password: prints what the file of users takes, and nothing for nothing', async () => {
  const hash = async (input: string): Promise<readonly [number | null, string]> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [MAIN, 'api', 'hash-password'], { stdio: ['pipe', 'pipe', 'ignore'] });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      child.once('close', (code) => {
        resolve([code, output.trim()]);
      });
      child.stdin.end(input);
    });
  const [code, printed] = await hash('a secret\n');
  expect([code, await isPassword('a secret', printed)]).toEqual([0, true]);
  expect(await hash('')).toEqual([1, '']);
});

it('backup: its owner alone may read it, whatever is in the way; what is no file is left alone', async () => {
  writeFileSync(at('one.json'), JSON.stringify({ networks: [{ id: randomUUID() }] }));
  expect((await run('import', '--store', at('of-backup'), '-t', at('one.json'))).says).toContain('imported');
  const backUp = async (name: string): Promise<number> =>
    (await run('backup', '--store', at('of-backup'), at(name))).exit;
  writeFileSync(at('open.json.new'), '', { mode: 0o644 });
  expect(await backUp('open.json')).toBe(0);
  expect(statSync(at('open.json')).mode & 0o777).toBe(0o600);
  writeFileSync(at('of-others'), 'precious');
  symlinkSync(at('of-others'), at('led.json.new'));
  expect(await backUp('led.json')).toBe(0);
  expect([lstatSync(at('led.json')).isFile(), readFileSync(at('of-others'), 'utf8')]).toEqual([true, 'precious']);
  execFileSync('mkfifo', [at('pipe')]);
  expect([await backUp('pipe'), lstatSync(at('pipe')).isFIFO()]).toEqual([EXIT.inputOutput, true]);
});

it('on a unix socket; backed up while it is at work; ended by SIGTERM with 0', async () => {
  const socket = at('api.sock');
  const start = async (store: string): Promise<ReturnType<typeof spawn>> => {
    const child = spawn(process.execPath, [MAIN, 'api', '--store', at(store), '--listen', `unix:${socket}`], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(() => output.includes('the API listens'));
    return child;
  };
  const ask = async (method: string, path: string, body?: object): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ socketPath: socket, method, path }, (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () => {
          resolve(text);
        });
      });
      asked.once('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const end = async (child: ReturnType<typeof spawn>): Promise<number | null> => {
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    return ended;
  };
  const first = await start('one');
  await ask('POST', '/v2.0/security-groups', { security_group: { name: 'kept' } });
  expect((await run('backup', '--store', at('one'), at('b.json'))).exit).toBe(0);
  expect(statSync(at('b.json')).mode & 0o777).toBe(0o600);
  expect(await end(first)).toBe(0);
  expect((await run('restore', '--store', at('two'), at('b.json'))).exit).toBe(0);
  expect((await run('restore', '--store', at('two'), at('b.json'))).exit).toBe(1);
  const second = await start('two');
  expect(await ask('GET', '/v2.0/security-groups?name=kept&fields=name')).toBe('{"security_groups":[{"name":"kept"}]}');
  expect(await end(second)).toBe(0);
});
