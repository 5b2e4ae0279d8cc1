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
    const failed = (error: NodeJS.ErrnoException): void => {
      reject(new AgentSilence(socketPath, error.code ?? error.message));
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
      // It ended in the middle of its answer, which would never end.
      response.on('error', failed);
    });
    asked.on('timeout', () => asked.destroy(new Error('late')));
    asked.on('error', failed);
    asked.end();
  });
}

/**
 * What is read of an answer.
 * @throws CommandError where that fails: it is an agent of another version, or something else.
 */
export function understood<T>(socketPath: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new CommandError(
      EXIT.invalidInput,
      `--socket: what answers at ${socketPath} is no agent of this version: ${error.message}`,
    );
  }
}
