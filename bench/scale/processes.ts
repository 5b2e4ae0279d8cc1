/** The processes of a simulation: what they are asked, what they answer, and how they count. */
import { fork, type ChildProcess } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { step } from '../../test/support/progress.js';

/** In bytes. */
export interface Memory {
  /** What is in memory of the process; of it what is shared with nobody. */
  readonly resident: number;
  readonly own: number;
  /** Of JavaScript, after a collection. */
  readonly heap: number;
}

/** Bytes over all sockets, since the process began. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/** How far it is costs little to say; `look` has memory collected, and counted. */
export type AgentQuestion = 'how far' | 'look' | 'report';

export interface AgentAnswer extends Traffic {
  readonly host: string;
  readonly revision: number;
  readonly ports: number;
  /** How often the source could not be followed, and how often everything was told. */
  readonly stale: number;
  readonly wholes: number;
  /** Since the last answer: revisions, and when they were told; in milliseconds of the clock that all processes share. */
  readonly told: readonly { readonly revision: number; readonly at: number }[];
  /** Undefined where it was not asked for. */
  readonly memory: Memory | undefined;
}

export type EngineQuestion =
  | { readonly kind: 'look' | 'fill' | 'follow reports' }
  | { readonly kind: 'change'; readonly count: number; readonly rate: number };

export interface EngineAnswer extends Traffic {
  readonly revision: number;
  readonly seconds: number;
  /** When each change was, by the same clock, and how long it took. */
  readonly acknowledged: readonly { readonly revision: number; readonly at: number; readonly took: number }[];
  /** Heard so far. */
  readonly reports: number;
  readonly memory: Memory;
}

/** From now on. @returns how much so far. */
export function countSockets(): () => Traffic {
  const sockets: Socket[] = [];
  // https://nodejs.org/docs/latest-v20.x/api/diagnostics_channel.html#net
  subscribe('net.client.socket', (message) => sockets.push((message as { readonly socket: Socket }).socket));
  return () => ({
    received: sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
    sent: sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
  });
}

export function memory(): Memory {
  globalThis.gc?.();
  const rollup = readFileSync('/proc/self/smaps_rollup', 'utf8');
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0);
  return {
    resident: 1024 * kilobytes('Rss'),
    own: 1024 * (kilobytes('Private_Clean') + kilobytes('Private_Dirty')),
    heap: process.memoryUsage().heapUsed,
  };
}

/** A process that answers one question after the other. */
export class Asked<Question, Answer> {
  readonly #child: ChildProcess;
  #end: Error | undefined;

  constructor(script: string, ...args: readonly string[]) {
    this.#child = fork(fileURLToPath(new URL(script, import.meta.url)), args, {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.once('exit', (code, signal) => {
      this.#end = new Error(`${script} ended: ${String(code ?? signal)}`);
    });
  }

  async ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end);
        return;
      }
      const onExit = (): void => {
        reject(new Error('ended before it answered'));
      };
      this.#child.once('exit', onExit);
      this.#child.once('message', (answer) => {
        this.#child.off('exit', onExit);
        step('a process answers');
        resolve(answer as Answer);
      });
      this.#child.send(question as object);
    });
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
