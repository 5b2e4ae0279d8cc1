/** Finds out who asks. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../caller.js';

/** What is known of a request before anybody knows who asks. */
export interface Asked {
  readonly headers: IncomingHttpHeaders;
  /** The TCP port that it came to; undefined for one that came another way, where no browser can. */
  readonly localPort: number | undefined;
  /** Whom its address belongs to. */
  readonly client: string;
  /** To be awaited before somebody else is asked about an identity. @throws ApiError (429) for an address with too many wrong ones */
  readonly admit: () => Promise<void>;
}

export interface Authenticator {
  /** The identity service in use; undefined where it is our own, or none. */
  readonly identityUrl?: string;
  /** @returns undefined for somebody who cannot be known. @throws ApiError (503) when that cannot be found out now. */
  authenticate(asked: Asked): Promise<Caller | undefined>;
}

export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
