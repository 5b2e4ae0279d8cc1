/** A machine as the reader of docs/deploy.md has it: a Debian with systemd, Node and sshd, and nothing of ours. */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Readable } from 'node:stream';
import type { StartedNetwork, StartedTestContainer } from 'testcontainers';
import { patience } from '../../support/patience.js';
import { step } from '../../support/progress.js';
import { lastLines, until } from '../../support/waiting.js';
import { startMachine } from './systemd.js';

/** Of a checkout, what a clone does not have; and what is not shipped and takes most of the time to compile. */
const LEFT_OUT = ['node_modules', 'dist', '.git', 'test-results', 'coverage', 'test', 'bench'];

/** Between two looks at what a machine computes; in milliseconds. */
const LOOK_EVERY = 5000;
/** What it computes meanwhile, if it is at work; in ticks of 10 ms. */
const AT_WORK = 100;
/** A program that computes and says nothing (a compiler) is waited for as long; in milliseconds on a quiet machine. */
const MOST_SILENT = 300_000;

export class Machine {
  private constructor(
    readonly name: string,
    readonly container: StartedTestContainer,
  ) {}

  static async start(image: string, network: StartedNetwork, name: string): Promise<Machine> {
    return new Machine(name, await startMachine(image, network, name, { aliases: [name] }));
  }

  /** Runs a block as somebody who pastes it and looks at each line; fails when one fails. @returns what it printed */
  async paste(text: string, place: string): Promise<string> {
    step(`${place} on ${this.name}`);
    const command = ['exec', this.container.getId(), 'bash', '-e', '-o', 'pipefail', '-c', text];
    const child = spawn('docker', command, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let saidAt = performance.now();
    let computed = this.#computed();
    const watch = setInterval(() => {
      const now = this.#computed();
      const isSilent = performance.now() - saidAt > patience(MOST_SILENT);
      if (now - computed > AT_WORK && !isSilent)
        step(`${place} on ${this.name}: at work, behind ${lastLines(output, 1)}`);
      computed = now;
    }, LOOK_EVERY);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        saidAt = performance.now();
        step(`${place} on ${this.name}: ${lastLines(output, 1)}`);
      });
    }
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    }).finally(() => {
      clearInterval(watch);
    });
    if (status !== 0) {
      const log = await this.tell('journalctl --no-pager -o cat -n 25');
      throw new Error(
        `${place} on ${this.name}: exit ${String(status)}:\n${lastLines(output)}\nthe machine said last:\n${log.output}`,
      );
    }
    return output;
  }

  /** What its processes have computed, in ticks of 10 ms (proc(5)); 0 where the engine is on another machine. */
  #computed(): number {
    const format = ['inspect', '--format', '{{.State.Pid}}', this.container.getId()];
    const first = execFileSync('docker', format, { encoding: 'utf8' }).trim();
    const namespaceOf = (pid: string): string => readlinkSync(`/proc/${pid}/ns/pid`);
    let sum = 0;
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        if (namespaceOf(pid) !== namespaceOf(first)) continue;
        const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')
          .slice(11, 13);
        sum += Number(user) + Number(system);
      } catch {
        // It has ended.
      }
    }
    return sum;
  }

  /** Runs a command; fails when it does. */
  async run(command: string): Promise<string> {
    const { exit, output } = await this.tell(command);
    if (exit !== 0) throw new Error(`${this.name}: ${command}: exit ${exit.toString()}: ${output}`);
    return output;
  }

  async tell(command: string): Promise<{ readonly exit: number; readonly output: string }> {
    step(`${this.name}: ${command}`);
    const { exitCode, output } = await this.container.exec(['bash', '-o', 'pipefail', '-c', command]);
    return { exit: exitCode, output };
  }

  /** Puts a clone of this repository there, without tests. */
  async clone(folder: string): Promise<void> {
    const excluded = LEFT_OUT.map((name) => `--exclude=./${name}`);
    const archive = execFileSync('tar', ['-c', ...excluded, '.'], { maxBuffer: 256 * 1024 * 1024 });
    await this.run(`mkdir -p ${folder}`);
    await this.container.copyArchiveToContainer(Readable.from([archive]), folder);
  }

  /** Takes its power away. */
  pull(): void {
    execFileSync('docker', ['kill', this.container.getId()], { stdio: 'ignore' });
  }

  /** Gives it back. */
  async boot(): Promise<void> {
    execFileSync('docker', ['start', this.container.getId()], { stdio: 'ignore' });
    await until({
      what: `${this.name} to have booted`,
      probe: async () => this.tell('systemctl is-system-running'),
      check: ({ output }) => {
        if (!/running|degraded/.test(output)) throw new Error(output);
      },
      said: () => '',
    });
  }

  async stop(): Promise<void> {
    await this.container.stop();
  }
}
