/** What the routes of every service share. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from './caller.js';
import type { Database } from './database.js';
import { ApiError } from './errors.js';
import { isObject, text } from './kinds/parsers.js';
import type { Hosts } from './topology/hosts.js';
import type { Followers } from './topology/followers.js';

export interface Service {
  readonly database: Database;
  readonly followers: Followers;
  readonly hosts: Hosts;
  /** The host that servers are put on; undefined when it must be said for each. */
  readonly computeHost: string | undefined;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True for routes that know what If-Match says. */
    checksRevision?: boolean;
  }
  interface FastifyRequest {
    /** Set where a route is for those who are known. */
    caller: Caller | undefined;
  }
}

/** Who asks. @throws ApiError (401) where nobody was found out. */
export function callerOf({ caller }: FastifyRequest): Caller {
  if (caller === undefined) throw new ApiError('Unauthorized', 'The request you have made requires authentication.');
  return caller;
}

/** The address by which the client reached us: `http://HOST:PORT`. */
export function baseUrl(request: FastifyRequest): string {
  return `${request.protocol}://${request.host}`;
}

export function parametersOf(request: FastifyRequest): URLSearchParams {
  const query = request.url.indexOf('?');
  return new URLSearchParams(query < 0 ? '' : request.url.slice(query + 1));
}

/** A path parameter. */
export function parameter(request: FastifyRequest, name: string): string {
  const value = isObject(request.params) ? request.params[name] : undefined;
  return typeof value === 'string' ? value : '';
}

/** A project's id as it may be stored, and is a part of a store's key. @throws ApiError (400) */
export function projectParameter(request: FastifyRequest): string {
  return text(255)(parameter(request, 'project'), 'project_id');
}

export async function empty(reply: FastifyReply, status: number): Promise<void> {
  await reply.code(status).send();
}
