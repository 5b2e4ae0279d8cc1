/** HTTP on a unix socket, as the agent's status socket speaks it. */
import { request } from 'node:http';
import type { AgentStatus } from '../../agent/index.js';

export interface UnixAnswer {
  readonly code: number | undefined;
  readonly body: string;
}

export async function askSocket(socketPath: string, path: string): Promise<UnixAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve({ code: response.statusCode, body });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

export async function agentStatus(socketPath: string): Promise<AgentStatus> {
  // The shape that the agent prints.
  return JSON.parse((await askSocket(socketPath, '/status')).body) as AgentStatus;
}
