/**
 * How often one may ask: an identity that is known by itself, everybody else by address. Wrong identities count by address, so that
 * a new made-up token each time is no way around it.
 */
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Log } from '../../agent/log.js';
import type { Caller } from './caller.js';
import { ApiError } from './errors.js';
import { clientOf } from './turns.js';

const WINDOW_MS = 1000;

export interface Admission {
  /** Counts a request of somebody who need not be known. @throws ApiError (429) */
  readonly anonymous: (request: FastifyRequest) => Promise<void>;
  /** Counts nothing. @throws ApiError (429) where the address has asked too often without being known */
  readonly beforeAsking: (request: FastifyRequest) => Promise<void>;
  /** Logs a wrong identity. */
  readonly note: (request: FastifyRequest, who: string) => void;
  /** @throws ApiError (429) */
  readonly known: (request: FastifyRequest, caller: Caller) => Promise<void>;
}

/** @param rate requests in a second, at most. */
export async function admission(app: FastifyInstance, rate: number, log: Log): Promise<Admission> {
  await app.register(rateLimit, { global: false });
  const options = { max: rate, timeWindow: WINDOW_MS };
  const byAddress = app.createRateLimit({ ...options, keyGenerator: ({ ip }) => clientOf(ip) });
  const byCaller = app.createRateLimit({ ...options, keyGenerator: ({ caller }) => keyOf(caller) });
  const anonymous = async (request: FastifyRequest): Promise<void> => {
    const { isExceeded } = { isExceeded: false, ...(await byAddress(request)) };
    if (isExceeded) throw tooMany();
  };
  return {
    anonymous,
    beforeAsking: async (request) => {
      const { remaining } = { remaining: rate, ...(await byAddress(request, { increment: false })) };
      if (remaining === 0) throw tooMany();
    },
    note: (request, who) => {
      const from = { address: request.ip, path: request.url.split('?')[0] };
      log.warn({ id: 'unauthorized', ...from }, `unauthorized: ${who}`);
    },
    known: async (request) => {
      const { isExceeded } = { isExceeded: false, ...(await byCaller(request)) };
      if (isExceeded) throw tooMany();
    },
  };
}

function keyOf(caller: Caller | undefined): string {
  return caller === undefined ? '' : `${caller.userId} ${caller.projectId}`;
}

function tooMany(): ApiError {
  return new ApiError('TooManyRequests', 'Too many requests: try again in a second.');
}
