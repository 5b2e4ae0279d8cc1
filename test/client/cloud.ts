/** A host with API, store and agent on it, guests beside it, and the stock client. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { Guests } from '../../src/cli/demo/guests.js';
import { Network } from '../../src/cli/demo/network.js';
import { parseTopology, type Port } from '../../compiler/model/index.js';
import { stopProcess } from '../support/stopped.js';
import { lastLines, until, within, type Waiting } from '../support/waiting.js';
import { WarmClient, type Answer } from './warm-client.js';

const MAIN = 'dist/bin/portcullis.js';
export const URL = 'http://127.0.0.1:9696';
export const SECOND_URL = 'http://127.0.0.1:9697';
export const HOST = 'compute-1';

/** What the client finds around it: nothing of the one who runs the tests that would send it to another cloud. */
const AROUND = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OS_')));

export type Environment = Readonly<Record<string, string>>;

export class Cloud {
  readonly network = new Network('pctest-');
  readonly guests = new Guests([22, 80, 443, 3306], 'dist/src/cli/demo/guest.js');
  readonly folder = mkdtempSync(join(tmpdir(), 'portcullis-client-'));
  readonly #client = new WarmClient(this.network.host, () => this.said());
  #agent: ChildProcess | undefined;
  #api: ChildProcess | undefined;
  #second: ChildProcess | undefined;
  #output = '';
  /** Where in the output the process that was started last begins. */
  #startedAt = 0;

  /** What API and agent said last. */
  readonly said = (): string => lastLines(this.#output);

  /** Agent, API and store in one process. */
  async start(...args: readonly string[]): Promise<void> {
    await this.loopback();
    const api = ['--api', '127.0.0.1:9696', '--store', join(this.folder, 'store')];
    this.#agent = this.#spawn('agent', ...api, '--host', HOST, '--socket', this.#socket, ...args);
    await this.#listening(this.#agent);
  }

  /** API and agent as two processes; the agent has a token of its own. */
  async startApart(): Promise<void> {
    writeFileSync(join(this.folder, 'agent-token'), 'the-token-of-agents\n', { mode: 0o600 });
    await this.loopback();
    await this.startApi();
    const source = ['--source', `api:${URL}`, '--source-token', join(this.folder, 'agent-token')];
    this.#agent = this.#spawn('agent', ...source, '--host', HOST, '--socket', this.#socket);
  }

  async startApi(store = join(this.folder, 'store')): Promise<void> {
    this.#api = this.#spawn('api', '--store', store, '--agent-token', join(this.folder, 'agent-token'));
    await this.#listening(this.#api);
  }

  /** Two processes of the API on one etcd, the second one at {@link SECOND_URL}, and an agent that follows etcd. */
  async startOnEtcd(store: string): Promise<void> {
    writeFileSync(join(this.folder, 'agent-token'), 'the-token-of-agents\n', { mode: 0o600 });
    await this.startApi(store);
    this.#second = this.#spawn('api', '--store', store, '--listen', SECOND_URL.slice('http://'.length));
    await this.#listening(this.#second);
    this.#agent = this.#spawn('agent', '--source', store, '--host', HOST, '--socket', this.#socket);
  }

  async killApi(): Promise<void> {
    const api = this.#api;
    this.#api = undefined;
    if (api !== undefined) await this.#ended(api, 'SIGKILL');
  }

  /** Runs a command of the client that stays. */
  async openstack(line: string, env: Environment): Promise<Answer> {
    return this.#client.run(line, { ...AROUND, ...env });
  }

  /** Runs the client's program itself, from a shell, as a person does. */
  async typed(line: string, env: Environment): Promise<Answer> {
    // Our standard input is a socket: bash would take it for rshd's and read what the developer has in ~/.bashrc (bash(1), INVOCATION).
    const run = execa('ip', ['netns', 'exec', this.network.host, 'bash', '--norc', '-c', line], {
      reject: false,
      stripFinalNewline: false,
      extendEnv: false,
      env: { ...AROUND, ...env },
    });
    try {
      const { exitCode, stdout, stderr } = await within(`\`${line}\` to end`, run, this.said);
      return { exit: exitCode ?? -1, out: stdout, err: stderr };
    } finally {
      run.kill('SIGKILL');
    }
  }

  /** Runs a command of the client that has to succeed; what it prints, without the last end of line. */
  async as(env: Environment, line: string): Promise<string> {
    const { exit, out, err } = await this.openstack(line, env);
    expect(exit, this.#ofCommand(line, err)).toBe(0);
    return out.trimEnd();
  }

  /** The message of a failure of what a command did. */
  #ofCommand(line: string, err: string): string {
    return `${line}\n${err}\nthe product said last:\n${this.said()}\n`;
  }

  async until<T>(waiting: Omit<Waiting<T>, 'said'>): Promise<T> {
    return until({ ...waiting, said: this.said });
  }

  async portcullis(...args: readonly string[]): Promise<string> {
    return (await execa('ip', ['netns', 'exec', this.network.host, process.execPath, MAIN, ...args])).stdout;
  }

  /** As {@link portcullis}, however it ends. */
  async portcullisEnds(...args: readonly string[]): Promise<Answer> {
    const command = ['netns', 'exec', this.network.host, process.execPath, MAIN, ...args];
    const { exitCode, stdout, stderr } = await execa('ip', command, { reject: false });
    return { exit: exitCode ?? -1, out: stdout, err: stderr };
  }

  /** It does nothing until {@link agentGoesOn}. */
  stopAgent(): void {
    const pid = this.#agent?.pid;
    if (pid !== undefined) stopProcess(pid);
  }

  agentGoesOn(): void {
    this.#agent?.kill('SIGCONT');
  }

  /** Runs the client's program, without authentication; it has to succeed. */
  readonly succeeds = async (line: string): Promise<void> => {
    const { exit, err } = await this.typed(line, NOBODY);
    expect(exit, this.#ofCommand(line, err)).toBe(0);
  };

  /** Waits until the agent's view is so. @returns the view */
  readonly says = async (what: string, ...patterns: readonly RegExp[]): Promise<string> =>
    this.until({
      what,
      probe: this.status,
      check: (answer) => patterns.forEach((pattern) => expect(answer).toMatch(pattern)),
    });

  /** The agent's view, whatever its exit status says is not well; empty while it does not answer. */
  readonly status = async (): Promise<string> => {
    const command = [process.execPath, MAIN, 'status', '--ports', '--socket', this.#socket];
    return (await execa('ip', ['netns', 'exec', this.network.host, ...command], { reject: false })).stdout;
  };

  /** What Prometheus reads of the agent. */
  async agentMetrics(): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.#socket, path: '/metrics' }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        response.on('end', () => {
          resolve(body);
        });
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  /** What Prometheus reads of the API. */
  async apiMetrics(): Promise<string> {
    const ask = `process.stdout.write(await (await fetch('${URL}/metrics')).text())`;
    const node = [process.execPath, '--input-type=module', '-e', ask];
    return (await execa('ip', ['netns', 'exec', this.network.host, ...node])).stdout;
  }

  async ports(...more: readonly string[]): Promise<readonly Port[]> {
    const content: unknown = JSON.parse(await this.portcullis('export', '--api', URL, ...more));
    return [...parseTopology([{ file: 'export', content }]).topology.ports.values()];
  }

  async stop(): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (agent !== undefined) await this.#ended(agent, 'SIGTERM');
  }

  async end(): Promise<void> {
    try {
      await this.stop();
      await this.killApi();
      if (this.#second !== undefined) await this.#ended(this.#second, 'SIGKILL');
    } finally {
      this.#client.end();
      this.guests.end();
      this.network.remove();
      rmSync(this.folder, { recursive: true });
    }
  }

  get #socket(): string {
    return join(this.folder, 'agent.sock');
  }

  async loopback(): Promise<void> {
    await execa('ip', ['-n', this.network.host, 'link', 'set', 'lo', 'up']);
  }

  #spawn(...args: readonly string[]): ChildProcess {
    this.#startedAt = this.#output.length;
    const child = spawn('ip', ['netns', 'exec', this.network.host, process.execPath, MAIN, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
    });
    return child;
  }

  async #listening(child: ChildProcess): Promise<void> {
    await this.until({
      what: 'the API to listen',
      probe: () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${this.said()}`);
        return this.#output.slice(this.#startedAt);
      },
      check: (output) => expect(output).toContain('the API listens'),
    });
  }

  /** Ends a process of ours; one that does not end is killed, and that is a failure. */
  async #ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    try {
      await within(`the process to end after ${signal}`, ended, this.said);
    } finally {
      child.kill('SIGKILL');
    }
  }
}

/** The columns of a table that the client prints: `| a | b |`. */
export function cells(table: string): readonly (readonly string[])[] {
  return table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** Two projects and their users, for `--auth tokens:`. */
export const USERS = `
projects: [{ id: 8ea9e93328d2476bb46ff0ff81a9d1da, name: demo }, { id: c95084935bac4f878697988235623fd4, name: other }]
users:
  - { id: u1, name: demo, password: secret, roles: { demo: [member] } }
  - { id: u2, name: admin, password: top, roles: { demo: [admin] } }
tokens:
  - { token: 0123456789abcdef0123, user: u2, project: 8ea9e93328d2476bb46ff0ff81a9d1da }
`;

const login = (name: string, password: string): Environment => ({
  OS_AUTH_URL: `${URL}/identity`,
  OS_PROJECT_NAME: 'demo',
  OS_USERNAME: name,
  OS_PASSWORD: password,
  OS_PROJECT_DOMAIN_ID: 'default',
  OS_USER_DOMAIN_ID: 'default',
});

export const DEMO = login('demo', 'secret');
export const ADMIN = login('admin', 'top');
export const NOBODY: Environment = { OS_AUTH_TYPE: 'none', OS_ENDPOINT: URL };
