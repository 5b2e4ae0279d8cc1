/** docs/quickstart.md, as it stands, on a host of its own: each thing that somebody pastes, one after the other. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { execaSync } from 'execa';
import { expect, it, onTestFinished } from 'vitest';
import type { AgentStatus } from '../../agent/index.js';
import { Network } from '../../src/cli/demo/network.js';
import { step } from '../support/progress.js';
import { eventually, lastLines, within } from '../support/waiting.js';
import { WarmClient } from './warm-client.js';

const PAGE = 'docs/quickstart.md';

/** What a shell takes at once, in order: a line, or all of a loop or a function. */
function pastes(): readonly string[] {
  const blocks = [...readFileSync(PAGE, 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = '']) => text);
  return blocks.flatMap((block) => {
    const whole: string[] = [];
    let open = '';
    for (const line of block.trimEnd().split('\n')) {
      open += `${line}\n`;
      if (line.endsWith('\\') || execaSync('bash', ['-n', '-c', open], { reject: false }).exitCode !== 0) continue;
      whole.push(open);
      open = '';
    }
    expect(open, 'a block that does not end').toBe('');
    return whole.filter((one) => one.trim() !== '');
  });
}

/** Programs that stand before others of their name. */
const PROGRAMS = (folder: string): Readonly<Record<string, string>> => ({
  // We are root.
  sudo: 'exec "$@"',
  // It was done before: the packages are there that this test runs with.
  npm: '[ "$*" = "run setup" ] || exit 1',
  // The client that stays: each command would import the same modules for a second.
  openstack: `code=$({ printf '%q ' openstack "$@"; echo; env | grep '^OS_'; } | curl -sS --unix-socket ${folder}/client --data-binary @- -o ${folder}/answer -w '%{http_code}' http://client/)
if [ "$code" = 200 ]; then cat ${folder}/answer; else cat ${folder}/answer >&2; exit 1; fi`,
});

/** Answers for the client: a line as it was typed, then its environment; 200 with what it printed, or what it said was wrong. */
async function serveClient(path: string, client: WarmClient): Promise<() => void> {
  const server = createServer((asked, answer) => {
    let body = '';
    asked.on('data', (chunk: Buffer) => (body += chunk.toString()));
    asked.on('end', () => {
      const [line = '', ...env] = body.trim().split('\n');
      const around = Object.fromEntries(env.map((one) => one.split(/=(.*)/s).slice(0, 2) as [string, string]));
      step(line);
      void client.run(line, { PATH: process.env['PATH'], HOME: process.env['HOME'], ...around }).then(
        ({ exit, out, err }) => answer.writeHead(exit === 0 ? 200 : 500).end(exit === 0 ? out : err),
        (error: unknown) => answer.writeHead(500).end(String(error)),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return () => server.close();
}

async function statusAt(socketPath: string): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/status' }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => {
        // The shape that the agent prints.
        resolve(JSON.parse(body) as AgentStatus);
      });
    });
    asked.on('error', reject).end();
  });
}

class Shell {
  readonly #process: ChildProcess;
  #output = '';
  #pasted = 0;

  constructor(namespace: string, folder: string) {
    for (const [name, text] of Object.entries(PROGRAMS(folder))) {
      writeFileSync(join(folder, 'bin', name), `#!/bin/bash\n${text}\n`);
      chmodSync(join(folder, 'bin', name), 0o755);
    }
    // Namespaces and the agent's socket have the names of the page: here they are nobody else's.
    const begin = `mkdir -p /run/netns /run/portcullis && mount -t tmpfs tmpfs /run/netns && mount --bind ${folder}/run /run/portcullis && exec bash`;
    const env = Object.entries(process.env).filter(([name]) => !name.startsWith('OS_'));
    this.#process = spawn('ip', ['netns', 'exec', namespace, 'sh', '-c', begin], {
      detached: true,
      env: { ...Object.fromEntries(env), PATH: `${join(folder, 'bin')}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        step('the shell says something');
        this.#output += chunk.toString();
      });
    }
  }

  readonly said = (): string => lastLines(this.#output);

  /** @returns what was printed meanwhile; fails when the last command did. */
  async paste(text: string): Promise<string> {
    const mark = `<done ${(++this.#pasted).toString()}>`;
    const before = this.#output.length;
    this.#process.stdin?.write(`${text}\nprintf '\\n%s%s\\n' '${mark}' "$?"\n`);
    const done = eventually(() => this.#output.includes(mark, before));
    await within(`\`${text.trim()}\` to end`, done, this.said);
    const [printed = '', code = ''] = this.#output.slice(before).split(mark);
    expect(code.slice(0, 1), `${text}\n${this.said()}`).toBe('0');
    return printed;
  }

  end(): void {
    const { pid } = this.#process;
    if (pid !== undefined && this.#process.exitCode === null) process.kill(-pid, 'SIGKILL');
  }
}

it('what is pasted from the quickstart does what it says', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-quickstart-'));
  for (const name of ['bin', 'run']) mkdirSync(join(folder, name), { mode: 0o755 });
  const network = new Network('pctest-');
  execaSync('ip', ['-n', network.host, 'link', 'set', 'lo', 'up']);
  const shell = new Shell(network.host, folder);
  const client = new WarmClient(network.host, shell.said);
  const close = await serveClient(join(folder, 'client'), client);
  onTestFinished(() => {
    close();
    client.end();
    shell.end();
    network.remove();
    rmSync(folder, { recursive: true });
  });
  const socket = join(folder, 'run', 'agent.sock');
  let tried = 0;
  for (const text of pastes()) {
    const printed = await shell.paste(text);
    const [, from = '', to = '', port = '', does] = /^try (\S+) (\S+) (\d+) +# (reaches|does not)/.exec(text) ?? [];
    if (does !== undefined) {
      tried++;
      expect(printed, text).toContain(`${from} ${does === 'reaches' ? 'reaches' : 'does not reach'} ${to}:${port}\n`);
    }
    // Whoever reads takes a while between two of them.
    if (text.startsWith('openstack ')) await eventually(async () => (await statusAt(socket)).settled);
    if (text.startsWith('sudo npx portcullis status ')) expect(printed).toContain('enforced');
  }
  expect(tried).toBe(5);
  expect(execaSync('ip', ['netns', 'exec', network.host, 'nft', 'list', 'tables']).stdout).not.toContain('portcullis');
});
