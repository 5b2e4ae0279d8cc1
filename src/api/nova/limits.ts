/** Nova's own quotas and limits, which clients ask for on their way. Of them the number of servers limits something here. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isAdmin } from '../caller.js';
import { ApiError } from '../errors.js';
import { callerOf, empty, parameter, parametersOf, projectParameter, type Service } from '../service.js';
import { integer, isObject, type Fields } from '../kinds/parsers.js';
import { DEFAULT_INSTANCES, instancesOf } from '../neutron/quota.js';

const OTHER_QUOTAS = {
  cores: -1,
  ram: -1,
  key_pairs: 100,
  metadata_items: 128,
  injected_files: 5,
  injected_file_content_bytes: 10_240,
  injected_file_path_bytes: 255,
  server_groups: 10,
  server_group_members: 10,
};

const limit = integer(-1, 2_147_483_647);

export function registerLimits(app: FastifyInstance, { database }: Service): void {
  const mayRead = (request: FastifyRequest): string => {
    const [caller, project] = [callerOf(request), parameter(request, 'project')];
    if (!isAdmin(caller) && caller.projectId !== project) throw disallowed('os_compute_api:os-quota-sets:show');
    return project;
  };
  const mayWrite = (request: FastifyRequest): void => {
    if (!isAdmin(callerOf(request))) throw disallowed('os_compute_api:os-quota-sets:update');
  };
  const quotas = (project: string): Fields => ({
    instances: instancesOf(database.view, project),
    ...OTHER_QUOTAS,
  });

  app.get('/os-quota-sets/:project', (request) => {
    const project = mayRead(request);
    return { quota_set: { id: project, ...quotas(project) } };
  });
  app.get('/os-quota-sets/:project/defaults', (request) => {
    const project = mayRead(request);
    return { quota_set: { id: project, instances: DEFAULT_INSTANCES, ...OTHER_QUOTAS } };
  });
  app.get('/os-quota-sets/:project/detail', (request) => {
    const project = mayRead(request);
    const used: Fields = { instances: database.view.countOf('server', project) };
    const detail = Object.entries(quotas(project)).map(
      ([name, most]) => [name, { limit: most, in_use: used[name] ?? 0, reserved: 0 }] as const,
    );
    return { quota_set: { id: project, ...Object.fromEntries(detail) } };
  });
  app.put('/os-quota-sets/:project', async (request) => {
    mayWrite(request);
    const project = projectParameter(request);
    const instances = instancesIn(request.body);
    await database.change(callerOf(request), (writer) => {
      const before = writer.view.get('quota', project)?.limits;
      writer.put('quota', { id: project, limits: { ...before, instances } });
    });
    return { quota_set: quotas(project) };
  });
  app.delete('/os-quota-sets/:project', async (request, reply) => {
    mayWrite(request);
    const project = parameter(request, 'project');
    await database.change(callerOf(request), (writer) => {
      const before = writer.view.get('quota', project);
      if (before === undefined) return;
      const limits = { ...before.limits };
      delete limits.instances;
      if (Object.keys(limits).length === 0) writer.delete('quota', project);
      else writer.put('quota', { id: project, limits });
    });
    await empty(reply, 202);
  });

  app.get('/limits', (request) => {
    const caller = callerOf(request);
    const asked = parametersOf(request).get('tenant_id');
    if (asked !== null && asked !== caller.projectId && !isAdmin(caller))
      throw disallowed('os_compute_api:limits:other_project');
    const project = asked ?? caller.projectId;
    return {
      limits: {
        rate: [],
        absolute: {
          maxTotalInstances: instancesOf(database.view, project),
          totalInstancesUsed: database.view.countOf('server', project),
          maxTotalCores: OTHER_QUOTAS.cores,
          totalCoresUsed: 0,
          maxTotalRAMSize: OTHER_QUOTAS.ram,
          totalRAMUsed: 0,
          maxServerMeta: OTHER_QUOTAS.metadata_items,
          maxTotalKeypairs: OTHER_QUOTAS.key_pairs,
          maxServerGroups: OTHER_QUOTAS.server_groups,
          maxServerGroupMembers: OTHER_QUOTAS.server_group_members,
          totalServerGroupsUsed: 0,
        },
      },
    };
  });
}

function disallowed(rule: string): ApiError {
  return new ApiError('forbidden', `Policy doesn't allow ${rule} to be performed.`);
}

/** Of the other quotas nothing is limited here: to set one would promise what does not happen. */
function instancesIn(body: unknown): number {
  const set = isObject(body) ? body['quota_set'] : undefined;
  const unknown = isObject(set)
    ? Object.keys(set).find((name) => !['instances', 'force', 'tenant_id'].includes(name))
    : '';
  if (!isObject(set) || unknown !== undefined || set['instances'] === undefined) {
    throw new ApiError(
      'badRequest',
      'Invalid input for field/attribute quota_set: of Nova\u2019s quotas only instances is kept.',
    );
  }
  return limit(set['instances'], 'instances');
}
