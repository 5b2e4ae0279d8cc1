/** The installed `openstack` program, started once in a namespace for many commands (warm-client.py). */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { within } from '../support/waiting.js';

const SERVER = 'test/client/warm-client.py';

/** How a command ended. */
export interface Answer {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

export class WarmClient {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ready: Promise<string>;
  /** Whoever waits for the next line: one at a time. */
  #waiting: { readonly resolve: (line: string) => void; readonly reject: () => void } | undefined;

  /**
   * @param namespace in which the client runs; undefined for our own
   * @param said what the product said last, for the failure of a command that does not end
   */
  constructor(
    namespace: string | undefined,
    private readonly said: () => string,
  ) {
    const program = installedClient();
    const inside = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
    const [first = '', ...command]: readonly string[] = [...inside, ...interpreterOf(program), SERVER, program];
    // A group of its own: a command that hangs is ended with it.
    this.#child = spawn(first, command, { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    process.once('exit', this.end);
    createInterface({ input: this.#child.stdout })
      .on('line', (line) => this.#waiting?.resolve(line))
      .on('close', () => this.#waiting?.reject());
    this.#ready = this.#nextLine('the client to start');
    // Whoever runs the first command is told.
    this.#ready.catch(() => undefined);
  }

  /**
   * Runs one command.
   * @param line as somebody types it, beginning with `openstack`
   * @param env its whole environment
   */
  async run(line: string, env: NodeJS.ProcessEnv): Promise<Answer> {
    await this.#ready;
    const answer = this.#nextLine(`\`${line}\` to end`);
    this.#child.stdin.write(`${JSON.stringify({ line, env })}\n`);
    return JSON.parse(await answer) as Answer;
  }

  readonly end = (): void => {
    process.off('exit', this.end);
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL');
  };

  async #nextLine(what: string): Promise<string> {
    const line = new Promise<string>((resolve, reject) => {
      this.#waiting = {
        resolve,
        reject: () => reject(new Error(`waited for ${what}, and the client's process ended`)),
      };
    });
    return within(what, line, this.said);
  }
}

function installedClient(): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'openstack');
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next folder.
    }
  }
  throw new Error('no program `openstack` in PATH: install python3-openstackclient');
}

/** What the program's first line names, so that what runs is what runs when somebody types its name. */
function interpreterOf(program: string): readonly string[] {
  const [, words] = /^#!\s*(\S.*)/.exec(readFileSync(program, 'utf8')) ?? [];
  if (!words?.includes('python')) throw new Error(`${program} is no Python program`);
  return words.trim().split(/\s+/);
}
