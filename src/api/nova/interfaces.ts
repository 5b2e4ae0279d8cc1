/** `os-interface`: the ports of a server, shown, attached and detached. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Writer } from '../writer.js';
import { ApiError } from '../errors.js';
import type { PortRecord, ServerRecord } from '../records.js';
import { callerOf, empty, parameter, type Service } from '../service.js';
import type { View } from '../state.js';
import { isObject, listOf, type Fields } from '../kinds/parsers.js';
import { ensureDefaultGroup } from '../neutron/default-group.js';
import { portView } from '../neutron/ports.js';
import { timestamp, type ChangeRequest } from '../neutron/resource.js';
import { automaticNics, badRequest, nicIn, type Nic } from './server-request.js';
import { attach, changeableServer, foundServer, letGo, portsOfServer, PortsRefused } from './servers.js';

/** Ports of one server, at most. */
const MOST_PORTS = 64;

export function registerInterfaces(app: FastifyInstance, { database }: Service): void {
  const change = (request: FastifyRequest): ChangeRequest => ({ caller: callerOf(request), now: timestamp() });
  const path = '/servers/:id/os-interface';

  app.get(path, (request) => {
    const server = foundServer(database.view, callerOf(request), parameter(request, 'id'));
    return { interfaceAttachments: portsOfServer(database.view, server).map(interfaceView) };
  });
  app.get(`${path}/:port`, (request) => {
    const server = foundServer(database.view, callerOf(request), parameter(request, 'id'));
    return { interfaceAttachment: interfaceView(foundPort(database.view, server, parameter(request, 'port'))) };
  });
  app.post(path, async (request) => {
    const body = isObject(request.body) ? (request.body['interfaceAttachment'] ?? {}) : {};
    if (!isObject(body))
      throw badRequest('Invalid input for field/attribute interfaceAttachment. It must be an object.');
    const port = await database.change(callerOf(request), (writer) =>
      attachOne(writer, parameter(request, 'id'), body, change(request)),
    );
    return { interfaceAttachment: interfaceView(port) };
  });
  app.delete(`${path}/:port`, async (request, reply) => {
    await database.change(callerOf(request), (writer) => {
      detachOne(writer, parameter(request, 'id'), parameter(request, 'port'), change(request));
    });
    await empty(reply, 202);
  });
}

function attachOne(writer: Writer, id: string, body: Fields, request: ChangeRequest): PortRecord {
  const server = changeableServer(writer.view, request.caller, id);
  // Ports that were deleted meanwhile, as ports, count no more.
  const before = server.ports.filter((one) => writer.view.get('port', one) !== undefined);
  if (before.length >= MOST_PORTS) throw badRequest(`A server has at most ${MOST_PORTS.toString()} ports.`);
  const nic = wantedNic(writer.view, body, server, request);
  const groups = [ensureDefaultGroup(writer, server.project_id, request)];
  try {
    const port = attach(writer, server, nic, groups, request);
    writer.put('server', {
      ...server,
      // Once also when it was the server's before, and was let go as a port.
      ports: [...new Set([...before, port.id])],
      kept_ports: nic.kind === 'port' ? [...new Set([...server.kept_ports, port.id])] : server.kept_ports,
      updated: request.now,
    });
    return port;
  } catch (error) {
    throw error instanceof PortsRefused ? error.reason : error;
  }
}

function wantedNic(view: View, body: Fields, server: ServerRecord, { caller }: ChangeRequest): Nic {
  const { port_id: portId, net_id: networkId, fixed_ips: addresses } = body;
  if (portId !== undefined && networkId !== undefined) throw badRequest('Must not input both network_id and port_id');
  if (addresses !== undefined && networkId === undefined)
    throw badRequest('Must input network_id when request IP address');
  if (portId === undefined && networkId === undefined) {
    const [only] = automaticNics(view, server.project_id);
    if (only === undefined) throw badRequest('No fixed network is there to attach: name one by net_id.');
    return only;
  }
  return nicIn(view, { ...body, fixed_ip: oneAddress(addresses) }, 'net_id', 'port_id', caller, server.project_id);
}

function oneAddress(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const [only, ...others] = listOf(value);
  const address = isObject(only) ? only['ip_address'] : undefined;
  if (typeof address !== 'string' || others.length > 0) {
    throw badRequest('Invalid input for field/attribute fixed_ips. It must be a list of one ip_address.');
  }
  return address;
}

function detachOne(writer: Writer, id: string, portId: string, request: ChangeRequest): void {
  const server = changeableServer(writer.view, request.caller, id);
  const port = foundPort(writer.view, server, portId);
  letGo(writer, server, port, request);
  const without = (ids: readonly string[]): readonly string[] => ids.filter((one) => one !== port.id);
  writer.put('server', {
    ...server,
    ports: without(server.ports),
    kept_ports: without(server.kept_ports),
    updated: request.now,
  });
}

function foundPort(view: View, server: ServerRecord, id: string): PortRecord {
  const port = portsOfServer(view, server).find((one) => one.id === id);
  if (port === undefined) {
    throw new ApiError(
      'itemNotFound',
      `Instance ${server.id} does not have fixed ip/port ${id.slice(0, 255)} attached.`,
    );
  }
  return port;
}

function interfaceView(port: PortRecord): object {
  return {
    port_id: port.id,
    net_id: port.network_id,
    mac_addr: port.mac_address,
    port_state: portView(port)['status'],
    fixed_ips: port.fixed_ips,
  };
}
