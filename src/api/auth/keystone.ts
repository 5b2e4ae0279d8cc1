/** Tokens of a keystone: validated there, and remembered for a while. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Caller } from '../caller.js';
import { BoundedMap } from '../bounded-map.js';
import { ApiError } from '../errors.js';
import { Turns } from '../turns.js';
import { header, type Asked, type Authenticator } from './authenticator.js';

/** For an answer. */
const PATIENCE_MS = 5000;
/** Remembered tokens, at most: the oldest go. */
const MOST_TOKENS = 10_000;
/** keystonemiddleware's `token_cache_time`: how long a token that was revoked goes on, at most. In seconds. */
export const DEFAULT_CACHE_SECONDS = 300;
/** keystonemiddleware's `service_token_roles`. */
const SERVICE_ROLE = 'service';
/** To keystone: while it is slow, whoever makes up tokens takes neither its whole attention nor ours. */
const QUESTIONS = { underWay: 64, underWayOfOne: 16, waiting: 1024, waitingOfOne: 128 };

const ANSWER = z.object({
  token: z.object({
    user: z.object({ id: z.string(), name: z.string() }),
    project: z.object({ id: z.string() }).optional(),
    domain: z.object({ id: z.string() }).optional(),
    system: z.object({ all: z.boolean().optional() }).optional(),
    roles: z.array(z.object({ name: z.string() })).default([]),
    expires_at: z.string(),
  }),
});

/** Who asks, as far as that is known before the answer. */
type Who = Pick<Asked, 'client' | 'admit'>;

type Token = z.infer<typeof ANSWER>['token'];

interface Known {
  readonly token: Token;
  /** When it was learnt, on the monotonic clock; in milliseconds. A wall clock that is set back keeps nobody's token alive. */
  readonly learntAt: number;
  /** In milliseconds since the epoch; infinite where a service vouches for what has ended. */
  readonly expires: number;
}

export class Keystone implements Authenticator {
  /** Where clients get tokens. */
  readonly identityUrl: string;
  readonly #tokensUrl: string;
  /** By digest: a token is as good as a password. */
  readonly #known = new BoundedMap<string, Known>(MOST_TOKENS);
  /** Questions that are under way or wait for it, likewise. */
  readonly #asking = new Map<string, Promise<Token | undefined>>();
  readonly #turns = new Turns(QUESTIONS);

  /**
   * @param url of the identity service, with or without `/v3`.
   * @param cacheSeconds how long what it said of a token is believed; 0 to ask each time.
   * @param now a monotonic clock, in milliseconds.
   */
  constructor(
    url: string,
    private readonly cacheSeconds = DEFAULT_CACHE_SECONDS,
    private readonly now = (): number => performance.now(),
  ) {
    this.identityUrl = url.replace(/\/+$/, '').replace(/\/v3$/, '');
    this.#tokensUrl = `${this.identityUrl}/v3/auth/tokens`;
  }

  async authenticate({ headers, client, admit }: Asked): Promise<Caller | undefined> {
    const token = header(headers, 'x-auth-token');
    if (token === undefined) return undefined;
    const service = header(headers, 'x-service-token');
    const found =
      service === undefined
        ? await this.#validated(token, token, { client, admit })
        : await this.#forService(token, service, { client, admit });
    return found === undefined ? undefined : callerOf(found);
  }

  /**
   * A service that works on for its user, whose token may have ended meanwhile (`allow_expired`). Who is known, and no service, vouches
   * for nothing: the user's token counts by itself, as in keystonemiddleware. Who is not known is refused, whatever the user's token is.
   */
  async #forService(token: string, service: string, who: Who): Promise<Token | undefined> {
    const own = await this.#validated(service, service, who);
    if (own === undefined) return undefined;
    const isService = own.roles.some(({ name }) => name.toLowerCase() === SERVICE_ROLE);
    return this.#validated(token, isService ? service : token, who);
  }

  /** @param by whose token asks; a token may ask about itself (keystone's `identity:validate_token`), so we need no password. */
  async #validated(token: string, by: string, { client, admit }: Who): Promise<Token | undefined> {
    const digest = createHash('sha256').update(`${token}\n${by}`).digest('base64');
    const known = this.#known.get(digest);
    if (known !== undefined && this.#isFresh(known)) return known.token;
    await admit();
    // What is not to be believed for any time is not believed by whoever asks later, either.
    const underWay = this.cacheSeconds > 0 ? this.#asking.get(digest) : undefined;
    if (underWay !== undefined) return underWay;
    const answer = this.#turns.take(client, async () => {
      // Others of the same address were found wrong while this one waited.
      await admit();
      return this.#learnt(digest, token, by);
    });
    this.#asking.set(digest, answer);
    return answer.finally(() => {
      if (this.#asking.get(digest) === answer) this.#asking.delete(digest);
    });
  }

  async #learnt(digest: string, token: string, by: string): Promise<Token | undefined> {
    this.#known.delete(digest);
    const learntAt = this.now();
    const found = await this.#asked(token, by);
    if (found === undefined) return undefined;
    const expires = Date.parse(found.expires_at);
    const isExpired = !(expires > Date.now());
    if (isExpired && by === token) return undefined;
    this.#known.set(digest, { token: found, learntAt, expires: isExpired ? Infinity : expires });
    return found;
  }

  #isFresh({ learntAt, expires }: Known): boolean {
    return this.now() - learntAt < this.cacheSeconds * 1000 && expires > Date.now();
  }

  async #asked(token: string, by: string): Promise<Token | undefined> {
    let response: Response;
    try {
      response = await fetch(by === token ? this.#tokensUrl : `${this.#tokensUrl}?allow_expired=1`, {
        headers: { 'X-Auth-Token': by, 'X-Subject-Token': token, Accept: 'application/json' },
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch {
      throw unavailable();
    }
    if ([401, 403, 404].includes(response.status)) return undefined;
    if (!response.ok) throw unavailable();
    const answer = ANSWER.safeParse(await response.json().catch(() => undefined));
    if (!answer.success) throw unavailable();
    return answer.data.token;
  }
}

/** Who is in no project has nothing here. @throws ApiError (403) for a token of a system or a domain */
function callerOf({ user, project, domain, system, roles }: Token): Caller | undefined {
  if (project !== undefined) {
    return {
      userId: user.id,
      userName: user.name,
      projectId: project.id,
      roles: roles.map(({ name }) => name.toLowerCase()),
    };
  }
  const scope = system !== undefined ? 'system' : domain !== undefined ? 'domain' : undefined;
  if (scope === undefined) return undefined;
  throw new ApiError('Forbidden', `The token is of a ${scope}: valid is one of a project.`);
}

function unavailable(): ApiError {
  return new ApiError('ServiceUnavailable', 'The identity service does not answer: nobody can be authenticated now.');
}
