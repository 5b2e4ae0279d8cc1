/** Programs in a namespace, started by a process there: a fork of this one, with all that tests hold, takes longer than most programs. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { PYTHON } from '../../support/python.js';

export interface Ended {
  /** -1 for a program that is not there, or was ended by a signal. */
  readonly exitCode: number;
  /** Without the last line's end. */
  readonly stdout: string;
  readonly stderr: string;
}

interface Waiting {
  readonly resolve: (ended: Ended) => void;
  readonly reject: (error: Error) => void;
  readonly onNews: () => void;
}

export class Commands {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #end: Error | undefined;

  constructor(namespace: string) {
    const program = 'test/kernel/lab/commands.py';
    this.#process = spawn('ip', ['netns', 'exec', namespace, PYTHON, program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#take(line);
    });
    this.#process.stdin.on('error', () => undefined);
    this.#process.once('close', (code, signal) => {
      this.#end = new Error(`commands.py ended: ${String(code ?? signal)}`);
      for (const { reject } of this.#waiting.values()) reject(this.#end);
      this.#waiting.clear();
    });
  }

  /**
   * @param env beside our own
   * @param onNews called when it says something on its standard error
   */
  async run(argv: readonly string[], input: string, env: object, onNews: () => void): Promise<Ended> {
    if (this.#end !== undefined) throw this.#end;
    const id = ++this.#last;
    const ended = new Promise<Ended>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onNews });
    });
    this.#process.stdin.write(`${JSON.stringify({ id, argv, input, env })}\n`);
    return ended;
  }

  /** What still runs is ended. */
  end(): void {
    this.#process.stdin.end();
  }

  #take(line: string): void {
    // The shape that commands.py prints.
    const { id, ...ended } = JSON.parse(line) as { readonly id: number } & Partial<Ended>;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    const { exitCode, stdout = '', stderr = '' } = ended;
    if (exitCode === undefined) {
      waiting.onNews();
      return;
    }
    this.#waiting.delete(id);
    waiting.resolve({ exitCode, stdout: stdout.replace(/\r?\n$/, ''), stderr: stderr.replace(/\r?\n$/, '') });
  }
}
