/** `/quotas`: what projects may have, and what they have. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isAdmin, isReader } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import { QUOTA_NAMES, type QuotaName, type Records } from '../records.js';
import { callerOf, empty, parameter, projectParameter, type Service } from '../service.js';
import { integer, truth, type Fields } from '../kinds/parsers.js';
import { DEFAULT_LIMITS, limitsOf, usedBy } from './quota.js';
import { envelope } from './resource.js';

const limit = integer(-1, 2_147_483_647);

export function registerQuotas(app: FastifyInstance, { database }: Service): void {
  const mayRead = (request: FastifyRequest, project: string): void => {
    const caller = callerOf(request);
    if (!isAdmin(caller) && !(isReader(caller) && caller.projectId === project)) throw forbidden('rule:get_quota');
  };
  const mayWrite = (request: FastifyRequest, action: string): void => {
    if (!isAdmin(callerOf(request))) throw forbidden(`rule:${action}_quota`);
  };

  app.get('/quotas', (request) => {
    if (!isAdmin(callerOf(request))) throw forbidden('rule:get_quota');
    return {
      quotas: [...database.view.all('quota')].filter(isOwn).map(({ id }) => ({
        ...limitsOf(database.view, id),
        project_id: id,
        tenant_id: id,
      })),
    };
  });

  app.get('/quotas/:project', (request) => {
    const project = parameter(request, 'project');
    // The client asks so for its own project's id.
    if (project === 'tenant' || project === 'project') {
      const { projectId } = callerOf(request);
      return { [project]: { tenant_id: projectId, project_id: projectId } };
    }
    mayRead(request, project);
    return { quota: limitsOf(database.view, project) };
  });

  app.get('/quotas/:project/default', (request) => {
    mayRead(request, parameter(request, 'project'));
    return { quota: DEFAULT_LIMITS };
  });

  app.get('/quotas/:project/details', (request) => {
    const project = parameter(request, 'project');
    mayRead(request, project);
    const limits = limitsOf(database.view, project);
    return {
      quota: Object.fromEntries(
        QUOTA_NAMES.map((name) => [
          name,
          { limit: limits[name], used: usedBy(database.view, project, name), reserved: 0 },
        ]),
      ),
    };
  });

  app.put('/quotas/:project', async (request) => {
    mayWrite(request, 'update');
    const project = projectParameter(request);
    const { limits, isChecked } = readLimits(envelope(request.body, 'quota'));
    await database.change(callerOf(request), (writer) => {
      for (const [name, value] of limits) {
        if (isChecked && value >= 0 && usedBy(writer.view, project, name) > value) {
          throw new ApiError('InvalidQuotaLimit', `Quota limit of ${name} is below what the project uses already`);
        }
      }
      const before = writer.view.get('quota', project)?.limits;
      writer.put('quota', { id: project, limits: { ...before, ...Object.fromEntries(limits) } });
    });
    return { quota: limitsOf(database.view, project) };
  });

  app.delete('/quotas/:project', async (request, reply) => {
    mayWrite(request, 'delete');
    const project = parameter(request, 'project');
    await database.change(callerOf(request), (writer) => {
      const before = writer.view.get('quota', project);
      if (before === undefined || !isOwn(before)) {
        throw new ApiError('TenantQuotaNotFound', `Quota for tenant ${project} could not be found.`);
      }
      const { instances } = before.limits;
      if (instances === undefined) writer.delete('quota', project);
      else writer.put('quota', { id: project, limits: { instances } });
    });
    await empty(reply, 204);
  });
}

/** True where a limit of Neutron's is set: Nova's, which is kept beside them, is none of its. */
function isOwn({ limits }: Records['quota']): boolean {
  return QUOTA_NAMES.some((name) => limits[name] !== undefined);
}

/** With `check_limit` a limit below what is used is refused. */
function readLimits(body: Fields): {
  readonly limits: ReadonlyMap<QuotaName, number>;
  readonly isChecked: boolean;
} {
  const limits = new Map<QuotaName, number>();
  let isChecked = false;
  for (const [name, value] of Object.entries(body)) {
    const known = QUOTA_NAMES.find((one) => one === name);
    if (known !== undefined) limits.set(known, limit(value, name));
    // What newer Neutrons check unless it is said, is not checked here unless it is said.
    else if (name === 'force') truth(value, name);
    else if (name === 'check_limit') isChecked = truth(value, name);
    else if (name !== 'project_id' && name !== 'tenant_id')
      throw badRequest(`Unrecognized attribute(s) '${name.slice(0, 80)}'`);
  }
  return { limits, isChecked };
}
