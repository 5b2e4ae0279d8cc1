/** Neutron's `v2.0`, as far as it touches security groups. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isAdmin, isReader, type Caller } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import { isStorable, shown } from '../kinds/parsers.js';
import { isTagged, pluralOf, type Kind, type TaggedKind } from '../records.js';
import type { View } from '../state.js';
import { baseUrl, callerOf, empty, parameter, parametersOf, type Service } from '../service.js';
import { addAddresses, addressesIn, addressGroups, removeAddresses } from './address-groups.js';
import type { Spec } from '../kinds/attribute.js';
import { defaultRules } from './default-rules.js';
import { extension, extensions } from './extensions.js';
import { networks } from './networks.js';
import { ports } from './ports.js';
import { checkQuery, pageLinks, pageOf, readQuery, selected, type Listed, type ListQuery } from './query.js';
import { registerQuotas } from './quotas.js';
import { rbacPolicies } from './rbac.js';
import {
  attributeNames,
  bulk,
  changeable,
  checkRevision,
  createAll,
  envelope,
  found,
  pathOf,
  shownBy,
  shownFields,
  timestamp,
  updateOne,
  visible,
  type ChangeRequest,
  type Resource,
} from './resource.js';
import { rules } from './rules.js';
import { securityGroups } from './security-groups.js';
import { subnets } from './subnets.js';
import { checkTag, setTags, TAG_FILTERS, tagNotFound, tagsIn } from './tags.js';

export function errorBody(error: ApiError): object {
  return { NeutronError: { type: error.type, message: error.message, detail: '' } };
}

/** @param prefix of the URLs that are made: '' or `/network`. */
export function registerNeutron(app: FastifyInstance, service: Service, prefix: string): void {
  const collections = new Map<string, string>();
  const resource = <K extends Kind, S extends Spec>(one: Resource<K, S>): void => {
    collections.set(pathOf(one.kind), one.kind);
    registerResource(app, service, one);
  };
  resource(networks);
  resource(subnets);
  resource(ports);
  resource(securityGroups);
  resource(rules);
  resource(addressGroups);
  resource(defaultRules);
  resource(rbacPolicies);
  registerAddresses(app, service);
  registerQuotas(app, service);
  app.get('/', (request) => ({
    resources: [...collections].map(([path, name]) => ({
      links: [{ rel: 'self', href: `${baseUrl(request)}${prefix}/v2.0/${path}` }],
      name,
      collection: path,
    })),
  }));
  app.get('/extensions', () => ({ extensions }));
  app.get('/extensions/:alias', (request) => {
    const known = extension(parameter(request, 'alias'));
    if (known === undefined) {
      throw new ApiError('ExtensionNotFound', `Extension with alias ${parameter(request, 'alias')} does not exist`);
    }
    return { extension: known };
  });
}

/** The versions of the API, for discovery. */
export function versions(request: FastifyRequest, prefix: string): object {
  return {
    versions: [{ id: 'v2.0', status: 'CURRENT', links: [{ rel: 'self', href: `${baseUrl(request)}${prefix}/v2.0/` }] }],
  };
}

function changeRequest(request: FastifyRequest): ChangeRequest {
  return { caller: callerOf(request), now: timestamp() };
}

/** Whose objects a list may show: the caller's, or those of the projects that an administrator names. */
function projectsOf({ filters }: ListQuery, caller: Caller): readonly string[] {
  const named = isAdmin(caller) ? ['project_id', 'tenant_id'].flatMap((name) => filters.get(name) ?? []) : [];
  return [...new Set([caller.projectId, ...named])].filter(
    (project) => project !== '' && project.length <= 255 && isStorable(project),
  );
}

/** The object after which a page begins, whether the filters let it pass or not. @throws ApiError (404) */
function markerOf<K extends Kind, S extends Spec>(
  resource: Resource<K, S>,
  view: View,
  caller: Caller,
  id: string,
): Listed | undefined {
  if (id === '') return undefined;
  const [marker] = visible(resource, view, caller, new Map([['id', [id]]]));
  if (marker === undefined) {
    throw new ApiError('MarkerNotFound', `marker ${id.slice(0, 80)} is no object of ${pluralOf(resource.kind)}`);
  }
  return marker;
}

/** @throws ApiError (400) where the client says nothing that is an address */
function urlOf(request: FastifyRequest): URL {
  const base = baseUrl(request);
  if (!URL.canParse(base)) throw badRequest(`Host '${shown(request.host)}' is no address`);
  return new URL(request.url, base);
}

const CHECKS_REVISION = { config: { checksRevision: true } };

function ifMatch(request: FastifyRequest): string | undefined {
  const header = request.headers['if-match'];
  return typeof header === 'string' ? header : undefined;
}

function registerResource<K extends Kind, S extends Spec>(
  app: FastifyInstance,
  { database }: Service,
  resource: Resource<K, S>,
): void {
  const { kind } = resource;
  const [plural, path] = [pluralOf(kind), pathOf(kind)];
  const filters = { ...resource.filters, ...(isTagged(kind) ? TAG_FILTERS : {}) };

  app.get(`/${path}`, async (request) => {
    const asked = changeRequest(request);
    const { caller } = asked;
    if (!isReader(caller)) throw forbidden(`rule:get_${kind}`);
    const query = readQuery(parametersOf(request));
    checkQuery(query, attributeNames(resource, caller), filters);
    const projects = projectsOf(query, caller);
    if (resource.needsPreparation?.(database.view, projects) === true) {
      await database.change(caller, (writer) => resource.prepare?.(writer, projects, asked));
    }
    const { view } = database;
    const items = selected(visible(resource, view, caller, query.filters), query, filters);
    const { marker: id = '', limit } = query;
    const marker = limit === undefined ? undefined : markerOf(resource, view, caller, id);
    const page = pageOf(items, query, marker);
    const links = page.hasLinks ? pageLinks(page.items, query, urlOf(request)) : [];
    return {
      [plural]: page.items.map(({ record }) => shownFields(resource, record, view, caller, query.fields)),
      ...(links.length > 0 ? { [`${plural}_links`]: links } : {}),
    };
  });

  app.get(`/${path}/:id`, (request) => {
    const caller = callerOf(request);
    const record = found(resource, database.view, caller, parameter(request, 'id'));
    const { fields } = readQuery(parametersOf(request));
    return { [kind]: shownFields(resource, record, database.view, caller, fields) };
  });

  app.post(`/${path}`, async (request, reply) => {
    const asked = changeRequest(request);
    const many = bulk(request.body, kind, plural);
    const bodies = many ?? [envelope(request.body, kind)];
    resource.checkBulk?.(bodies, asked.caller);
    const records = await database.change(asked.caller, (writer) => createAll(resource, writer, bodies, asked));
    const shown = records.map((record) => shownBy(resource, record, database.view, asked.caller));
    await reply.code(201).send(many === undefined ? { [kind]: shown[0] } : { [plural]: shown });
  });

  app.put(`/${path}/:id`, CHECKS_REVISION, async (request) => {
    const asked = { ...changeRequest(request), ifMatch: ifMatch(request) };
    const body = envelope(request.body, kind);
    const id = parameter(request, 'id');
    const record = await database.change(asked.caller, (writer) => updateOne(resource, writer, id, body, asked));
    return { [kind]: shownBy(resource, record, database.view, asked.caller) };
  });

  app.delete(`/${path}/:id`, CHECKS_REVISION, async (request, reply) => {
    const asked = changeRequest(request);
    const id = parameter(request, 'id');
    await database.change(asked.caller, (writer) => {
      const record = changeable(resource, writer.view, asked.caller, id, 'delete');
      checkRevision(resource, record, ifMatch(request));
      resource.remove(writer, record, asked);
    });
    await empty(reply, 204);
  });

  app.delete(`/${path}`, () => {
    throw new ApiError('HTTPNotFound', 'The resource could not be found.');
  });

  if (isTagged(kind)) registerTags(app, { database }, resource, kind);
}

function registerTags<K extends Kind, S extends Spec>(
  app: FastifyInstance,
  { database }: Pick<Service, 'database'>,
  resource: Resource<K, S>,
  kind: TaggedKind,
): void {
  const path = `/${pathOf(kind)}/:id/tags`;
  /** Judged by the project of the object, not by that of the caller (CVE-2024-53916). */
  const change = async (
    request: FastifyRequest,
    tagsAfter: (tags: readonly string[]) => readonly string[],
  ): Promise<readonly string[]> => {
    const asked = changeRequest(request);
    return database.change(asked.caller, (writer) => {
      changeable(resource, writer.view, asked.caller, parameter(request, 'id'), 'update');
      const record = writer.view.get(kind, parameter(request, 'id'));
      if (record === undefined) throw resource.notFound(parameter(request, 'id'));
      return setTags(writer, kind, record, tagsAfter(record.tags), asked).tags;
    });
  };
  const tagsOf = (request: FastifyRequest): readonly string[] => {
    found(resource, database.view, callerOf(request), parameter(request, 'id'));
    return database.view.get(kind, parameter(request, 'id'))?.tags ?? [];
  };

  app.get(path, (request) => ({ tags: tagsOf(request) }));
  app.get(`${path}/:tag`, async (request, reply) => {
    const tag = parameter(request, 'tag');
    if (!tagsOf(request).includes(tag)) throw tagNotFound(tag);
    await empty(reply, 204);
  });
  app.put(path, async (request) => {
    const tags = tagsIn(request.body);
    return { tags: await change(request, () => tags) };
  });
  app.post(path, async (request, reply) => {
    const more = tagsIn(request.body);
    const tags = await change(request, (known) => [...new Set([...known, ...more])]);
    await reply.code(201).send({ tags });
  });
  app.put(`${path}/:tag`, async (request, reply) => {
    const tag = checkTag(parameter(request, 'tag'));
    await change(request, (known) => [...new Set([...known, tag])]);
    await empty(reply, 201);
  });
  app.delete(`${path}/:tag`, async (request, reply) => {
    const tag = parameter(request, 'tag');
    await change(request, (known) => {
      if (!known.includes(tag)) throw tagNotFound(tag);
      return known.filter((one) => one !== tag);
    });
    await empty(reply, 204);
  });
  app.delete(path, async (request, reply) => {
    await change(request, () => []);
    await empty(reply, 204);
  });
}

function registerAddresses(app: FastifyInstance, { database }: Service): void {
  const change = async (request: FastifyRequest, apply: typeof addAddresses): Promise<object> => {
    const asked = changeRequest(request);
    const addresses = addressesIn(request.body);
    const record = await database.change(asked.caller, (writer) =>
      apply(
        writer,
        changeable(addressGroups, writer.view, asked.caller, parameter(request, 'id'), 'update'),
        addresses,
        asked,
      ),
    );
    return { address_group: shownBy(addressGroups, record, database.view, asked.caller) };
  };
  app.put('/address-groups/:id/add_addresses', async (request) => change(request, addAddresses));
  app.put('/address-groups/:id/remove_addresses', async (request) => change(request, removeAddresses));
}
