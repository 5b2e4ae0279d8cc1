/**
 * `/portcullis/v1/hosts`: what hosts say of themselves.
 *
 * Where several processes serve a store, each would know its own followers only: there it is refused rather than half answered.
 */
import type { FastifyInstance } from 'fastify';
import { HOST_NAME, HOST_REPORT } from '../../sources/host-report.js';
import { isAdmin, isAgent } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import { callerOf, empty, parameter, type Service } from '../service.js';
import type { Hosts } from './hosts.js';

export function registerHosts(app: FastifyInstance, { database, hosts }: Service): void {
  const known = (): Hosts => {
    if (!database.isShared) return hosts;
    const message = 'Hosts are not listed where several processes serve one store: each knows its own followers only.';
    throw new ApiError(501, 'HTTPNotImplemented', message);
  };
  app.get('/hosts', (request) => {
    const caller = callerOf(request);
    if (!isAdmin(caller) && !isAgent(caller)) throw forbidden('rule:get_hosts');
    const { listeningSeconds } = known();
    return { revision: database.revision, listening_seconds: listeningSeconds, hosts: hosts.list() };
  });
  app.put('/hosts/:host', async (request, reply) => {
    const caller = callerOf(request);
    if (!isAdmin(caller) && !isAgent(caller)) throw forbidden('rule:update_host');
    const host = parameter(request, 'host');
    if (!HOST_NAME.test(host)) throw badRequest('Not a name of a host.');
    const report = HOST_REPORT.safeParse(request.body);
    if (!report.success) {
      const [issue] = report.error.issues;
      throw badRequest(`Not a report of a host: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
    }
    if (!known().take(host, report.data)) throw new ApiError(507, 'TooManyHosts', 'Too many hosts are known.');
    await empty(reply, 204);
  });
  app.delete('/hosts/:host', async (request, reply) => {
    if (!isAdmin(callerOf(request))) throw forbidden('rule:delete_host');
    await empty(reply, known().forget(parameter(request, 'host')) ? 204 : 404);
  });
}
