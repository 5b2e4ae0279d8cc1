/** Tokens of the users in a directory: static ones, and those that are given for a password. */
import { createHash, randomBytes } from 'node:crypto';
import type { Caller } from '../caller.js';
import { header, type Asked, type Authenticator } from './authenticator.js';
import type { Directory, Project, User } from './directory.js';
import { isPassword } from './password.js';
import { isSameSecret } from './secret.js';

/** Of a token that was given for a password. */
const LIFE_MS = 3_600_000;
/** Live tokens of one user, at most: his oldest go. */
const MOST_TOKENS = 1000;

export interface Token {
  readonly id: string;
  readonly user: User;
  /** Undefined for a token that is for no project. */
  readonly project: Project | undefined;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly auditId: string;
}

/** Which tokens of the file were given back, by digest: it outlives the process, which the file's own text does not show. */
export interface Revocations {
  readonly isRevoked: (digest: string) => boolean;
  /** @throws StoreError when it cannot be remembered */
  readonly revoke: (digest: string) => Promise<void>;
}

export class Tokens implements Authenticator {
  readonly #live = new Map<string, Token>();
  #revocations: Revocations | undefined;
  readonly #static: readonly { readonly secret: string; readonly token: Token }[];

  constructor(
    readonly directory: Directory,
    readonly checkPassword = isPassword,
  ) {
    this.#static = directory.tokens.map(({ token, user, project }) => ({
      secret: token,
      token: {
        id: token,
        user,
        project,
        issuedAt: new Date(0),
        expiresAt: new Date(8.64e15),
        auditId: 'static',
      },
    }));
  }

  /** @returns places in the file of tokens that are refused because they were given back: `tokens.0` */
  remember(revocations: Revocations): readonly string[] {
    this.#revocations = revocations;
    return this.#static.flatMap(({ secret }, index) =>
      revocations.isRevoked(digestOf(secret)) ? [`tokens.${index.toString()}`] : [],
    );
  }

  authenticate({ headers }: Asked): Promise<Caller | undefined> {
    const id = header(headers, 'x-auth-token');
    const token = id === undefined ? undefined : this.find(id);
    return Promise.resolve(token === undefined ? undefined : callerOfToken(token));
  }

  /** @returns undefined for a token that is not known, or no more valid. */
  find(id: string): Token | undefined {
    const live = this.#live.get(id);
    if (live !== undefined && live.expiresAt.getTime() > Date.now()) return live;
    const found = this.#static.find(({ secret }) => isSameSecret(secret, id));
    return found === undefined || this.#revocations?.isRevoked(digestOf(found.secret)) === true
      ? undefined
      : found.token;
  }

  issue(user: User, project: Project | undefined, expiresAt = new Date(Date.now() + LIFE_MS)): Token {
    const token: Token = {
      id: randomBytes(32).toString('base64url'),
      user,
      project,
      issuedAt: new Date(),
      expiresAt,
      auditId: randomBytes(16).toString('base64url'),
    };
    this.#forgetOld(user);
    this.#live.set(token.id, token);
    return token;
  }

  /** For good: one of the file, too. @throws StoreError when that cannot be remembered; it is not revoked then */
  async revoke(id: string): Promise<void> {
    this.#live.delete(id);
    const found = this.#static.find(({ secret }) => isSameSecret(secret, id));
    if (found !== undefined) await this.#revocations?.revoke(digestOf(found.secret));
  }

  #forgetOld(user: User): void {
    const now = Date.now();
    const own: string[] = [];
    for (const [id, token] of this.#live) {
      if (token.expiresAt.getTime() <= now) this.#live.delete(id);
      else if (token.user === user) own.push(id);
    }
    // In order of issue.
    for (const id of own.slice(0, Math.max(0, own.length + 1 - MOST_TOKENS))) this.#live.delete(id);
  }
}

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function callerOfToken({ user, project }: Token): Caller | undefined {
  if (project === undefined) return undefined;
  return { userId: user.id, userName: user.name, projectId: project.id, roles: user.roles.get(project.id) ?? [] };
}
