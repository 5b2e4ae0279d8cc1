/** Tokens of the users in a directory: static ones, and those that are given for a password. */
import { randomBytes } from 'node:crypto';
import type { Caller } from '../caller.js';
import { header, type Authenticator } from './authenticator.js';
import { isSameSecret, type Directory, type Project, type User } from './directory.js';

/** Of a token that was given for a password; in milliseconds. */
const LIFE = 3_600_000;
/** Live tokens, at most: the oldest go. */
const MOST_TOKENS = 100_000;

export interface Token {
  readonly id: string;
  readonly user: User;
  /** Undefined for a token that is for no project. */
  readonly project: Project | undefined;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly auditId: string;
}

export class Tokens implements Authenticator {
  readonly #live = new Map<string, Token>();
  readonly #static: readonly { readonly secret: string; readonly token: Token }[];

  constructor(readonly directory: Directory) {
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

  authenticate(headers: Parameters<Authenticator['authenticate']>[0]): Promise<Caller | undefined> {
    const id = header(headers, 'x-auth-token');
    const token = id === undefined ? undefined : this.find(id);
    return Promise.resolve(token === undefined ? undefined : callerOfToken(token));
  }

  /** @returns undefined for a token that is not known, or no more valid. */
  find(id: string): Token | undefined {
    const live = this.#live.get(id);
    if (live !== undefined && live.expiresAt.getTime() > Date.now()) return live;
    return this.#static.find(({ secret }) => isSameSecret(secret, id))?.token;
  }

  issue(user: User, project: Project | undefined, expiresAt = new Date(Date.now() + LIFE)): Token {
    const token: Token = {
      id: randomBytes(32).toString('base64url'),
      user,
      project,
      issuedAt: new Date(),
      expiresAt,
      auditId: randomBytes(16).toString('base64url'),
    };
    this.#live.set(token.id, token);
    this.#forgetOld();
    return token;
  }

  revoke(id: string): void {
    this.#live.delete(id);
  }

  /** In order of issue, so the first are the first to end. */
  #forgetOld(): void {
    for (const [id, { expiresAt }] of this.#live) {
      if (expiresAt.getTime() > Date.now() && this.#live.size <= MOST_TOKENS) return;
      this.#live.delete(id);
    }
  }
}

function callerOfToken({ user, project }: Token): Caller | undefined {
  if (project === undefined) return undefined;
  return { userId: user.id, userName: user.name, projectId: project.id, roles: user.roles.get(project.id) ?? [] };
}
