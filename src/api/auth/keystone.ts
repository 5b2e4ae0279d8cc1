/** Tokens of a keystone: validated there, and remembered for as long as they live. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Caller } from '../caller.js';
import { ApiError } from '../errors.js';
import { header, type Asked, type Authenticator } from './authenticator.js';

/** For an answer; in milliseconds. */
const PATIENCE = 5000;
/** Remembered tokens, at most: the oldest go. */
const MOST_TOKENS = 10_000;

const ANSWER = z.object({
  token: z.object({
    user: z.object({ id: z.string(), name: z.string() }),
    project: z.object({ id: z.string() }).optional(),
    roles: z.array(z.object({ name: z.string() })).default([]),
    expires_at: z.string(),
  }),
});

interface Known {
  readonly caller: Caller | undefined;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

export class Keystone implements Authenticator {
  /** By digest: a token is as good as a password. */
  readonly #known = new Map<string, Known>();

  /** @param url of the identity service, with or without `/v3`. */
  constructor(private readonly url: string) {}

  async authenticate({ headers, admit }: Asked): Promise<Caller | undefined> {
    const token = header(headers, 'x-auth-token');
    if (token === undefined) return undefined;
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#known.get(digest);
    if (known !== undefined && known.until > Date.now()) return known.caller;
    await admit();
    const found = await this.#validate(token);
    this.#known.delete(digest);
    if (found === undefined) return undefined;
    this.#known.set(digest, found);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST_TOKENS && oldest !== undefined) this.#known.delete(oldest);
    return found.caller;
  }

  /** A token may ask about itself (keystone's policy `identity:validate_token`), so we need no password of our own. */
  async #validate(token: string): Promise<Known | undefined> {
    const base = this.url.replace(/\/+$/, '').replace(/\/v3$/, '');
    let response: Response;
    try {
      response = await fetch(`${base}/v3/auth/tokens`, {
        headers: { 'X-Auth-Token': token, 'X-Subject-Token': token, Accept: 'application/json' },
        signal: AbortSignal.timeout(PATIENCE),
      });
    } catch {
      throw unavailable();
    }
    if (response.status === 401 || response.status === 404) return undefined;
    if (!response.ok) throw unavailable();
    const answer = ANSWER.safeParse(await response.json().catch(() => undefined));
    if (!answer.success) throw unavailable();
    const { user, project, roles, expires_at: expires } = answer.data.token;
    const until = Date.parse(expires);
    if (!(until > Date.now())) return undefined;
    return {
      until,
      // Who is in no project has nothing here.
      caller:
        project === undefined
          ? undefined
          : {
              userId: user.id,
              userName: user.name,
              projectId: project.id,
              roles: roles.map(({ name }) => name.toLowerCase()),
            },
    };
  }
}

function unavailable(): ApiError {
  return new ApiError(
    503,
    'ServiceUnavailable',
    'The identity service does not answer: nobody can be authenticated now.',
  );
}
