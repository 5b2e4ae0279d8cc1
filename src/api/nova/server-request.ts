/** What a request for a server says: texts, where it goes, its groups, its ports and networks. */
import { isUuid } from '../../../compiler/model/index.js';
import { isAdmin, isOwn, type Caller } from '../caller.js';
import { ApiError } from '../errors.js';
import { characters, isObject, isStorable, shown, type Fields } from '../kinds/parsers.js';
import { DEFAULT_NAME, ensureDefaultGroup } from '../neutron/default-group.js';
import { canSeeNetwork } from '../neutron/networks.js';
import type { ChangeRequest } from '../neutron/resource.js';
import type { NetworkRecord, PortRecord } from '../records.js';
import type { View } from '../state.js';
import type { Writer } from '../writer.js';
import { groupByText } from './groups.js';

/** Nova's: characters of a name, and of the names and values of metadata; and how many of those. */
const MOST_TEXT = 255;
const MOST_METADATA = 128;

export function badRequest(message: string): ApiError {
  return new ApiError('badRequest', message);
}

export function textIn(body: Fields, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw badRequest(`Invalid input for field/attribute ${name}. It must be a string.`);
  return value;
}

export function boundedText(body: Fields, name: string): string {
  const value = textIn(body, name);
  if (characters(value) > MOST_TEXT || !isStorable(value)) {
    throw badRequest(
      `Invalid input for field/attribute ${name}. Value: ${shown(value)}. It must be text of at most ${MOST_TEXT.toString()} characters.`,
    );
  }
  return value;
}

export function nameIn(body: Fields): string {
  const name = boundedText(body, 'name').trim();
  if (name === '') throw badRequest('Invalid input for field/attribute name. Value: . 1 to 255 characters.');
  return name;
}

export function metadataIn(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw badRequest('Invalid input for field/attribute metadata. It must hold strings.');
  const names = Object.keys(value);
  if (names.length > MOST_METADATA) {
    throw new ApiError('forbidden', `Maximum number of metadata items exceeds ${MOST_METADATA.toString()}`);
  }
  return Object.fromEntries(
    names.map((name) => {
      if (name === '') throw badRequest('Invalid input for field/attribute metadata. A name is empty.');
      return [boundedText({ [`metadata.${shown(name)}`]: name }, `metadata.${shown(name)}`), boundedText(value, name)];
    }),
  );
}

const ZONE = 'nova';

/** `nova:HOST` and, of newer clients, `host` say where; both are for administrators, as in Nova. */
export function placement(
  zoneText: unknown,
  hostText: unknown,
  computeHost: string | undefined,
  caller: Caller,
): { readonly zone: string; readonly host: string } {
  const named = { availability_zone: zoneText ?? '', host: hostText ?? '' };
  const [zone = '', zoneHost] = boundedText(named, 'availability_zone').split(':');
  const wanted = boundedText(named, 'host') === '' ? zoneHost : boundedText(named, 'host');
  if (wanted !== undefined && wanted !== '' && !isAdmin(caller)) {
    throw new ApiError('forbidden', "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.");
  }
  return { zone: zone === '' ? ZONE : zone, host: wanted ?? computeHost ?? '' };
}

/** The groups of ports that are made; of ports that are there already they say nothing. */
export function groupsIn(writer: Writer, value: unknown, { caller, now }: ChangeRequest): readonly string[] {
  if (value === undefined) return [ensureDefaultGroup(writer, caller.projectId, { now })];
  if (!Array.isArray(value) || !value.every(isObject))
    throw badRequest('Invalid input for field/attribute security_groups.');
  // Each name once: a body holds a hundred thousand, and to look for one takes as long as there are groups.
  const names = new Set(value.map((entry) => textIn(entry, 'name')));
  const ids = [...names].map((text) => {
    if (text === DEFAULT_NAME) return ensureDefaultGroup(writer, caller.projectId, { now });
    try {
      return groupByText(writer.view, caller, caller.projectId, text).id;
    } catch (error) {
      throw error instanceof ApiError && error.status === 404 ? badRequest(error.message) : error;
    }
  });
  return [...new Set(ids)];
}

export type Nic =
  | { readonly kind: 'port'; readonly port: PortRecord }
  | { readonly kind: 'network'; readonly network: NetworkRecord; readonly address: string | undefined };

export function nicsIn(view: View, value: unknown, caller: Caller): readonly Nic[] {
  if (value === 'none') return [];
  if (value === undefined || value === 'auto') return automaticNics(view, caller.projectId);
  if (!Array.isArray(value) || !value.every(isObject)) throw badRequest('Invalid input for field/attribute networks.');
  const nics = value.map((entry) => nicIn(view, entry, 'uuid', 'port', caller, caller.projectId));
  const given = nics.flatMap((nic) => (nic.kind === 'port' ? [nic.port.id] : []));
  const repeated = given.find((id, index) => given.indexOf(id) !== index);
  if (repeated !== undefined) throw badRequest(`Port ${repeated} is named twice.`);
  return nics;
}

/** The one network that the project itself has: what others share with it is not chosen for it. */
export function automaticNics(view: View, projectId: string): readonly Nic[] {
  const [only, ...others] = [...view.all('network')].filter((network) => network.project_id === projectId);
  if (only === undefined) return [];
  if (others.length > 0) {
    throw new ApiError('conflictingRequest', 'Multiple possible networks found, use a Network ID to be more specific.');
  }
  return [{ kind: 'network', network: only, address: undefined }];
}

/**
 * A port or a network in a request.
 * @param projectId of the server: a port of another project is refused, whoever asks.
 * @throws ApiError
 */
export function nicIn(
  view: View,
  entry: Fields,
  networkKey: string,
  portKey: string,
  caller: Caller,
  projectId: string,
): Nic {
  const portId = entry[portKey];
  if (portId !== undefined && portId !== null) {
    const port = isUuid(portId) ? view.get('port', portId.toLowerCase()) : undefined;
    if (port === undefined || !(isAdmin(caller) || isOwn(caller, port))) {
      throw badRequest(`Port id ${shown(portId)} could not be found.`);
    }
    if (port.project_id !== projectId)
      throw badRequest(`Port ${port.id} not usable for instance: it is another project's.`);
    if (port.device_id !== '') throw new ApiError('conflictingRequest', `Port ${port.id} is still in use.`);
    return { kind: 'port', port };
  }
  const networkId = entry[networkKey];
  const network = isUuid(networkId) ? view.get('network', networkId.toLowerCase()) : undefined;
  if (network === undefined || !canSeeNetwork(network, view, caller)) {
    throw badRequest(`Network ${shown(networkId)} could not be found.`);
  }
  if (network['router:external'] && !network.shared && !isAdmin(caller) && !isOwn(caller, network)) {
    throw new ApiError('forbidden', `It is not allowed to create an interface on external network ${network.id}`);
  }
  const address = entry['fixed_ip'];
  if (typeof address === 'string' && !isAdmin(caller) && !isOwn(caller, network)) {
    throw new ApiError('forbidden', 'An address is chosen by the owner of the network.');
  }
  return { kind: 'network', network, address: typeof address === 'string' ? address : undefined };
}
