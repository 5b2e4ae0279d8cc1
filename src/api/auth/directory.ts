/** Users, projects and static tokens, from a file: for stand-alone use. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { parseHash } from './password.js';
import { whyNotPrivate } from './secret-file.js';

const ROLES = ['admin', 'manager', 'member', 'reader'] as const;
/** Roles that come with another one (keystone's implied roles). */
const IMPLIED: Readonly<Record<(typeof ROLES)[number], readonly string[]>> = {
  admin: ['admin', 'manager', 'member', 'reader'],
  manager: ['manager', 'member', 'reader'],
  member: ['member', 'reader'],
  reader: ['reader'],
};

const ID = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'is not 1-64 of A-Z a-z 0-9 _ . -');
const checkHash = (password: string, context: z.RefinementCtx): void => {
  try {
    parseHash(password);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
  }
};
const FILE = z.strictObject({
  projects: z.array(z.strictObject({ id: ID, name: z.string().min(1) })).min(1),
  users: z
    .array(
      z.strictObject({
        id: ID,
        name: z.string().min(1),
        password: z.string().min(1).superRefine(checkHash).optional(),
        roles: z.record(z.string(), z.array(z.enum(ROLES)).min(1)),
      }),
    )
    .default([]),
  tokens: z
    .array(z.strictObject({ token: z.string().min(16, 'is shorter than 16 characters'), user: ID, project: ID }))
    .default([]),
});

export interface Project {
  readonly id: string;
  readonly name: string;
}

export interface User {
  readonly id: string;
  readonly name: string;
  /** As it is, or its hash (password.ts). */
  readonly password: string | undefined;
  /** Roles, implied ones too, by project id. */
  readonly roles: ReadonlyMap<string, readonly string[]>;
}

export interface Directory {
  readonly projects: readonly Project[];
  readonly users: readonly User[];
  readonly tokens: readonly { readonly token: string; readonly user: User; readonly project: Project }[];
}

/** A file of users that cannot be used: one line with file, place and reason. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
}

/** @throws DirectoryError also when others than its owner may read it, for it holds passwords. */
export function readDirectory(path: string): Directory {
  const fail = (reason: string): never => {
    throw new DirectoryError(`${path}: ${reason}`);
  };
  let content: unknown;
  try {
    const why = whyNotPrivate(path);
    if (why !== undefined) fail(why);
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof DirectoryError) throw error;
    fail(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
  }
  const result = FILE.safeParse(content);
  if (!result.success) {
    const [issue] = result.error.issues;
    return fail(`${(issue?.path ?? []).join('.')}: ${issue?.message ?? 'is not valid'}`);
  }
  const { projects, users: given, tokens } = result.data;
  const users = given.map(({ id, name, password, roles }): User => ({
    id,
    name,
    password,
    roles: new Map(
      Object.entries(roles).map(([text, own]) => {
        const project = projects.find((one) => one.id === text) ?? projects.find((one) => one.name === text);
        if (project === undefined) return fail(`users.${name}.roles: ${text} is no project of this file`);
        return [project.id, [...new Set(own.flatMap((role) => IMPLIED[role]))]];
      }),
    ),
  }));
  for (const [what, names] of [
    ['project', projects.map(({ name }) => name)],
    ['project id', projects.map(({ id }) => id)],
    ['user', users.map(({ name }) => name)],
    ['user id', users.map(({ id }) => id)],
  ] as const) {
    const repeated = names.find((name, index) => names.indexOf(name) !== index);
    if (repeated !== undefined) fail(`${what} ${repeated} is there twice`);
  }
  return {
    projects,
    users,
    tokens: tokens.map(({ token, user: userId, project: projectId }, index) => {
      const user = users.find(({ id }) => id === userId);
      const project = projects.find(({ id }) => id === projectId);
      if (user === undefined) return fail(`tokens.${index.toString()}.user: ${userId} is no user of this file`);
      if (project === undefined || !user.roles.has(project.id)) {
        return fail(`tokens.${index.toString()}.project: ${projectId} is no project of user ${userId}`);
      }
      return { token, user, project };
    }),
  };
}
