/** Programs of the lab that run in a namespace of their own and speak JSON lines. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/** Starts a program of this folder in a namespace; `onLine` gets all that it prints behind its first line. */
export class Child {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  /** Resolved with its first line, which says that it is ready; rejected when it ends before. */
  readonly ready: Promise<void>;
  /** Why it is gone, unless we ended it. */
  #end: string | undefined;

  constructor(namespace: string, program: string, onLine: (line: string) => void) {
    const path = `dist/test/kernel/lab/${program}.js`;
    this.#process = spawn('ip', ['netns', 'exec', namespace, process.execPath, path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: this.#process.stdout });
    this.ready = new Promise((resolve, reject) => {
      lines.once('line', () => {
        lines.on('line', onLine);
        resolve();
      });
      this.#process.once('exit', (code, signal) => {
        this.#end = `${program} ended: ${String(code ?? signal)}`;
        reject(new Error(this.#end));
      });
    });
    // Whoever waits for it is told; nobody else is.
    this.ready.catch(() => undefined);
    this.#process.stdin.on('error', () => undefined);
  }

  tell(command: unknown): void {
    this.expectAlive();
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  expectAlive(): void {
    if (this.#end !== undefined) throw new Error(this.#end);
  }

  end(): void {
    this.#process.kill('SIGKILL');
  }
}
