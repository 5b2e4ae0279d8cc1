/** A shell into which a test pastes what a page of docs/ has its reader paste, one thing after the other. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { step } from './progress.js';
import { eventually, lastLines, within } from './waiting.js';

/** Its standard input is a socket: bash would take it for rshd's and read what the developer has in ~/.bashrc (bash(1), INVOCATION). */
const BASH = ['bash', '--norc'] as const;

export interface ShellSettings {
  /** A folder of the test's own; the shell's programs get one in it. */
  readonly folder: string;
  /** Programs that stand before others of their name: what a shell runs, by name. */
  readonly programs?: Readonly<Record<string, string>>;
  /** In which it works; ours if absent. */
  readonly cwd?: string;
  /** Beside our own environment, of which it has nothing that speaks of a cloud (`OS_*`). */
  readonly env?: Readonly<Record<string, string>>;
  /** What somebody has in place who is in a host's namespace of his own: the namespace, and what sh does there first. */
  readonly host?: { readonly namespace: string; readonly begin: string };
}

export interface Pasted {
  /** Of the last command. */
  readonly exit: number;
  /** What came meanwhile, on standard output and standard error. */
  readonly printed: string;
}

export class Shell {
  readonly #process: ChildProcess;
  #output = '';
  #pasted = 0;

  constructor({ folder, programs = {}, cwd, env = {}, host }: ShellSettings) {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true, mode: 0o755 });
    for (const [name, text] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('OS_'));
    const [program = '', ...args] =
      host === undefined
        ? BASH
        : ['ip', 'netns', 'exec', host.namespace, 'sh', '-c', `${host.begin} && exec ${BASH.join(' ')}`];
    this.#process = spawn(program, args, {
      // A group of its own: whatever still runs is ended with it.
      detached: true,
      cwd,
      env: { ...Object.fromEntries(inherited), PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`, ...env },
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        step('the shell says something');
        this.#output += chunk.toString();
      });
    }
  }

  readonly said = (): string => lastLines(this.#output);

  async paste(text: string): Promise<Pasted> {
    const mark = `<done ${(++this.#pasted).toString()}>`;
    const before = this.#output.length;
    this.#process.stdin?.write(`${text}\nprintf '\\n%s%s;\\n' '${mark}' "$?"\n`);
    const end = new RegExp(`\n${mark}(\\d+);\n`);
    const done = eventually(() => end.test(this.#output.slice(before)));
    await within(`\`${text.trim()}\` to end`, done, this.said);
    const [printed = '', exit = ''] = this.#output.slice(before).split(end);
    return { printed, exit: Number(exit) };
  }

  end(): void {
    const { pid } = this.#process;
    if (pid !== undefined && this.#process.exitCode === null) process.kill(-pid, 'SIGKILL');
  }
}
