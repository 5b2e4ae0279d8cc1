/** Servers: records that own ports. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isMember, isOwn, type Caller } from '../caller.js';
import type { Writer } from '../database.js';
import { ApiError } from '../errors.js';
import type { GroupRecord, NetworkRecord, PortRecord, ServerRecord } from '../records.js';
import type { View } from '../state.js';
import { isObject, isUuid, type Fields } from '../neutron/attributes.js';
import { ensureDefaultGroup } from '../neutron/default-group.js';
import { canSeeNetwork } from '../neutron/networks.js';
import { ports } from '../neutron/ports.js';
import { createOne, updateOne, type ChangeRequest } from '../neutron/resource.js';
import { flavorOf, isImage } from './catalog.js';
import { groupByText } from './groups.js';

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'badRequest', message);
}

function serverNotFound(id: string): ApiError {
  return new ApiError(404, 'itemNotFound', `Instance ${id.slice(0, 255)} could not be found.`);
}

/** @throws ApiError (404) for one of another project, too. */
export function foundServer(view: View, caller: Caller, id: string): ServerRecord {
  const server = view.get('server', id);
  if (server === undefined || !(isAdmin(caller) || isOwn(caller, server))) throw serverNotFound(id);
  return server;
}

function changeableServer(view: View, caller: Caller, id: string): ServerRecord {
  const server = foundServer(view, caller, id);
  if (!isMember(caller)) throw new ApiError(403, 'forbidden', "Policy doesn't allow this action to be performed.");
  return server;
}

/** The groups of all ports together. */
export function groupsOf(view: View, server: ServerRecord): readonly GroupRecord[] {
  const ids = new Set([
    ...server.requested_groups,
    ...[...view.portsOfDevice(server.id)].flatMap(({ security_groups: groups }) => groups),
  ]);
  return [...ids].flatMap((id) => view.get('security_group', id) ?? []);
}

// Create

const MOST_NAME = 255;

/** What Neutron said to one of a server's ports: the server is made without any, and says so, as Nova's are. */
export class PortsRefused extends Error {
  override readonly name = 'PortsRefused';

  constructor(readonly reason: ApiError) {
    super(reason.message);
  }
}

interface CreateOptions {
  /** Where a server goes that does not say. */
  readonly computeHost: string | undefined;
  /** Given on the second try: no ports are made. */
  readonly fault: string | null;
}

/** @throws ApiError, PortsRefused */
export function createServer(
  writer: Writer,
  body: Fields,
  request: ChangeRequest,
  { computeHost, fault }: CreateOptions,
): ServerRecord {
  const { caller, now } = request;
  if (!isMember(caller))
    throw new ApiError(403, 'forbidden', "Policy doesn't allow os_compute_api:servers:create to be performed.");
  const name = textIn(body, 'name');
  if (name === '' || name.length > MOST_NAME)
    throw badRequest(`Invalid input for field/attribute name. Value: ${name.slice(0, 40)}. 1 to 255 characters.`);
  const flavor = flavorOf(textIn(body, 'flavorRef'));
  if (flavor === undefined) throw badRequest(`Flavor ${textIn(body, 'flavorRef').slice(0, 40)} could not be found.`);
  const image = body['imageRef'] === undefined || body['imageRef'] === null ? '' : textIn(body, 'imageRef');
  if (image !== '' && !isImage(image)) throw badRequest(`Image ${image.slice(0, 40)} could not be found.`);
  for (const field of ['min_count', 'max_count']) {
    if (body[field] !== undefined && Number(body[field]) !== 1)
      throw badRequest(`${field}: only one server at a time is made here`);
  }
  const { zone, host } = placement(body['availability_zone'], body['host'], computeHost, caller);
  const server: ServerRecord = {
    id: randomUUID(),
    name,
    project_id: caller.projectId,
    user_id: caller.userId,
    created: now,
    updated: now,
    flavor: flavor.id,
    image,
    host,
    availability_zone: zone,
    key_name: typeof body['key_name'] === 'string' ? body['key_name'] : null,
    metadata: metadataIn(body['metadata']),
    kept_ports: [],
    fault,
    requested_groups: [],
  };
  const groups = groupsIn(writer, body['security_groups'], request);
  const nics = nicsIn(writer.view, body['networks'], caller);
  if (fault !== null) {
    const failed = { ...server, requested_groups: groups };
    writer.put('server', failed);
    return failed;
  }
  for (const nic of nics) attach(writer, server, nic, groups, request);
  const after = { ...server, kept_ports: nics.flatMap((nic) => (nic.kind === 'port' ? [nic.port.id] : [])) };
  writer.put('server', after);
  return after;
}

function textIn(body: Fields, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw badRequest(`Invalid input for field/attribute ${name}. It must be a string.`);
  return value;
}

function metadataIn(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  if (!isObject(value) || !Object.values(value).every((one) => typeof one === 'string')) {
    throw badRequest('Invalid input for field/attribute metadata. It must hold strings.');
  }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, String(one)]));
}

const ZONE = 'nova';

/** `nova:HOST` and, of newer clients, `host` say where; both are for administrators, as in Nova. */
function placement(
  zoneText: unknown,
  hostText: unknown,
  computeHost: string | undefined,
  caller: Caller,
): { readonly zone: string; readonly host: string } {
  const [zone = ZONE, zoneHost] = typeof zoneText === 'string' ? zoneText.split(':') : [];
  const wanted = typeof hostText === 'string' ? hostText : zoneHost;
  if (wanted !== undefined && wanted !== '' && !isAdmin(caller)) {
    throw new ApiError(
      403,
      'forbidden',
      "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.",
    );
  }
  return { zone: zone === '' ? ZONE : zone, host: wanted ?? computeHost ?? '' };
}

/** The groups of ports that are made; of ports that are there already they say nothing. */
function groupsIn(writer: Writer, value: unknown, { caller, now }: ChangeRequest): readonly string[] {
  if (value === undefined) return [ensureDefaultGroup(writer, caller.projectId, { now })];
  if (!Array.isArray(value) || !value.every(isObject))
    throw badRequest('Invalid input for field/attribute security_groups.');
  const ids = value.map((entry) => {
    const text = textIn(entry, 'name');
    if (text === 'default') return ensureDefaultGroup(writer, caller.projectId, { now });
    try {
      return groupByText(writer.view, caller, text).id;
    } catch (error) {
      throw error instanceof ApiError && error.status === 404 ? badRequest(error.message) : error;
    }
  });
  return [...new Set(ids)];
}

type Nic =
  | { readonly kind: 'port'; readonly port: PortRecord }
  | { readonly kind: 'network'; readonly network: NetworkRecord; readonly address: string | undefined };

function nicsIn(view: View, value: unknown, caller: Caller): readonly Nic[] {
  if (value === 'none') return [];
  if (value === undefined || value === 'auto') {
    const own = [...view.all('network')].filter((network) => isOwn(caller, network));
    const [only, ...others] = own;
    if (only === undefined) return [];
    if (others.length > 0) {
      throw new ApiError(
        409,
        'conflictingRequest',
        'Multiple possible networks found, use a Network ID to be more specific.',
      );
    }
    return [{ kind: 'network', network: only, address: undefined }];
  }
  if (!Array.isArray(value) || !value.every(isObject)) throw badRequest('Invalid input for field/attribute networks.');
  return value.map((entry): Nic => {
    const portId = entry['port'];
    if (isUuid(portId)) {
      const port = view.get('port', portId);
      if (port === undefined || !(isAdmin(caller) || isOwn(caller, port)))
        throw badRequest(`Port id ${portId} could not be found.`);
      if (port.device_id !== '') throw new ApiError(409, 'conflictingRequest', `Port ${portId} is still in use.`);
      return { kind: 'port', port };
    }
    const networkId = entry['uuid'];
    const network = isUuid(networkId) ? view.get('network', networkId) : undefined;
    if (network === undefined || !canSeeNetwork(network, caller)) {
      throw badRequest(`Network ${String(networkId ?? portId).slice(0, 80)} could not be found.`);
    }
    const address = entry['fixed_ip'];
    if (typeof address === 'string' && !isAdmin(caller) && !isOwn(caller, network)) {
      throw new ApiError(403, 'forbidden', 'An address is chosen by the owner of the network.');
    }
    return { kind: 'network', network, address: typeof address === 'string' ? address : undefined };
  });
}

/** Nova speaks to Neutron as itself: it may bind ports, whoever asks. */
function asNova(request: ChangeRequest): ChangeRequest {
  return { ...request, caller: { ...request.caller, roles: [...request.caller.roles, 'admin'] } };
}

function attach(
  writer: Writer,
  server: ServerRecord,
  nic: Nic,
  groups: readonly string[],
  request: ChangeRequest,
): void {
  const owned = {
    device_id: server.id,
    device_owner: `compute:${server.availability_zone}`,
    'binding:host_id': server.host,
  };
  try {
    if (nic.kind === 'port') {
      updateOne(ports, writer, nic.port.id, owned, { ...asNova(request), ifMatch: undefined });
      return;
    }
    const isSecured = nic.network.port_security_enabled;
    createOne(
      ports,
      writer,
      {
        ...owned,
        network_id: nic.network.id,
        ...(isSecured ? { security_groups: groups } : {}),
        ...(nic.address === undefined ? {} : { fixed_ips: [{ ip_address: nic.address }] }),
      },
      asNova(request),
    );
  } catch (error) {
    throw error instanceof ApiError ? new PortsRefused(error) : error;
  }
}

// Delete

/** The ports that were made for it go with it; others are let go. */
export function deleteServer(writer: Writer, id: string, request: ChangeRequest): void {
  const server = changeableServer(writer.view, request.caller, id);
  for (const port of [...writer.view.portsOfDevice(server.id)]) {
    if (!server.kept_ports.includes(port.id)) writer.delete('port', port.id);
    else {
      const free = { device_id: '', device_owner: '', 'binding:host_id': '' };
      updateOne(ports, writer, port.id, free, { ...asNova(request), ifMatch: undefined });
    }
  }
  writer.delete('server', server.id);
}

// Groups

/** Adds a group to every port of a server, or to none. @throws ApiError */
export function addGroup(writer: Writer, id: string, text: string, request: ChangeRequest): void {
  const server = changeableServer(writer.view, request.caller, id);
  const group = groupByText(writer.view, request.caller, text);
  if (server.fault !== null) {
    writer.put('server', { ...server, requested_groups: [...new Set([...server.requested_groups, group.id])] });
    return;
  }
  for (const port of [...writer.view.portsOfDevice(server.id)]) {
    if (!port.port_security_enabled || port.fixed_ips.length === 0) {
      throw badRequest(
        'Network requires port_security_enabled and subnet associated in order to apply security groups.',
      );
    }
    if (port.security_groups.includes(group.id)) {
      throw badRequest(`Duplicate items in the list: '${group.id}'`);
    }
    setGroups(writer, port, [...port.security_groups, group.id], request);
  }
}

/** @throws ApiError (404) when no port had it. */
export function removeGroup(writer: Writer, id: string, text: string, request: ChangeRequest): void {
  const server = changeableServer(writer.view, request.caller, id);
  const group = groupByText(writer.view, request.caller, text);
  if (server.requested_groups.includes(group.id)) {
    writer.put('server', { ...server, requested_groups: server.requested_groups.filter((one) => one !== group.id) });
    return;
  }
  const having = [...writer.view.portsOfDevice(server.id)].filter(({ security_groups: ids }) => ids.includes(group.id));
  if (having.length === 0) {
    throw new ApiError(404, 'itemNotFound', `Security group ${group.id} not associated with the instance ${server.id}`);
  }
  for (const port of having) {
    setGroups(
      writer,
      port,
      port.security_groups.filter((one) => one !== group.id),
      request,
    );
  }
}

function setGroups(writer: Writer, port: PortRecord, groups: readonly string[], request: ChangeRequest): void {
  updateOne(ports, writer, port.id, { security_groups: groups }, { ...asNova(request), ifMatch: undefined });
}
