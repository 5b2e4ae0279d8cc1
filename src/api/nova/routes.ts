/** Nova's `v2.1`, as far as it touches security groups. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isAdmin, isOwn, isReader } from '../caller.js';
import { ApiError } from '../errors.js';
import type { FixedIp, PortRecord, ServerRecord } from '../records.js';
import { baseUrl, callerOf, empty, parameter, parametersOf, type Service } from '../service.js';
import { isObject, type Fields } from '../kinds/parsers.js';
import { timestamp, type ChangeRequest } from '../neutron/resource.js';
import { flavorOf, registerFlavors } from './catalog.js';
import { novaGroup, sortedGroups } from './groups.js';
import { registerInterfaces } from './interfaces.js';
import { registerLimits } from './limits.js';
import { addGroup, removeGroup } from './server-groups.js';
import { badRequest } from './server-request.js';
import {
  createServer,
  deleteServer,
  foundServer,
  groupsOf,
  portsOfServer,
  PortsRefused,
  renameServer,
} from './servers.js';
import { isUsable } from '../neutron/sharing.js';

const BODY_NAMES: Readonly<Record<number, string>> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  409: 'conflictingRequest',
  413: 'overLimit',
  503: 'serviceUnavailable',
};

export function novaError(error: ApiError): object {
  return { [BODY_NAMES[error.status] ?? 'computeFault']: { code: error.status, message: error.message } };
}

/** What `GET /compute/v2.1/` says. 2.96 is the newest whose answers these routes have the shape of. */
export function novaVersion(request: FastifyRequest): object {
  return {
    id: 'v2.1',
    status: 'CURRENT',
    version: '2.96',
    min_version: '2.1',
    updated: '2013-07-23T11:33:21Z',
    links: [{ rel: 'self', href: `${baseUrl(request)}/compute/v2.1/` }],
    'media-types': [],
  };
}

const NO_ROLE = "Policy doesn't allow this action to be performed.";

export function registerNova(app: FastifyInstance, service: Service): void {
  const { database, computeHost } = service;
  const change = (request: FastifyRequest): ChangeRequest => ({ caller: callerOf(request), now: timestamp() });

  // As in Nova, whose policies ask for a role that reads: a project may give its users others, for other services.
  app.addHook('preHandler', (request, _reply, done) => {
    done(isReader(callerOf(request)) ? undefined : new ApiError('forbidden', NO_ROLE));
  });
  registerFlavors(app);
  registerInterfaces(app, service);
  registerLimits(app, service);

  const listed = (request: FastifyRequest): readonly ServerRecord[] => {
    const caller = callerOf(request);
    const query = parametersOf(request);
    const isAll = isAdmin(caller) && /^(1|true)$/i.test(query.get('all_tenants') ?? query.get('all_projects') ?? '');
    const name = query.get('name');
    const matches = name === null ? undefined : nameFilter(name);
    return [...database.view.all('server')]
      .filter((server) => isAll || isOwn(caller, server))
      .filter((server) => matches === undefined || matches(server.name))
      .sort((a, b) => (a.created === b.created ? (a.id < b.id ? -1 : 1) : a.created > b.created ? -1 : 1));
  };
  const page = (request: FastifyRequest, servers: readonly ServerRecord[]): readonly ServerRecord[] => {
    const query = parametersOf(request);
    const [marker, limit] = [query.get('marker'), query.get('limit')];
    const from = marker === null ? 0 : servers.findIndex(({ id }) => id === marker) + 1;
    if (marker !== null && from === 0) throw badRequest(`marker [${marker.slice(0, 80)}] not found`);
    if (limit !== null && !/^\d{1,9}$/.test(limit)) throw badRequest('limit must be an integer');
    return servers.slice(from, limit === null ? undefined : from + Number(limit));
  };

  app.get('/servers', (request) => ({
    servers: page(request, listed(request)).map((server) => ({
      id: server.id,
      name: server.name,
      links: links(server, request),
    })),
  }));
  app.get('/servers/detail', (request) => ({
    servers: page(request, listed(request)).map((server) => serverView(server, request, database)),
  }));
  app.get('/servers/:id', (request) => ({
    server: serverView(foundServer(database.view, callerOf(request), parameter(request, 'id')), request, database),
  }));
  app.post('/servers', async (request, reply) => {
    const body = isObject(request.body) ? request.body['server'] : undefined;
    if (!isObject(body)) throw badRequest('Invalid input for field/attribute server. It must be an object.');
    const make = async (fault: string | null): Promise<ServerRecord> =>
      database.change(callerOf(request), (writer) =>
        createServer(writer, body, change(request), { computeHost, fault }),
      );
    const server = await make(null).catch(async (error: unknown) => {
      if (error instanceof PortsRefused) return make(error.message);
      throw error;
    });
    await reply
      .code(202)
      .header('Location', `${baseUrl(request)}/compute/v2.1/servers/${server.id}`)
      .send({
        server: {
          id: server.id,
          links: links(server, request),
          'OS-DCF:diskConfig': 'MANUAL',
          adminPass: '',
          security_groups: groupsOf(database.view, server).map(({ name, id }) => ({ name: name === '' ? id : name })),
        },
      });
  });
  app.put('/servers/:id', async (request) => {
    const body = isObject(request.body) ? request.body['server'] : undefined;
    if (!isObject(body)) throw badRequest('Invalid input for field/attribute server. It must be an object.');
    const server = await database.change(callerOf(request), (writer) =>
      renameServer(writer, parameter(request, 'id'), body, change(request)),
    );
    return { server: serverView(server, request, database) };
  });
  app.delete('/servers/:id', async (request, reply) => {
    await database.change(callerOf(request), (writer) => {
      deleteServer(writer, parameter(request, 'id'), change(request));
    });
    await empty(reply, 204);
  });
  app.post('/servers/:id/action', async (request, reply) => {
    const { action, name } = actionIn(request.body);
    await database.change(callerOf(request), (writer) => {
      action(writer, parameter(request, 'id'), name, change(request));
    });
    await empty(reply, 202);
  });
  app.get('/servers/:id/os-security-groups', (request) => {
    const server = foundServer(database.view, callerOf(request), parameter(request, 'id'));
    return {
      security_groups: sortedGroups(groupsOf(database.view, server)).map((group) =>
        novaGroup(group, database.view, callerOf(request)),
      ),
    };
  });
  app.get('/servers/:id/ips', (request) => {
    const server = foundServer(database.view, callerOf(request), parameter(request, 'id'));
    return { addresses: plainAddresses(portsOfServer(database.view, server), database.view) };
  });
  app.get('/servers/:id/ips/:network', (request) => {
    const server = foundServer(database.view, callerOf(request), parameter(request, 'id'));
    const name = parameter(request, 'network');
    const addresses = plainAddresses(portsOfServer(database.view, server), database.view);
    if (!Object.hasOwn(addresses, name))
      throw new ApiError('itemNotFound', 'Instance is not a member of specified network');
    return { [name]: addresses[name] };
  });
  app.get('/servers/:id/os-volume_attachments', (request) => {
    foundServer(database.view, callerOf(request), parameter(request, 'id'));
    return { volumeAttachments: [] };
  });

  // Gone from 2.36 on; the client of Debian 12 asks for them without a version all the same.
  app.get('/os-security-groups', (request) => {
    refuseNewer(request);
    const caller = callerOf(request);
    const groups = [...database.view.all('security_group')].filter((group) => isUsable(group, database.view, caller));
    return { security_groups: sortedGroups(groups).map((group) => novaGroup(group, database.view, caller)) };
  });
  app.get('/os-security-groups/:id', (request) => {
    refuseNewer(request);
    const id = parameter(request, 'id');
    const caller = callerOf(request);
    const group = database.view.get('security_group', id);
    if (group === undefined || !(isAdmin(caller) || isUsable(group, database.view, caller)))
      throw new ApiError('itemNotFound', `Security group ${id.slice(0, 255)} not found.`);
    return { security_group: novaGroup(group, database.view, caller) };
  });
}

function refuseNewer({ headers }: FastifyRequest): void {
  const [, minor] =
    /2\.(\d+)/.exec(String(headers['openstack-api-version'] ?? headers['x-openstack-nova-api-version'] ?? '')) ?? [];
  if (Number(minor ?? 1) >= 36) throw new ApiError('itemNotFound', 'The resource could not be found.');
}

const ACTIONS = { addSecurityGroup: addGroup, removeSecurityGroup: removeGroup };

function actionIn(body: unknown): { readonly action: typeof addGroup; readonly name: string } {
  const entries = isObject(body) ? Object.entries(body) : [];
  const [entry, ...others] = entries;
  if (entry === undefined || others.length > 0) throw badRequest('There is no such action: the body must name one.');
  const [verb, value] = entry;
  const action = verb === 'addSecurityGroup' || verb === 'removeSecurityGroup' ? ACTIONS[verb] : undefined;
  if (action === undefined) throw badRequest(`There is no such action: ${verb.slice(0, 80)}`);
  const name = isObject(value) ? value['name'] : undefined;
  const isRight = isObject(value) && Object.keys(value).length === 1 && typeof name === 'string' && name.trim() !== '';
  if (!isRight) throw badRequest(`Invalid input for field/attribute ${verb}. It must hold a name and nothing else.`);
  return { action, name };
}

/** Nova reads the name as a regular expression; what is none is compared as it stands. */
function nameFilter(text: string): (name: string) => boolean {
  // Only plain text: an expression from outside could take for ever.
  const plain = text.replace(/^\^|\$$/g, '');
  const [isStart, isEnd] = [text.startsWith('^'), text.endsWith('$')];
  return (name) => {
    if (isStart && isEnd) return name === plain;
    if (isStart) return name.startsWith(plain);
    return isEnd ? name.endsWith(plain) : name.includes(plain);
  };
}

function links({ id }: ServerRecord, request: FastifyRequest): readonly object[] {
  return [{ rel: 'self', href: `${baseUrl(request)}/compute/v2.1/servers/${id}` }];
}

function serverView(server: ServerRecord, request: FastifyRequest, { view }: Service['database']): object {
  const caller = callerOf(request);
  const flavor = flavorOf(server.flavor);
  const owned = portsOfServer(view, server);
  const groups = [...server.requested_groups, ...owned.flatMap(({ security_groups: ids }) => ids)].flatMap(
    (id) => view.get('security_group', id) ?? [],
  );
  return {
    id: server.id,
    name: server.name,
    status: server.fault === null ? 'ACTIVE' : 'ERROR',
    ...(server.fault === null ? {} : { fault: { code: 500, created: server.created, message: server.fault } }),
    tenant_id: server.project_id,
    user_id: server.user_id,
    metadata: server.metadata,
    hostId: '',
    image: server.image === '' ? '' : { id: server.image, links: [] },
    flavor: isNewer(request)
      ? {
          original_name: flavor?.name,
          vcpus: flavor?.vcpus,
          ram: flavor?.ram,
          disk: flavor?.disk,
          ephemeral: 0,
          swap: 0,
          extra_specs: {},
        }
      : { id: server.flavor, links: [] },
    created: server.created,
    updated: server.updated,
    addresses: addressesOf(owned, view),
    accessIPv4: '',
    accessIPv6: '',
    links: links(server, request),
    'OS-DCF:diskConfig': 'MANUAL',
    'OS-EXT-STS:vm_state': server.fault === null ? 'active' : 'error',
    'OS-EXT-STS:task_state': null,
    'OS-EXT-STS:power_state': server.fault === null ? 1 : 0,
    'OS-EXT-AZ:availability_zone': server.availability_zone,
    ...(isAdmin(caller)
      ? { 'OS-EXT-SRV-ATTR:host': server.host, 'OS-EXT-SRV-ATTR:hypervisor_hostname': server.host }
      : {}),
    'OS-SRV-USG:launched_at': server.created.replace('Z', '.000000'),
    'OS-SRV-USG:terminated_at': null,
    'os-extended-volumes:volumes_attached': [],
    key_name: server.key_name,
    config_drive: '',
    progress: 0,
    ...(groups.length === 0
      ? {}
      : { security_groups: groups.map(({ name, id }) => ({ name: name === '' ? id : name })) }),
  };
}

/** From 2.47 on a server holds its flavor, not a reference to it. */
function isNewer({ headers }: FastifyRequest): boolean {
  const [, minor] =
    /2\.(\d+)/.exec(String(headers['openstack-api-version'] ?? headers['x-openstack-nova-api-version'] ?? '')) ?? [];
  return Number(minor ?? 1) >= 47;
}

function addressesOf(
  owned: readonly PortRecord[],
  view: Service['database']['view'],
): Readonly<Record<string, readonly Fields[]>> {
  const byNetwork = new Map<string, readonly Fields[]>();
  for (const port of owned) {
    const name = view.get('network', port.network_id)?.name ?? port.network_id;
    const shown = port.fixed_ips.map(({ ip_address: address }: FixedIp) => ({
      version: address.includes(':') ? 6 : 4,
      addr: address,
      'OS-EXT-IPS:type': 'fixed',
      'OS-EXT-IPS-MAC:mac_addr': port.mac_address,
    }));
    byNetwork.set(name, [...(byNetwork.get(name) ?? []), ...shown]);
  }
  return Object.fromEntries(byNetwork);
}

/** As `ips` shows them: less than the server does. */
function plainAddresses(owned: readonly PortRecord[], view: Service['database']['view']): Fields {
  return Object.fromEntries(
    Object.entries(addressesOf(owned, view)).map(([name, list]) => [
      name,
      list.map(({ version, addr }) => ({ version, addr })),
    ]),
  );
}
