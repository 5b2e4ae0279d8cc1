/** An agent in a namespace, with a topology file that a test writes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentStatus } from '../../../agent/index.js';
import { atExit } from '../../support/at-exit.js';
import { patience } from '../../support/patience.js';
import { addWitness, step } from '../../support/progress.js';
import { stopProcess } from '../../support/stopped.js';
import { Looks } from '../../support/waiting.js';
import { agentStatus, askSocket, type UnixAnswer } from '../../support/unix-http.js';
import { HOST } from './pair.js';

const MAIN = 'dist/bin/portcullis.js';
/** A state that is waited for may take as long, as long as the agent says nothing new; in milliseconds on a quiet machine. */
const SILENCE = 30_000;
/** And never longer than this, however much it says. */
const LONGEST = 10 * SILENCE;
/** Lines of the log that a failing test shows. */
const SHOWN_LINES = 20;

export interface AgentOptions {
  /** Options that say where the topology comes from; the file that a test writes if absent. */
  readonly source?: readonly string[];
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
  /** All that were started and have not ended. */
  readonly #started = new Set<ChildProcess>();
  #version = 0;
  /** It says something. */
  readonly #news = new EventEmitter();
  readonly #lines: LogLine[] = [];
  /** How much of the output has become lines. */
  #read = 0;
  readonly #ends: readonly (() => void)[];

  constructor(
    private readonly namespace: string,
    private readonly host = HOST,
  ) {
    this.#ends = [
      atExit(() => {
        this.#killAll();
      }),
      addWitness('the last lines of the agent’s log', () =>
        this.output.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n'),
      ),
    ];
  }

  /** Replaces the topology, at once, as a careful writer does. */
  write(content: Readonly<Record<string, unknown>> | string): void {
    const next = join(this.folder, `.next-${(this.#version++).toString()}`);
    writeFileSync(next, typeof content === 'string' ? content : JSON.stringify(content));
    renameSync(next, this.path);
  }

  start({ source, args = [], env = {}, wrapper = [] }: AgentOptions = {}): ChildProcess {
    const command = [
      ...['ip', 'netns', 'exec', this.namespace, ...wrapper, process.execPath, MAIN, 'agent', '--host', this.host],
      ...[...(source ?? ['--source', `file:${this.path}`]), '--socket', this.socket, ...args],
    ];
    const [program = '', ...rest] = command;
    const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    child.stderr.on('data', (chunk: Buffer) => {
      step('the agent says something');
      this.output += chunk.toString();
      this.#news.emit('news');
    });
    this.#process = child;
    this.#started.add(child);
    child.once('exit', () => this.#started.delete(child));
    return child;
  }

  /** Starts, and waits until the policy is in the kernel, and nothing that closed the host before it. */
  async run(options?: AgentOptions): Promise<void> {
    this.start(options);
    await this.until(({ lastTransaction, settled }) => lastTransaction !== undefined && settled);
  }

  /** Ends the process; done when it is gone. Returns its exit code. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const ended = this.ended();
    this.#process?.kill(signal);
    return ended;
  }

  /** It does nothing until {@link goOn}; its watching process goes on. */
  pause(): void {
    const pid = this.#process?.pid;
    if (pid !== undefined) stopProcess(pid);
  }

  goOn(): void {
    this.#process?.kill('SIGCONT');
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
    this.#wake();
    await this.end('SIGKILL');
    this.#killAll();
    for (const end of this.#ends) end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Also one of a test that failed before it ended it, and another was started since. */
  #killAll(): void {
    for (const child of this.#started) child.kill('SIGKILL');
  }

  /** A watching process that a test stopped would stay for ever: awake, it ends with its agent. */
  #wake(): void {
    try {
      process.kill(this.watcher(), 'SIGCONT');
    } catch {
      // There is none.
    }
  }

  log(): readonly LogLine[] {
    const end = this.output.lastIndexOf('\n') + 1;
    const fresh = this.output.slice(this.#read, end).split('\n');
    this.#read = end;
    this.#lines.push(...fresh.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine));
    return [...this.#lines];
  }

  /** Lines of its output that are not its log's: what a person is told. */
  told(): readonly string[] {
    return this.output.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  }

  async ask(path: string): Promise<UnixAnswer> {
    return askSocket(this.socket, path);
  }

  async status(): Promise<AgentStatus> {
    return agentStatus(this.socket);
  }

  /** Waits for a state; fails, with what is there instead, when the agent has had nothing new to say for long. */
  async until(holds: (status: AgentStatus) => boolean): Promise<AgentStatus> {
    const start = performance.now();
    let newsAt = start;
    let news = '';
    const looks = new Looks();
    for (;;) {
      let last: string;
      try {
        const status = await this.status();
        if (holds(status)) return status;
        last = JSON.stringify(status);
      } catch (error) {
        last = String(error);
      }
      const now = performance.now();
      if (`${last}${this.output}` !== news) {
        news = `${last}${this.output}`;
        newsAt = now;
        step(`the agent is waited for, until ${holds.toString()}`);
      }
      if (now - newsAt > patience(SILENCE) || now - start > patience(LONGEST)) {
        throw new Error(`the agent does not get there: ${holds.toString()}; status: ${last}`);
      }
      await looks.pause(this.#news);
    }
  }

  /** Waits until a topology that was written is in the kernel, and live flows were judged by it. */
  async settled(content: Readonly<Record<string, unknown>>): Promise<void> {
    const before = (await this.status()).source.readAt;
    this.write(content);
    await this.until(({ source, settled }) => source.readAt !== before && settled);
  }

  /** Has it read its source again and compare the kernel, and waits for both: what is written afterwards is read afterwards. */
  async reload(): Promise<void> {
    const before = (await this.status()).source.readAt;
    const compared = (): number => this.log().filter(({ way }) => way === 'everything').length;
    const former = compared();
    process.kill(this.pid(), 'SIGHUP');
    await this.until(({ source, settled }) => source.readAt !== before && compared() > former && settled);
  }

  /** Process id of the agent: `ip netns exec` and the like become it. */
  pid(): number {
    if (this.#process?.pid === undefined) throw new Error('no agent');
    return this.#process.pid;
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
