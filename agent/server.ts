/** Answers on the status socket and, if asked for, on a TCP address for Prometheus. HTTP on both. */
import { createServer, type Server } from 'node:http';
import { existsSync, lstatSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { Metrics } from './metrics.js';
import type { AgentStatus, Counted } from './status.js';

/** Connections at once, and the time in which a request arrives: whoever reaches Prometheus' port takes no descriptor that programs of ours need. */
const MOST_CONNECTIONS = 64;
const LIMITS = { headersTimeout: 5000, requestTimeout: 5000, connectionsCheckingInterval: 1000 };

export interface Answers {
  readonly status: () => AgentStatus;
  /** What counters are of, and since when they count. */
  readonly counted: () => Counted;
  readonly metrics: Metrics;
  /** What is in force, as a document that parses to it; undefined while nothing is. */
  readonly topology: () => object | undefined;
  /** Obeys the topology that is held back; false when none is. */
  readonly accept: () => boolean;
  /** Leaves a former device alone; false when it is none. */
  readonly release: (device: string) => boolean;
}

/**
 * Serves /status, /counted, /topology, /metrics and /health (200 while the kernel holds our rules and judges by them, 503 otherwise) on a unix socket, and takes orders there:
 * POST /accept and /release?device=NAME, whose answers are 200, or 409 where there is nothing to do.
 */
export async function serveSocket(path: string, answers: Answers): Promise<Server> {
  // One level only: /run is there, its folder may not be.
  if (!existsSync(dirname(path))) await mkdir(dirname(path));
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
    throw new Error('is there and is no socket: it is left alone');
  }
  // The lock is held: a socket that is there was left by an agent that died, unless somebody answers.
  if (!(await isAnswered(path))) await rm(path, { force: true });
  return listen(answers, ['/status', '/counted', '/topology', '/metrics', '/health', '/accept', '/release'], { path });
}

/** Serves /metrics and /health on `host:port`. */
export async function serveMetrics(address: string, answers: Answers): Promise<Server> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  return listen(answers, ['/metrics', '/health'], { host, port: Number(address.slice(at + 1)) });
}

async function listen(
  { status, counted, metrics, topology, accept, release }: Answers,
  paths: readonly string[],
  where: { path: string } | { host: string; port: number },
): Promise<Server> {
  const server = createServer(LIMITS, (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const send = (code: number, type: string, body: string): void => {
      response.writeHead(code, { 'content-type': type, connection: 'close' }).end(body);
    };
    if (!paths.includes(path)) send(404, 'text/plain', `not here: ${paths.join(', ')}\n`);
    else if (path === '/accept' || path === '/release') {
      const device = new URLSearchParams(query).get('device') ?? '';
      if (request.method !== 'POST') send(405, 'text/plain', 'valid is POST\n');
      else if (path === '/accept') {
        if (accept()) send(200, 'text/plain', 'obeyed\n');
        else send(409, 'text/plain', 'no topology is held back\n');
      } else if (release(device)) send(200, 'text/plain', 'left alone\n');
      else send(409, 'text/plain', 'it is no device that is closed since it was a port’s\n');
    } else if (path === '/status') send(200, 'application/json', `${JSON.stringify(status())}\n`);
    else if (path === '/counted') send(200, 'application/json', `${JSON.stringify(counted())}\n`);
    else if (path === '/topology') {
      const document = topology();
      if (document === undefined) send(503, 'text/plain', 'nothing is in force: portcullis status says why\n');
      else send(200, 'application/json', `${JSON.stringify(document)}\n`);
    } else if (path === '/health') {
      const { loaded, enforced, audit, lastError, lateSince, watching } = status();
      const isWell = enforced || (audit && loaded);
      const well = audit ? 'audit: nothing is enforced' : 'enforced';
      send(
        isWell ? 200 : 503,
        'text/plain',
        `${isWell ? well : `not enforced: ${reasonOf({ lastError, lateSince, watching })}`}\n`,
      );
    } else {
      metrics.registry.metrics().then(
        (text) => {
          send(200, metrics.registry.contentType, text);
        },
        (error: unknown) => {
          send(500, 'text/plain', `${String(error)}\n`);
        },
      );
    }
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where, exclusive: true }, () => {
      server.off('error', reject);
      // Of a connection that the kernel had no room for: whoever asked sees that nobody answers.
      server.on('error', () => undefined);
      resolve();
    });
  });
  return server;
}

/** Why the policy is not enforced, or is not known to be. */
export function reasonOf({
  lastError,
  lateSince,
  watching,
}: Pick<AgentStatus, 'lastError' | 'lateSince' | 'watching'>): string {
  if (lastError !== undefined) return lastError;
  if (lateSince !== undefined) return `late: a change waits since ${lateSince}`;
  if (watching.awaySince !== undefined)
    return `nobody hears what others change since ${watching.awaySince}: ${watching.lastReason ?? 'starting'}`;
  return 'starting';
}

async function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}
