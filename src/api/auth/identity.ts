/**
 * A part of keystone's `v3`, for stand-alone use: tokens by password or by token, the catalog, projects by name. Where there is a
 * keystone, `--auth keystone:URL` takes its place.
 */
import { availableParallelism } from 'node:os';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../errors.js';
import { baseUrl, empty, parameter, parametersOf } from '../service.js';
import { isObject, listOf, shown, type Fields } from '../kinds/parsers.js';
import { header } from './authenticator.js';
import type { Admission } from '../admission.js';
import type { Project, User } from './directory.js';
import type { Token, Tokens } from './tokens.js';
import { clientOf, Turns } from '../turns.js';

const DOMAIN = { id: 'default', name: 'Default' };

export function identityError(error: ApiError): object {
  const titles: Readonly<Record<number, string>> = {
    400: 'Bad Request',
    401: 'Unauthorized',
    403: 'Forbidden',
    404: 'Not Found',
    429: 'Too Many Requests',
    503: 'Service Unavailable',
  };
  return { error: { code: error.status, message: error.message, title: titles[error.status] ?? 'Error' } };
}

export function identityVersion(request: FastifyRequest): object {
  return {
    id: 'v3.14',
    status: 'stable',
    updated: '2020-04-07T00:00:00Z',
    links: [{ rel: 'self', href: `${baseUrl(request)}/identity/v3/` }],
    'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
  };
}

/**
 * A password costs a core for a third of a second and 32 MiB, and the same threads read the certificates and names of everybody else:
 * most cores stay free, and what waits of one client is done in some seconds.
 */
const LOGINS = {
  underWay: Math.max(1, Math.min(2, availableParallelism() - 1)),
  underWayOfOne: 1,
  waiting: 128,
  waitingOfOne: 16,
};

export function registerIdentity(app: FastifyInstance, tokens: Tokens, admission: Admission): void {
  const { directory } = tokens;
  const logins = new Turns(LOGINS);
  const ownToken = (request: FastifyRequest): Token => {
    const token = tokens.find(header(request.headers, 'x-auth-token') ?? '');
    if (token === undefined) throw unauthorized();
    return token;
  };
  /** The token that is asked about: one's own, or any for an administrator. */
  const subject = (request: FastifyRequest): Token => {
    const own = ownToken(request);
    const token = tokens.find(header(request.headers, 'x-subject-token') ?? '');
    if (token === undefined || (token.user.id !== own.user.id && !isAdminToken(own))) {
      throw new ApiError('NotFound', 'Could not find token.');
    }
    return token;
  };
  const projectsOf = (token: Token): readonly Project[] =>
    isAdminToken(token) ? directory.projects : directory.projects.filter(({ id }) => token.user.roles.has(id));

  app.get('/', (request) => ({ version: identityVersion(request) }));
  app.post('/auth/tokens', async (request, reply) => {
    const inTurn: InTurn = async (work) => logins.take(clientOf(request.ip), work);
    const token = await issued(tokens, request.body, inTurn).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 401) {
        admission.note(request, `login of ${nameOf(request.body)} failed`);
      }
      throw error;
    });
    await reply.code(201).header('X-Subject-Token', token.id).send(tokenView(token, request));
  });
  app.get('/auth/tokens', async (request, reply) => {
    const token = subject(request);
    await reply.header('X-Subject-Token', token.id).send(tokenView(token, request));
  });
  app.delete('/auth/tokens', async (request, reply) => {
    await tokens.revoke(subject(request).id);
    await empty(reply, 204);
  });
  app.get('/auth/catalog', (request) => {
    ownToken(request);
    return { catalog: catalog(request), links: { self: `${baseUrl(request)}/identity/v3/auth/catalog` } };
  });
  app.get('/auth/projects', (request) => ({
    projects: projectsOf(ownToken(request)).map((project) => projectView(project, request)),
    links: {},
  }));
  app.get('/projects', (request) => {
    const name = parametersOf(request).get('name');
    const projects = projectsOf(ownToken(request)).filter((project) => name === null || project.name === name);
    return {
      projects: projects.map((project) => projectView(project, request)),
      links: { next: null, previous: null, self: `${baseUrl(request)}/identity/v3/projects` },
    };
  });
  app.get('/projects/:id', (request) => {
    const id = parameter(request, 'id');
    const project = projectsOf(ownToken(request)).find((one) => one.id === id);
    if (project === undefined) throw new ApiError('NotFound', `Could not find project: ${id.slice(0, 80)}.`);
    return { project: projectView(project, request) };
  });
}

function unauthorized(): ApiError {
  return new ApiError('Unauthorized', 'The request you have made requires authentication.');
}

function isAdminToken({ user, project }: Token): boolean {
  return project !== undefined && user.roles.get(project.id)?.includes('admin') === true;
}

/** Does what costs much when it is its client's turn. @throws ApiError (429, 503) when too much waits */
type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

async function issued(tokens: Tokens, body: unknown, inTurn: InTurn): Promise<Token> {
  const auth = within(body, 'auth');
  const identity = within(auth, 'identity');
  const methods = identity?.['methods'];
  const [method] = listOf(methods);
  if (method === 'password') {
    const user = await userByPassword(tokens, within(within(identity, 'password'), 'user'), inTurn);
    return tokens.issue(user, scopeOf(tokens, user, auth));
  }
  if (method === 'token') {
    const id = within(identity, 'token')?.['id'];
    const known = typeof id === 'string' ? tokens.find(id) : undefined;
    if (known === undefined) throw unauthorized();
    // As long as the first one lives, not longer.
    const latest = new Date(Math.min(known.expiresAt.getTime(), Date.now() + 3_600_000));
    return tokens.issue(known.user, scopeOf(tokens, known.user, auth) ?? known.project, latest);
  }
  throw new ApiError('ValidationError', 'auth.identity.methods: valid is one of password, token.');
}

async function userByPassword(tokens: Tokens, given: Fields | undefined, inTurn: InTurn): Promise<User> {
  const password = given?.['password'];
  const user = tokens.directory.users.find(
    ({ id, name }) => id === given?.['id'] || (given?.['id'] === undefined && name === given?.['name']),
  );
  // Compared also when there is no such user: who asks learns nothing from the time it takes.
  const isRight = await inTurn(async () =>
    tokens.checkPassword(typeof password === 'string' ? password : '', user?.password),
  );
  if (user === undefined || !isRight) throw unauthorized();
  return user;
}

/** For the log: whom a login was for. */
function nameOf(body: unknown): string {
  const user = within(within(within(within(body, 'auth'), 'identity'), 'password'), 'user');
  return shown(user?.['name'] ?? user?.['id'] ?? 'nobody');
}

/** @throws ApiError (401) for a project that the user has no role in. */
function scopeOf(tokens: Tokens, user: User, auth: Fields | undefined): Project | undefined {
  const wanted = within(within(auth, 'scope'), 'project');
  if (wanted === undefined) return undefined;
  const project = tokens.directory.projects.find(
    ({ id, name }) => id === wanted['id'] || (wanted['id'] === undefined && name === wanted['name']),
  );
  if (project === undefined || !user.roles.has(project.id)) throw unauthorized();
  return project;
}

function within(value: unknown, key: string): Fields | undefined {
  const inner = isObject(value) ? value[key] : undefined;
  return isObject(inner) ? inner : undefined;
}

function tokenView({ user, project, issuedAt, expiresAt, auditId }: Token, request: FastifyRequest): object {
  const roles = project === undefined ? [] : (user.roles.get(project.id) ?? []);
  return {
    token: {
      methods: ['password'],
      user: { id: user.id, name: user.name, domain: DOMAIN, password_expires_at: null },
      ...(project === undefined
        ? {}
        : {
            project: { id: project.id, name: project.name, domain: DOMAIN },
            is_domain: false,
            roles: roles.map((name) => ({ id: name, name })),
            catalog: catalog(request),
          }),
      audit_ids: [auditId],
      issued_at: microseconds(issuedAt),
      // The static ones last for ever; a far date is what clients can read.
      expires_at: microseconds(new Date(Math.min(expiresAt.getTime(), Date.UTC(2999, 0)))),
    },
  };
}

function microseconds(date: Date): string {
  return date.toISOString().replace(/(\.\d{3})Z$/, '$1000Z');
}

function catalog(request: FastifyRequest): readonly object[] {
  const base = baseUrl(request);
  return [
    ['identity', 'keystone', '/identity'],
    ['network', 'neutron', '/network'],
    ['compute', 'nova', '/compute/v2.1'],
    ['image', 'glance', '/image'],
  ].map(([type = '', name = '', path = '']) => ({
    id: type,
    type,
    name,
    endpoints: ['public', 'internal', 'admin'].map((side) => ({
      id: `${type}-${side}`,
      interface: side,
      region: 'RegionOne',
      region_id: 'RegionOne',
      url: `${base}${path}`,
    })),
  }));
}

function projectView({ id, name }: Project, request: FastifyRequest): object {
  return {
    id,
    name,
    domain_id: DOMAIN.id,
    description: '',
    enabled: true,
    parent_id: DOMAIN.id,
    is_domain: false,
    tags: [],
    options: {},
    links: { self: `${baseUrl(request)}/identity/v3/projects/${id}` },
  };
}
