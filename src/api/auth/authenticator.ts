/** Finds out who asks. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../caller.js';

export interface Authenticator {
  /** @returns undefined for somebody who cannot be known. @throws ApiError (503) when that cannot be found out now. */
  authenticate(headers: IncomingHttpHeaders): Promise<Caller | undefined>;
}

export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
