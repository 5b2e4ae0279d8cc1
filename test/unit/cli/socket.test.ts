/** What is asked of an agent and not answered, or not by an agent: one line, and never the exit status of something else. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EXIT } from '../../../src/cli/exit-codes.js';

const MAIN = 'dist/bin/portcullis.js';

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-socket-'));
});
afterEach(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const path = (): string => join(folder, 'agent.sock');

/** Answers each question so. */
async function answering(answer: (socket: Socket) => void): Promise<void> {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      answer(socket);
    });
  });
  await new Promise<void>((resolve) => server?.listen(path(), resolve));
}

async function asked(...args: readonly string[]): Promise<readonly [number | undefined, string]> {
  const { exitCode, stderr } = await execa(process.execPath, [MAIN, ...args, '--socket', path()], { reject: false });
  return [exitCode, stderr];
}

const withHead = (body: string): string => `HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n${body}`;

it.each([
  ['status', ['status']],
  ['status --health', ['status', '--health']],
  ['accept', ['accept']],
  ['explain', ['explain', '--from', '10.0.0.1', '--to', '10.0.0.2', '--protocol', 'icmp']],
])('%s: an agent that ends in the middle of its answer has not answered', async (_what, args) => {
  await answering((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"host":', () => socket.destroy());
  });
  expect(await asked(...args)).toEqual([
    EXIT.invalidInput,
    `error: --socket: no agent answers at ${path()}: ECONNRESET`,
  ]);
});

it.each([
  ['is no JSON', 'hello'],
  ['says less than this version asks for', '{"source":{}}'],
])('an answer that %s is of no agent of this version, and no defect', async (_what, body) => {
  await answering((socket) => socket.end(withHead(body)));
  const [exitCode, stderr] = await asked('status');
  expect(exitCode).toBe(EXIT.invalidInput);
  expect(stderr).toContain(`--socket: what answers at ${path()} is no agent of this version: `);
});

it('stats goes on without names where no agent gives them', async () => {
  await answering((socket) => socket.end(withHead('hello')));
  // Whether the kernel may be asked is another question.
  expect((await asked('stats'))[1]).not.toContain('defect');
});

/** Clears the screen, and adds a line of its own. */
const EVIL = 'web\u001b[2J\nenforced\u009b31m';
const PORT = { id: 'p1', name: EVIL, device: 'tap1', isDevicePresent: true, state: 'enforced', since: '' };
const STATUS = {
  ...{ host: 'h', pid: 1, startedAt: '', datapath: 'routed', backend: 'nftables', audit: false, loaded: true },
  ...{ enforced: true, settled: true, overtaking: [], overlaps: [], markWriters: [], isolated: [], formerDevices: [] },
  ...{ notFiltered: [], source: { name: 'file:t', isHeld: false, problems: [] }, watching: { losses: 0 } },
  ...{ drift: { foreign: 0, found: 0 }, flows: { revoked: 0, restored: 0 } },
  ports: [{ ...PORT, securityGroups: [{ id: 'g1', name: EVIL }] }],
};

it('status: what tenants call their ports and groups does nothing on a terminal, and is whole as JSON', async () => {
  await answering((socket) => socket.end(withHead(JSON.stringify(STATUS))));
  const { stdout } = await execa(process.execPath, [MAIN, 'status', '--socket', path()]);
  const shown = 'web\\u{1b}[2J\\u{a}enforced\\u{9b}31m';
  expect(stdout.split('\n').at(-1)).toBe(`tap1  present  enforced  ${shown}  ${shown}`);
  const json = await execa(process.execPath, [MAIN, 'status', '--json', '--socket', path()]);
  expect(JSON.parse(json.stdout)).toMatchObject({ ports: [{ name: EVIL }] });
});

it('what ends without an answer is a defect that is said, and not exit 13, which means something else', async () => {
  const deaf = `
    import http from 'node:http';
    import { syncBuiltinESMExports } from 'node:module';
    http.request = () => ({ on: () => undefined, end: () => undefined });
    syncBuiltinESMExports();`;
  const preload = ['--import', `data:text/javascript,${encodeURIComponent(deaf)}`];
  const { exitCode, stderr } = await execa(process.execPath, [...preload, MAIN, 'status'], { reject: false });
  expect(exitCode).toBe(EXIT.internal);
  expect(stderr).toContain('it ended without an answer');
});
