/** Logging in at a keystone as the openstack client does: by `clouds.yaml` or by `OS_*` variables, with what they say. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { asked, isObject, type Fields, type Heard } from './answer.js';

/** For an answer. */
const PATIENCE_MS = 60_000;

/** What cannot be logged in with, or to; one line. */
export class LoginError extends Error {
  override readonly name = 'LoginError';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Who logs in, where, and what he wants of the catalog. */
export interface Credentials {
  /** Without `/v3`. */
  readonly identityUrl: string;
  /** As keystone's API has it. */
  readonly auth: Fields;
  /** Undefined for any. */
  readonly region: string | undefined;
  readonly side: string;
}

/** A live login. */
export interface Session {
  readonly token: string;
  /** Of the catalog; undefined where that has none. */
  readonly networkUrl: string | undefined;
  /** Of the token, in milliseconds; undefined where keystone does not say. */
  readonly lifetime: number | undefined;
}

/** Text of clouds.yaml may look like a number, or a word that YAML knows. */
const TEXT = z.union([z.string(), z.number().transform(String)]).optional();
const CLOUD = z.looseObject({
  auth_type: TEXT,
  region_name: TEXT,
  interface: TEXT,
  auth: z.looseObject({
    auth_url: TEXT,
    username: TEXT,
    user_id: TEXT,
    password: TEXT,
    user_domain_id: TEXT,
    user_domain_name: TEXT,
    default_domain: TEXT,
    default_domain_id: TEXT,
    default_domain_name: TEXT,
    project_id: TEXT,
    project_name: TEXT,
    tenant_id: TEXT,
    tenant_name: TEXT,
    project_domain_id: TEXT,
    project_domain_name: TEXT,
    domain_id: TEXT,
    domain_name: TEXT,
    system_scope: TEXT,
    application_credential_id: TEXT,
    application_credential_name: TEXT,
    application_credential_secret: TEXT,
    token: TEXT,
  }),
});
type Auth = z.infer<typeof CLOUD>['auth'];

/**
 * A cloud of the first `clouds.yaml` that is there, where the openstack client looks; `secure.yaml` beside it is laid over it.
 * @throws LoginError
 */
export function cloudNamed(name: string, env: Environment = process.env): Credentials {
  const clouds = cloudsFile(env);
  const secure = firstOf('secure.yaml', env['OS_CLIENT_SECURE_FILE']);
  const cloud = within(clouds.content, 'clouds', name);
  if (cloud === undefined) {
    const known = Object.keys(within(clouds.content, 'clouds') ?? {});
    throw new LoginError(`${clouds.path}: no cloud ${JSON.stringify(name)}: valid is ${known.join(', ')}`);
  }
  const hidden = within(secure?.content, 'clouds', name);
  const merged = { ...cloud, ...hidden, auth: { ...within(cloud, 'auth'), ...within(hidden, 'auth') } };
  return credentialsOf(merged, `${clouds.path}: ${name}`);
}

/** The cloud of clouds.yaml that `OS_CLOUD` names, or the only one that there is. @throws LoginError */
export function theCloud(env: Environment = process.env): Credentials {
  if (env['OS_CLOUD'] !== undefined && env['OS_CLOUD'] !== '') return cloudNamed(env['OS_CLOUD'], env);
  const { path, content } = cloudsFile(env);
  const [first, ...others] = Object.keys(within(content, 'clouds') ?? {});
  if (first === undefined) throw new LoginError(`${path}: no cloud in it`);
  if (others.length === 0) return cloudNamed(first, env);
  throw new LoginError(`${path}: OS_CLOUD is not set: valid is one of ${[first, ...others].join(', ')}`);
}

function cloudsFile(env: Environment): FoundFile {
  const clouds = firstOf('clouds.yaml', env['OS_CLIENT_CONFIG_FILE']);
  if (clouds !== undefined) return clouds;
  throw new LoginError(`no clouds.yaml: valid is OS_CLIENT_CONFIG_FILE, or one in ${folders().join(', ')}`);
}

/** What `OS_CLOUD`, or the other variables, say. @throws LoginError */
export function cloudOfEnvironment(env: Environment = process.env): Credentials {
  if (env['OS_CLOUD'] !== undefined && env['OS_CLOUD'] !== '') return cloudNamed(env['OS_CLOUD'], env);
  const given = Object.fromEntries(
    Object.entries(env).flatMap(([key, value]) =>
      key.startsWith('OS_') && value !== '' ? [[key.slice(3).toLowerCase(), value]] : [],
    ),
  );
  return credentialsOf({ ...given, auth: given }, 'OS_* variables');
}

/** @param where for messages. @throws LoginError */
export function credentialsOf(cloud: Fields, where: string): Credentials {
  const fail = (reason: string): never => {
    throw new LoginError(`${where}: ${reason}`);
  };
  const result = CLOUD.safeParse(cloud);
  if (!result.success) {
    const [issue] = result.error.issues;
    return fail(`${(issue?.path ?? []).join('.')}: ${issue?.message ?? 'is not valid'}`);
  }
  const { auth, auth_type: type, region_name: region, interface: side } = result.data;
  const url = auth.auth_url ?? fail('auth_url: missing: the identity service');
  if (!/^https?:\/\/[^/]+/.test(url)) fail(`auth_url: ${JSON.stringify(url)} is no URL`);
  return {
    identityUrl: url.replace(/\/+$/, '').replace(/\/v3$/, ''),
    auth: authOf(type, auth, fail),
    region,
    side: (side ?? 'public').replace(/URL$/, ''),
  };
}

function authOf(type: string | undefined, auth: Auth, fail: (reason: string) => never): Fields {
  const byDefault = auth.application_credential_secret === undefined ? 'password' : 'v3applicationcredential';
  switch (type ?? byDefault) {
    case 'password':
    case 'v3password':
      return { identity: { methods: ['password'], password: { user: userOf(auth, fail) } }, ...scopeOf(auth) };
    case 'token':
    case 'v3token':
      return {
        identity: { methods: ['token'], token: { id: auth.token ?? fail('token: missing') } },
        ...scopeOf(auth),
      };
    case 'v3applicationcredential': {
      const secret = auth.application_credential_secret ?? fail('application_credential_secret: missing');
      const { application_credential_id: id, application_credential_name: name } = auth;
      const which =
        id === undefined
          ? { name: name ?? fail('application_credential_id: missing'), user: namedUser(auth, fail) }
          : { id };
      return { identity: { methods: ['application_credential'], application_credential: { ...which, secret } } };
    }
    default:
      return fail(`auth_type: ${type ?? ''}: valid is one of password, token, v3applicationcredential`);
  }
}

function userOf(auth: Auth, fail: (reason: string) => never): Fields {
  return { ...namedUser(auth, fail), password: auth.password ?? fail('password: missing') };
}

function namedUser(auth: Auth, fail: (reason: string) => never): Fields {
  if (auth.user_id !== undefined) return { id: auth.user_id };
  return { name: auth.username ?? fail('username: missing'), domain: domainOf(auth, 'user') };
}

function domainOf(auth: Auth, of: 'user' | 'project'): Fields {
  const id = auth[`${of}_domain_id`];
  const name = auth[`${of}_domain_name`];
  if (id !== undefined) return { id };
  if (name !== undefined) return { name };
  if (auth.default_domain_name !== undefined) return { name: auth.default_domain_name };
  return { id: auth.default_domain_id ?? auth.default_domain ?? 'default' };
}

function scopeOf(auth: Auth): { readonly scope?: Fields } {
  const id = auth.project_id ?? auth.tenant_id;
  const name = auth.project_name ?? auth.tenant_name;
  if (auth.system_scope !== undefined) return { scope: { system: { all: true } } };
  if (id !== undefined) return { scope: { project: { id } } };
  if (name !== undefined) return { scope: { project: { name, domain: domainOf(auth, 'project') } } };
  if (auth.domain_id !== undefined) return { scope: { domain: { id: auth.domain_id } } };
  if (auth.domain_name !== undefined) return { scope: { domain: { name: auth.domain_name } } };
  return {};
}

function folders(): readonly string[] {
  return [process.cwd(), join(homedir(), '.config', 'openstack'), '/etc/openstack'];
}

interface FoundFile {
  readonly path: string;
  readonly content: unknown;
}

/** @param named the file that is said to be it; no other one then */
function firstOf(name: string, named: string | undefined): FoundFile | undefined {
  const paths = named === undefined ? folders().map((folder) => join(folder, name)) : [named];
  for (const path of paths) {
    try {
      return { path, content: parse(readFileSync(path, 'utf8')) };
    } catch (error) {
      const isAbsent = isErrno(error) && error.code === 'ENOENT' && named === undefined;
      if (!isAbsent) throw new LoginError(`${path}: ${firstLine(error)}`);
    }
  }
  return undefined;
}

function isErrno(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}

function within(value: unknown, ...keys: readonly string[]): Fields | undefined {
  let inner = value;
  for (const key of keys) inner = isObject(inner) ? inner[key] : undefined;
  return isObject(inner) ? inner : undefined;
}

/** As keystone writes it, `2026-01-31T12:00:00.000000Z`. */
const TIME = z.iso.datetime().transform(Date.parse).optional().catch(undefined);
const ISSUED = z.object({
  token: z.object({
    issued_at: TIME,
    expires_at: TIME,
    catalog: z
      .array(
        z.object({
          type: z.string(),
          endpoints: z.array(z.object({ interface: z.string(), region_id: z.string().nullish(), url: z.string() })),
        }),
      )
      .default([]),
  }),
});

/** @throws LoginError; its cause is an AnswerError where keystone answers. */
export async function logIn({ identityUrl, auth, region, side }: Credentials, heard?: Heard): Promise<Session> {
  const url = `${identityUrl}/v3/auth/tokens`;
  try {
    const question = {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify({ auth }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    };
    const { content, headers } = await asked(url, question, heard);
    const token = headers.get('x-subject-token');
    const answer = ISSUED.safeParse(content);
    if (token === null || !answer.success) throw new Error(`${url}: answers something that is no token`);
    const { catalog, issued_at: issued, expires_at: expires } = answer.data.token;
    const endpoint = catalog
      .filter(({ type }) => type === 'network')
      .flatMap(({ endpoints }) => endpoints)
      .find((one) => one.interface === side && (region === undefined || one.region_id === region));
    return {
      token,
      networkUrl: endpoint?.url,
      lifetime: issued === undefined || expires === undefined ? undefined : expires - issued,
    };
  } catch (error) {
    throw new LoginError(firstLine(error), { cause: error });
  }
}
