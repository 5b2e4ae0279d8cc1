/** An agent in a namespace, with a topology file that a test writes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { request } from 'node:http';
import { HOST } from './pair.js';
import type { AgentStatus } from '../../../agent/index.js';

const MAIN = 'dist/src/cli/main.js';

export interface AgentOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Programs to go in front of `ip netns exec`. */
  readonly wrapper?: readonly string[];
}

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export class TestAgent {
  readonly folder = mkdtempSync(join(tmpdir(), 'portcullis-agent-'));
  readonly path = join(this.folder, 'topology.json');
  readonly socket = join(this.folder, 'agent.sock');
  /** Standard error of all the processes so far. */
  output = '';
  #process: ChildProcess | undefined;
  #version = 0;

  /** @param patience how long a state may take to come, in milliseconds */
  constructor(
    private readonly namespace: string,
    private readonly patience = 10_000,
  ) {
    process.once('exit', () => {
      this.#process?.kill('SIGKILL');
    });
  }

  /** Replaces the topology, at once, as a careful writer does. */
  write(content: Readonly<Record<string, unknown>> | string): void {
    const next = join(this.folder, `.next-${(this.#version++).toString()}`);
    writeFileSync(next, typeof content === 'string' ? content : JSON.stringify(content));
    renameSync(next, this.path);
  }

  start({ args = [], env = {}, wrapper = [] }: AgentOptions = {}): ChildProcess {
    const command = [
      ...['ip', 'netns', 'exec', this.namespace, ...wrapper, process.execPath, MAIN, 'agent', '--host', HOST],
      ...['--source', `file:${this.path}`, '--socket', this.socket, ...args],
    ];
    const [program = '', ...rest] = command;
    const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    child.stderr.on('data', (chunk: Buffer) => {
      this.output += chunk.toString();
    });
    this.#process = child;
    return child;
  }

  /** Starts, and waits until the policy is in the kernel. */
  async run(options?: AgentOptions): Promise<void> {
    this.start(options);
    await this.until(({ lastTransaction }) => lastTransaction !== undefined);
  }

  /** Ends the process; done when it is gone. Returns its exit code. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const ended = this.ended();
    this.#process?.kill(signal);
    return ended;
  }

  /** The exit code, once the process is gone; null when a signal ended it. */
  async ended(): Promise<number | null> {
    const child = this.#process;
    if (child === undefined) return null;
    if (child.exitCode !== null) return child.exitCode;
    if (child.signalCode !== null) return null;
    return new Promise<number | null>((resolve) => child.once('exit', resolve));
  }

  async destroy(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  log(): readonly LogLine[] {
    return this.output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine);
  }

  async ask(path: string): Promise<{ readonly code: number | undefined; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socket, path }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        response.on('end', () => {
          resolve({ code: response.statusCode, body });
        });
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse((await this.ask('/status')).body) as AgentStatus;
  }

  /** Waits for a state; fails with what is there instead. */
  async until(holds: (status: AgentStatus) => boolean, milliseconds = this.patience): Promise<AgentStatus> {
    const end = performance.now() + milliseconds;
    let last: unknown;
    while (performance.now() < end) {
      try {
        const status = await this.status();
        if (holds(status)) return status;
        last = status;
      } catch (error) {
        last = error;
      }
      await setTimeout(5);
    }
    throw new Error(`not within ${milliseconds.toString()} ms; status: ${JSON.stringify(last)}; log: ${this.output}`);
  }

  /** Waits until a topology that was written is in the kernel, and the flows were looked at. */
  async settled(content: Readonly<Record<string, unknown>>): Promise<void> {
    const before = (await this.status()).source.readAt;
    this.write(content);
    await this.until(({ source, enforced, audit }) => source.readAt !== before && (enforced || audit));
    await setTimeout(30);
  }

  /** Process id of its watching process. */
  watcher(): number {
    const pid = this.#process?.pid?.toString() ?? 'self';
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    const watcher = children.find((child) =>
      readFileSync(`/proc/${child.toString()}/cmdline`, 'utf8').includes('watch'),
    );
    if (watcher === undefined) throw new Error('no watching process');
    return watcher;
  }

  /** The memory of the process in KiB. */
  memory(): number {
    const text = readFileSync(`/proc/${this.#process?.pid?.toString() ?? 'self'}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0);
  }
}

/** Waits for something that no status tells. */
export async function eventually(holds: () => Promise<boolean> | boolean, milliseconds = 5000): Promise<number> {
  const start = performance.now();
  while (performance.now() - start < milliseconds) {
    if (await holds()) return performance.now() - start;
    await setTimeout(5);
  }
  throw new Error(`not within ${milliseconds.toString()} ms`);
}
