/** A program that answers each line that it is sent with one, in JSON. */
import type { ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export type Piped = ChildProcessByStdio<Writable, Readable, null>;

export class Answering {
  readonly #answers: AsyncIterator<string>;

  constructor(private readonly child: Piped) {
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** One question at a time. @throws Error where it ends instead */
  async ask(question: string): Promise<unknown> {
    this.child.stdin.write(`${question}\n`);
    const answer = await this.#answers.next();
    if (answer.done === true) throw new Error(`${this.child.spawnargs.join(' ')} ended at: ${question}`);
    return JSON.parse(answer.value);
  }

  /** It has read everything, and so ends by itself and tidies up. */
  end(): void {
    this.child.stdin.end();
  }
}
