/** A program of this folder in a network namespace, which answers each line that it is told with a line. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export class Answering {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string, undefined>;

  constructor(namespace: string, program: string) {
    const path = `dist/test/kernel/lab/${program}.js`;
    this.#process = spawn('ip', ['netns', 'exec', namespace, process.execPath, path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdin.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** Rejects where it has ended. */
  async ask(line: string): Promise<string> {
    this.#process.stdin.write(`${line}\n`);
    const answer: IteratorResult<string, undefined> = await this.#answers.next();
    if (answer.done === true) throw new Error(`${this.#process.spawnargs.join(' ')} ended`);
    return answer.value;
  }

  end(): void {
    this.#lines.close();
    this.#process.stdin.end();
  }

  /** Ends it, and waits until it and its sockets are gone. */
  async isGone(): Promise<void> {
    const gone = this.#process.exitCode === null ? once(this.#process, 'exit') : undefined;
    this.end();
    await gone;
  }
}
