/** The demo's guests: a process in each namespace that listens and connects (guest.ts). */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export interface Target {
  readonly address: string;
  readonly port: number;
}

interface Guest {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly lines: Interface;
}

export class Guests {
  readonly #guests = new Map<string, Guest>();

  /** @param program what runs in a guest: guest.ts, compiled. */
  constructor(
    private readonly listenOn: readonly number[],
    private readonly program = fileURLToPath(new URL('./guest.js', import.meta.url)),
  ) {
    process.once('exit', this.end);
  }

  async start(portId: string, namespace: string): Promise<void> {
    const child = spawn(
      'ip',
      ['netns', 'exec', namespace, process.execPath, this.program, ...this.listenOn.map(String)],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    const lines = createInterface({ input: child.stdout });
    this.#guests.set(portId, { process: child, lines });
    await new Promise<void>((resolve, reject) => {
      lines.once('line', () => resolve());
      child.once('exit', () => reject(new Error(`the guest of port ${portId} ended`)));
    });
  }

  /** Tries to connect from a port's guest to each target, all at once. */
  async connect(portId: string, targets: readonly Target[]): Promise<readonly boolean[]> {
    const guest = this.#guests.get(portId);
    if (guest === undefined) throw new Error(`port ${portId} is not plugged`);
    const answer = new Promise<string>((resolve) => guest.lines.once('line', resolve));
    guest.process.stdin.write(`${JSON.stringify(targets)}\n`);
    return JSON.parse(await answer) as readonly boolean[];
  }

  readonly end = (): void => {
    process.off('exit', this.end);
    for (const guest of this.#guests.values()) guest.process.kill('SIGKILL');
    this.#guests.clear();
  };
}
