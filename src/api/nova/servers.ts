/** Servers: records that own ports. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isMember, isOwn, type Caller } from '../caller.js';
import { ApiError } from '../errors.js';
import { shown, type Fields } from '../kinds/parsers.js';
import { ports } from '../neutron/ports.js';
import { instancesOf } from '../neutron/quota.js';
import { createOne, updateOne, type ChangeRequest } from '../neutron/resource.js';
import type { GroupRecord, PortRecord, ServerRecord } from '../records.js';
import type { View } from '../state.js';
import type { Writer } from '../writer.js';
import { flavorOf, isImage } from './catalog.js';
import {
  badRequest,
  boundedText,
  groupsIn,
  metadataIn,
  nameIn,
  nicsIn,
  placement,
  textIn,
  type Nic,
} from './server-request.js';

function serverNotFound(id: string): ApiError {
  return new ApiError('itemNotFound', `Instance ${id.slice(0, 255)} could not be found.`);
}

/** @throws ApiError (404) for one of another project, too. */
export function foundServer(view: View, caller: Caller, id: string): ServerRecord {
  const server = view.get('server', id);
  if (server === undefined || !(isAdmin(caller) || isOwn(caller, server))) throw serverNotFound(id);
  return server;
}

export function changeableServer(view: View, caller: Caller, id: string): ServerRecord {
  const server = foundServer(view, caller, id);
  if (!isMember(caller)) throw new ApiError('forbidden', "Policy doesn't allow this action to be performed.");
  return server;
}

/**
 * The ports of a server: those that were made for it or given to it, as long as they are its project's and name it. Anybody may
 * write any server's id into `device_id` of a port of his own: that alone makes it nobody's port but his.
 */
export function portsOfServer(view: View, server: ServerRecord): readonly PortRecord[] {
  return server.ports
    .flatMap((id) => view.get('port', id) ?? [])
    .filter((port) => port.device_id === server.id && port.project_id === server.project_id);
}

/** The groups of all ports together. */
export function groupsOf(view: View, server: ServerRecord): readonly GroupRecord[] {
  const ids = new Set([
    ...server.requested_groups,
    ...portsOfServer(view, server).flatMap(({ security_groups: groups }) => groups),
  ]);
  return [...ids].flatMap((id) => view.get('security_group', id) ?? []);
}

// Create

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
    throw new ApiError('forbidden', "Policy doesn't allow os_compute_api:servers:create to be performed.");
  const name = nameIn(body);
  reserveServer(writer.view, caller.projectId);
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
    key_name: body['key_name'] === undefined || body['key_name'] === null ? null : boundedText(body, 'key_name'),
    metadata: metadataIn(body['metadata']),
    ports: [],
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
  const after = {
    ...server,
    ports: nics.map((nic) => attach(writer, server, nic, groups, request).id),
    kept_ports: nics.flatMap((nic) => (nic.kind === 'port' ? [nic.port.id] : [])),
  };
  writer.put('server', after);
  return after;
}

/** @throws ApiError (403) when a project would have more servers than it may. */
function reserveServer(view: View, projectId: string): void {
  const [limit, used] = [instancesOf(view, projectId), view.countOf('server', projectId)];
  if (limit >= 0 && used + 1 > limit) {
    throw new ApiError(
      'forbidden',
      `Quota exceeded for instances: Requested 1, but already used ${used.toString()} of ${limit.toString()} instances`,
    );
  }
}

/** Nova speaks to Neutron as itself: it may bind ports, whoever asks. */
export function asNova(request: ChangeRequest): ChangeRequest {
  return { ...request, caller: { ...request.caller, roles: [...request.caller.roles, 'admin'] } };
}

/** @returns the port. @throws PortsRefused */
export function attach(
  writer: Writer,
  server: ServerRecord,
  nic: Nic,
  groups: readonly string[],
  request: ChangeRequest,
): PortRecord {
  const owned = {
    device_id: server.id,
    device_owner: `compute:${server.availability_zone}`,
    'binding:host_id': server.host,
  };
  try {
    if (nic.kind === 'port') {
      return updateOne(ports, writer, nic.port.id, owned, { ...asNova(request), ifMatch: undefined });
    }
    const isSecured = nic.network.port_security_enabled;
    return createOne(
      ports,
      writer,
      {
        ...owned,
        project_id: server.project_id,
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

// Change and delete

/** @throws ApiError */
export function renameServer(writer: Writer, id: string, body: Fields, request: ChangeRequest): ServerRecord {
  const server = changeableServer(writer.view, request.caller, id);
  const unknown = Object.keys(body).find((name) => !UPDATABLE.includes(name));
  if (unknown !== undefined) {
    throw badRequest(
      `Additional properties are not allowed ('${shown(unknown)}' was unexpected): valid is ${UPDATABLE.join(', ')}`,
    );
  }
  if (body['name'] === undefined) return server;
  const after = { ...server, name: nameIn(body), updated: request.now };
  writer.put('server', after);
  return after;
}

/** What clients send with a new name; nothing but the name is kept. */
const UPDATABLE = ['name', 'description', 'hostname', 'accessIPv4', 'accessIPv6', 'OS-DCF:diskConfig'];

/** The ports that were made for it go with it; others are let go. */
export function deleteServer(writer: Writer, id: string, request: ChangeRequest): void {
  const server = changeableServer(writer.view, request.caller, id);
  for (const port of portsOfServer(writer.view, server)) letGo(writer, server, port, request);
  writer.delete('server', server.id);
}

/** Deletes a port that was made for the server; one that was given is its owner's again. */
export function letGo(writer: Writer, server: ServerRecord, port: PortRecord, request: ChangeRequest): void {
  if (!server.kept_ports.includes(port.id)) {
    writer.delete('port', port.id);
    return;
  }
  const free = { device_id: '', device_owner: '', 'binding:host_id': '' };
  updateOne(ports, writer, port.id, free, { ...asNova(request), ifMatch: undefined });
}
