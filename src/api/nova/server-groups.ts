/** Security groups of servers: of all their ports together. */
import type { Writer } from '../writer.js';
import { ApiError } from '../errors.js';
import type { PortRecord } from '../records.js';
import { ports } from '../neutron/ports.js';
import { updateOne, type ChangeRequest } from '../neutron/resource.js';
import { groupByText } from './groups.js';
import { badRequest } from './server-request.js';
import { asNova, changeableServer, portsOfServer } from './servers.js';

/** Adds a group to every port of a server, or to none. @throws ApiError */
export function addGroup(writer: Writer, id: string, text: string, request: ChangeRequest): void {
  const server = changeableServer(writer.view, request.caller, id);
  const group = groupByText(writer.view, request.caller, server.project_id, text);
  if (server.fault !== null) {
    writer.put('server', { ...server, requested_groups: [...new Set([...server.requested_groups, group.id])] });
    return;
  }
  for (const port of portsOfServer(writer.view, server)) {
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
  const group = groupByText(writer.view, request.caller, server.project_id, text);
  if (server.requested_groups.includes(group.id)) {
    writer.put('server', { ...server, requested_groups: server.requested_groups.filter((one) => one !== group.id) });
    return;
  }
  const having = portsOfServer(writer.view, server).filter(({ security_groups: ids }) => ids.includes(group.id));
  if (having.length === 0) {
    throw new ApiError('itemNotFound', `Security group ${group.id} not associated with the instance ${server.id}`);
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
