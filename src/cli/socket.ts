/** Asks a running agent over its status socket. */
import type { Options } from 'yargs';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

export const socketOption = {
  socket: {
    type: 'string',
    requiresArg: true,
    default: '/run/portcullis/agent.sock',
    describe: 'the status socket of the agent',
  },
} as const satisfies Record<string, Options>;

const TIMEOUT_MS = 5000;

/** No agent answers. */
export class AgentSilence extends CommandError {
  constructor(
    socketPath: string,
    /** Errno, or `late` for one that takes the question and says nothing. */
    readonly why: string,
  ) {
    const reason = why === 'late' ? `no answer within ${(TIMEOUT_MS / 1000).toString()} s` : why;
    super(EXIT.invalidInput, `--socket: no agent answers at ${socketPath}: ${reason}`);
  }
}

export interface Answer {
  readonly code: number;
  readonly body: string;
}

export async function askHealth(socketPath: string): Promise<{ readonly isWell: boolean; readonly line: string }> {
  const { code, body } = await askAgent(socketPath, '/health');
  return { isWell: code === 200, line: body.trimEnd() };
}

export async function askAgent(socketPath: string, path: string, method: 'GET' | 'POST' = 'GET'): Promise<Answer> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      reject(new AgentSilence(socketPath, why));
    };
    const asked = request({ socketPath, path, method, timeout: TIMEOUT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => {
        resolve({ code: response.statusCode ?? 0, body });
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('late')));
    asked.on('error', (error: NodeJS.ErrnoException) => {
      fail(error.code ?? error.message);
    });
    asked.end();
  });
}
