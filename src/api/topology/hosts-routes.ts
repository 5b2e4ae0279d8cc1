/** `/portcullis/v1/hosts`: what hosts say of themselves. */
import type { FastifyInstance } from 'fastify';
import { HOST_NAME, HOST_REPORT } from '../../../compiler/model/index.js';
import { isAdmin, isAgent } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import { callerOf, empty, parameter, type Service } from '../service.js';

export function registerHosts(app: FastifyInstance, { database, hosts }: Service): void {
  app.get('/hosts', (request) => {
    const caller = callerOf(request);
    if (!isAdmin(caller) && !isAgent(caller)) throw forbidden('rule:get_hosts');
    hosts.ask();
    return { revision: database.revision, listening_seconds: hosts.listeningSeconds, hosts: hosts.list() };
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
    if (!(await hosts.say(host, report.data))) throw new ApiError('TooManyHosts', 'Too many hosts are known.');
    await empty(reply, 204);
  });
  app.delete('/hosts/:host', async (request, reply) => {
    if (!isAdmin(callerOf(request))) throw forbidden('rule:delete_host');
    await empty(reply, (await hosts.forget(parameter(request, 'host'))) ? 204 : 404);
  });
}
