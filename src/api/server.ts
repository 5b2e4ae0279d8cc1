/** The HTTP server: every service below its prefix, who asks, limits, and what is said when something is wrong. */
import { randomUUID } from 'node:crypto';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Log } from '../../agent/log.js';
import { admission, type Admission } from './admission.js';
import { agentAuthenticator } from './auth/agent.js';
import type { Authenticator } from './auth/authenticator.js';
import { identityError, identityVersion, registerIdentity } from './auth/identity.js';
import type { Tokens } from './auth/tokens.js';
import type { Caller } from './caller.js';
import { parseJsonAlways } from './body.js';
import { ApiError } from './errors.js';
import { countAnswers, registerHealth } from './health.js';
import { errorBody, registerNeutron, versions } from './neutron/routes.js';
import { notUnderstood } from './neutron/resource.js';
import { registerImages } from './nova/catalog.js';
import { novaError, novaVersion, registerNova } from './nova/routes.js';
import { baseUrl, type Service } from './service.js';
import { StoreError, UnknownOutcome } from './store/store.js';
import { Followers } from './topology/followers.js';
import { registerHosts } from './topology/hosts-routes.js';
import { registerBackup, registerTopology } from './topology/routes.js';
import { clientOf } from './turns.js';

export interface ServerSettings {
  readonly version: string;
  readonly service: Omit<Service, 'followers'>;
  readonly authenticator: Authenticator;
  /** Our own identity service's; undefined where there is another one, or none. */
  readonly tokens: Tokens | undefined;
  /** With it an agent may read the topology; undefined where it must be an administrator. */
  readonly agentToken: string | undefined;
  /** PEM. */
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  readonly log: Logger;
  /** Requests of one client (by token or address) in a second, at most. */
  readonly rate: number;
}

/** Of a request's body. */
const MOST_BODY_BYTES = 4 * 1024 * 1024;
/** For a request to arrive. */
const ARRIVES_WITHIN_MS = 30_000;
/** Between looks for requests that did not. */
const LOOK_EVERY_MS = 3000;

export async function buildServer(settings: ServerSettings): Promise<FastifyInstance> {
  const { tls } = settings;
  // As the library knows it: its own type of server would have pino's otherwise.
  const log: FastifyBaseLogger = settings.log;
  const options = {
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MOST_BODY_BYTES,
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 16_384 },
    forceCloseConnections: true,
    genReqId: () => `req-${randomUUID()}`,
    // As Neutron: `.json` behind a path says nothing. Behind a query it belongs to what is asked for.
    rewriteUrl: (request: { readonly url?: string | undefined }) =>
      (request.url ?? '/').replace(/^([^?]*)\.json(?=$|\?)/, '$1'),
  };
  const timeouts = { requestTimeout: ARRIVES_WITHIN_MS, connectionsCheckingInterval: LOOK_EVERY_MS };
  const app: FastifyInstance = fastify({
    ...options,
    serverFactory: (handler) =>
      tls === undefined ? createPlain(timeouts, handler) : createServer({ ...tls, ...timeouts }, handler),
  });
  app.decorateRequest('caller', undefined);
  parseJsonAlways(app);
  answerErrors(app, log, settings.authenticator.identityUrl);
  refusePreconditions(app);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Openstack-Request-Id', request.id);
    done();
  });
  // Whoever changed something can ask where that is in force (`portcullis wait --revision`).
  app.addHook('onSend', (_request, reply, _payload, done) => {
    reply.header('X-Portcullis-Revision', settings.service.database.revision);
    done();
  });
  await registerServices(app, settings, await admission(app, settings.rate, log));
  return app;
}

/** Whoever sends a precondition relies on it: one that the route does not know is not met. */
function refusePreconditions(app: FastifyInstance): void {
  const names = ['if-match', 'if-none-match', 'if-unmodified-since'];
  app.addHook('preValidation', (request, _reply, done) => {
    const isChange = request.method !== 'GET' && request.method !== 'HEAD';
    const found = names.find(
      (name) =>
        isChange &&
        request.headers[name] !== undefined &&
        !(name === 'if-match' && request.routeOptions.config.checksRevision === true),
    );
    done(found === undefined ? undefined : notUnderstood(found, String(request.headers[found])));
  });
}

async function registerServices(app: FastifyInstance, settings: ServerSettings, may: Admission): Promise<void> {
  const { authenticator, tokens, version } = settings;
  if (tokens !== undefined) rememberRevoked(tokens, settings);
  const answers = countAnswers(app);
  const service = { ...settings.service, followers: new Followers() };
  const known = (scope: FastifyInstance, first?: Authenticator): void => {
    scope.addHook('onRequest', async (request) => {
      // Other processes of the API may have changed who is known, and what is asked for.
      await service.database.refresh();
      const asked = {
        headers: request.headers,
        localPort: request.socket.localPort,
        client: clientOf(request.ip),
        admit: async () => may.beforeAsking(request),
      };
      const caller = (await first?.authenticate(asked)) ?? (await authenticator.authenticate(asked));
      if (caller === undefined) {
        await may.anonymous(request);
        may.note(request, 'no identity that is known');
        throw new ApiError('Unauthorized', 'The request you have made requires authentication.');
      }
      request.caller = caller;
      await may.known(request, caller);
    });
  };
  const anyone = { onRequest: async (request: FastifyRequest) => may.anonymous(request) };
  await app.register((scope, _options, done) => {
    scope.addHook('onRequest', anyone.onRequest);
    registerHealth(scope, service, { answers, version });
    done();
  });
  for (const prefix of ['', '/network']) {
    app.get(prefix === '' ? '/' : prefix, anyone, (request) => versions(request, prefix));
    await app.register(
      (scope, _options, done) => {
        known(scope);
        registerNeutron(scope, service, prefix);
        done();
      },
      { prefix: `${prefix}/v2.0` },
    );
  }
  app.get('/compute', anyone, (request) => ({ versions: [novaVersion(request)] }));
  app.get('/compute/v2.1', anyone, (request) => ({ version: novaVersion(request) }));
  await app.register(
    (scope, _options, done) => {
      known(scope);
      registerNova(scope, service);
      done();
    },
    { prefix: '/compute/v2.1' },
  );
  app.get('/image', anyone, async (request, reply) => {
    const links = [{ rel: 'self', href: `${baseUrl(request)}/image/v2/` }];
    await reply.code(300).send({ versions: [{ id: 'v2.15', status: 'CURRENT', links }] });
  });
  await app.register(
    (scope, _options, done) => {
      known(scope);
      registerImages(scope);
      done();
    },
    { prefix: '/image' },
  );
  await app.register(
    (scope, _options, done) => {
      known(scope, agentAuthenticator(settings.agentToken));
      registerTopology(scope, service);
      registerHosts(scope, service);
      registerBackup(scope, service);
      done();
    },
    { prefix: '/portcullis/v1' },
  );
  if (tokens === undefined) return;
  app.get('/identity', anyone, async (request, reply) => {
    await reply.code(300).send({ versions: { values: [identityVersion(request)] } });
  });
  await app.register(
    (scope, _options, done) => {
      scope.addHook('onRequest', anyone.onRequest);
      registerIdentity(scope, tokens, may);
      done();
    },
    { prefix: '/identity/v3' },
  );
}

/** Tokens of the file that were given back are in the store: the file is somebody else's to write. */
function rememberRevoked(tokens: Tokens, { service: { database }, log }: ServerSettings): void {
  const refused = tokens.remember({
    isRevoked: (digest) => database.view.get('revoked_token', digest) !== undefined,
    revoke: async (digest) =>
      database.change(REVOKER, (writer) => {
        writer.put('revoked_token', { id: digest });
      }),
  });
  for (const place of refused) {
    log.warn({ id: 'token-refused' }, `the file of users: ${place}: was revoked, and is refused: take it out`);
  }
}

/** For the log: whoever revokes has shown the token itself, or is an administrator. */
const REVOKER: Caller = { userId: 'portcullis', userName: 'portcullis', projectId: '', roles: [] };

function answerErrors(app: FastifyInstance, log: Log, identityUrl: string | undefined): void {
  app.setErrorHandler(async (error, request, reply) => {
    const known = asApiError(error);
    if (known.status >= 500)
      log.error({ id: 'request-failed', request: request.id, url: request.url }, errorText(error));
    if (known.status === 401)
      reply.header('WWW-Authenticate', `Keystone uri="${identityUrl ?? `${baseUrl(request)}/identity`}"`);
    if (known.type === 'TooManyRequests' || known.type === 'Overloaded') reply.header('Retry-After', 1);
    await reply.code(known.status).send(bodyOf(known, request));
  });
  app.setNotFoundHandler(async (request, reply) => {
    const isKnownMethod = ['GET', 'POST', 'PUT', 'DELETE'].includes(request.method);
    const error = isKnownMethod
      ? new ApiError('HTTPNotFound', 'The resource could not be found.')
      : new ApiError('HTTPMethodNotAllowed', `The method ${request.method} is not allowed for this resource.`);
    await reply.code(error.status).send(bodyOf(error, request));
  });
}

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof UnknownOutcome) {
    const message = 'The store did not answer: a change may have been made, or not.';
    return new ApiError('StoreUnavailable', message);
  }
  if (error instanceof StoreError) {
    return new ApiError('StoreUnavailable', 'The store cannot take the change; nothing was changed.');
  }
  const status = statusOf(error);
  return status === undefined
    ? new ApiError('HTTPInternalServerError', 'Request Failed: internal server error while processing your request.')
    : new ApiError(status === 413 ? 'HTTPRequestEntityTooLarge' : 'HTTPBadRequest', errorText(error), status);
}

/** Of what the HTTP library itself refuses. */
function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function bodyOf(error: ApiError, { url }: FastifyRequest): object {
  if (url.startsWith('/compute')) return novaError(error);
  if (url.startsWith('/identity') || error.status === 401) return identityError(error);
  if (url.startsWith('/image')) return { code: error.status, message: error.message };
  return errorBody(error);
}
