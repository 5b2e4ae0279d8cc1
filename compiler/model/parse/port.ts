/** Ports. */
import type { Prefix } from '../address.js';
import { comparePrefixes } from '../address.js';
import { parseMac, parsePortMac, type Mac } from '../mac.js';
import { quoteValue } from '../problem.js';
import type { AllowedAddressPair, Filtering, Network, Port, SecurityGroup } from '../topology.js';
import { distinct, unicastAddress, unicastPrefix } from './addresses.js';
import { reportUnknownFields } from './fields.js';
import type { Directory } from './references.js';
import type { SharedValues } from './shared.js';
import {
  booleanIn,
  field,
  idIn,
  isFields,
  listIn,
  objectsIn,
  projectIn,
  textIn,
  type Fields,
  type Item,
  type Place,
} from './report.js';

export interface PortContext {
  readonly groups: Directory;
  readonly networks: Directory;
  readonly networksById: ReadonlyMap<string, Network>;
  /** Those in force. A port has nothing from one that is known and not among them. */
  readonly groupsById: ReadonlyMap<string, SecurityGroup>;
  /** The project's `default` group, for ports that name no groups; undefined where nobody can say which it is. */
  readonly defaultGroup: (projectId: string) => string | undefined;
  /** Is told of a port that names a group which is not in force. */
  readonly onClosedGroup: (groupId: string, portId: string) => void;
  readonly widestPairLength: Readonly<Record<Prefix['family'], number>>;
  readonly shared: SharedValues;
}

/** Owners that Neutron trusts: their ports are not filtered. */
const TRUSTED_OWNER_PREFIX = 'network:';

/** Linux counts 16 bytes with the final NUL (linux/if.h, IFNAMSIZ). */
const MOST_DEVICE_BYTES = 15;

/** Reads one port; undefined when it is invalid. One with any error is of no use, whatever is returned. */
export function parsePort(fields: Fields, place: Place, context: PortContext): Port | undefined {
  reportUnknownFields('port', fields, place);
  const id = idIn(fields, place);
  const projectId = projectIn(fields, place);
  const networkId = parseNetwork(fields, projectId, place, context);
  const mac = portMac(field(fields, 'mac_address'), place.key('mac_address'));
  if (id === undefined || networkId === undefined || mac === undefined) return undefined;
  const deviceOwner = textIn(fields, 'device_owner', place);
  const fixedIps = parseFixedIps(fields, place);
  const pairs = parsePairs(fields, mac, place);
  const explicitSecurity = booleanIn(fields, 'port_security_enabled', place);
  const adminStateUp = booleanIn(fields, 'admin_state_up', place) ?? true;
  const trusted = deviceOwner.startsWith(TRUSTED_OWNER_PREFIX);
  const secured = !trusted && (explicitSecurity ?? context.networksById.get(networkId)?.portSecurityEnabled ?? true);
  const named = parseGroups(fields, projectId, { secured, trusted }, place, context);
  for (const groupId of named) if (!context.groupsById.has(groupId)) context.onClosedGroup(groupId, id);
  const securityGroupIds = named.filter((groupId) => context.groupsById.has(groupId));
  if (!secured && pairs.length > 0 && !trusted) {
    place
      .key('allowed_address_pairs')
      .error('conflict', 'address pairs need port security, which is off: valid is an empty list');
  }
  const device = parseDevice(fields, id, place);
  const bridge = parseBridge(fields, networkId, place);
  const vlan = parseVlan(fields, place) ?? context.networksById.get(networkId)?.vlan;
  if (device === undefined || bridge === undefined) return undefined;
  if (!place.isInBadObject) noticeWidePairs(pairs, securityGroupIds, place, context);
  const { shared } = context;
  const host = textIn(fields, 'binding:host_id', place);
  return {
    id,
    name: textIn(fields, 'name', place),
    projectId: shared.text(projectId),
    networkId: shared.text(networkId),
    mac,
    fixedIps: shared.list(fixedIps),
    allowedAddressPairs: shared.list(pairs),
    securityGroupIds: shared.ids(securityGroupIds),
    filtering: filteringOf(adminStateUp, trusted, secured),
    deviceOwner: shared.text(deviceOwner),
    host: host === '' ? undefined : shared.text(host),
    migratingTo: migrationTarget(fields),
    device,
    bridge: shared.text(bridge),
    vlan,
  };
}

/** What Nova writes there is not for us to refuse. */
function migrationTarget(fields: Fields): string | undefined {
  const profile = field(fields, 'binding:profile');
  const target = isFields(profile) ? field(profile, 'migrating_to') : undefined;
  return typeof target === 'string' && target !== '' ? target : undefined;
}

function filteringOf(adminStateUp: boolean, trusted: boolean, secured: boolean): Filtering {
  if (!adminStateUp) return 'down';
  if (trusted) return 'trusted';
  return secured ? 'filtered' : 'port-security-off';
}

function parseNetwork(fields: Fields, projectId: string, place: Place, context: PortContext): string | undefined {
  const value = field(fields, 'network_id');
  if (typeof value !== 'string' || value === '') {
    return place.key('network_id').badValue(value, 'the id of a network');
  }
  // A dump may hold ports without networks, which are needed for nothing but their port security default.
  if (context.networksById.size === 0) return value;
  return context.networks.known(value, projectId, place.key('network_id')) ?? value;
}

function portMac(value: unknown, place: Place): Mac | undefined {
  const mac = typeof value === 'string' ? parsePortMac(value) : undefined;
  return mac ?? place.badValue(value, 'a MAC address of a port (fa:16:3e:00:00:01)');
}

/** The port's own, or another device's. */
function pairMac(value: unknown, own: Mac, place: Place): Mac | undefined {
  if (typeof value === 'string' && parsePortMac(value) === own) return own;
  const mac = typeof value === 'string' ? parseMac(value) : undefined;
  return mac ?? place.badValue(value, 'a unicast MAC address (fa:16:3e:00:00:01)');
}

function parseFixedIps(fields: Fields, place: Place): readonly Prefix[] {
  const addresses: Prefix[] = [];
  for (const { fields: entry, place: at } of objectsIn(field(fields, 'fixed_ips'), place.key('fixed_ips'))) {
    reportUnknownFields('fixed IP', entry, at);
    const address = unicastAddress(field(entry, 'ip_address'), at.key('ip_address'));
    if (address !== undefined) addresses.push(address);
  }
  return [...distinct(addresses)].sort(comparePrefixes);
}

function parsePairs(fields: Fields, own: Mac, place: Place): readonly AllowedAddressPair[] {
  const pairs = new Map<string, AllowedAddressPair>();
  for (const { fields: entry, place: at } of objectsIn(
    field(fields, 'allowed_address_pairs'),
    place.key('allowed_address_pairs'),
  )) {
    reportUnknownFields('allowed address pair', entry, at);
    const macValue = field(entry, 'mac_address');
    const mac = macValue === undefined || macValue === null ? own : pairMac(macValue, own, at.key('mac_address'));
    const prefix = unicastPrefix(field(entry, 'ip_address'), at.key('ip_address'));
    if (mac === undefined || prefix === undefined) continue;
    // Neutron keeps 10.0.0.1 and 10.0.0.1/32 apart; they allow the same.
    pairs.set(`${mac} ${prefix.text}`, { mac, prefix });
  }
  return [...pairs.values()].sort((a, b) => comparePrefixes(a.prefix, b.prefix) || (a.mac < b.mac ? -1 : 1));
}

function parseGroups(
  fields: Fields,
  projectId: string,
  { secured, trusted }: { readonly secured: boolean; readonly trusted: boolean },
  place: Place,
  context: PortContext,
): readonly string[] {
  const value = field(fields, 'security_groups');
  const at = place.key('security_groups');
  if (value === undefined) return secured ? [context.defaultGroup(projectId) ?? []].flat() : [];
  const references = listIn(value, at);
  if (!secured) {
    if (references.length > 0 && !trusted) {
      at.error('conflict', `${quoteValue(references)} on a port without port security: valid is an empty list`);
    }
    return [];
  }
  const ids = references.flatMap((reference, index) => context.groups.find(reference, projectId, at.at(index)) ?? []);
  const unique = [...new Set(ids)].sort();
  if (mixesKinds(unique, context.groupsById)) {
    at.error('conflict', `${quoteValue(references)} mixes stateful and stateless groups: valid is one kind on a port`);
  }
  return unique;
}

/** True for stateful and stateless groups on one port. */
export function mixesKinds(ids: readonly string[], groups: ReadonlyMap<string, SecurityGroup>): boolean {
  const has = (stateful: boolean): boolean => ids.some((id) => groups.get(id)?.stateful === stateful);
  return ids.length > 1 && has(true) && has(false);
}

/** The devices that a port names, or would have by its id, and where: whatever else is wrong with it. */
export function claimedPlaces(
  fields: Fields,
  id: string | undefined,
  place: Place,
): { readonly devices: readonly string[]; readonly hosts: readonly string[] } {
  const unheard = place.unheard();
  const named = ['device', 'device_name'].flatMap((name) => {
    const value = field(fields, name);
    return value === undefined || value === null ? [] : (deviceName(value, unheard) ?? []);
  });
  const devices = named.length > 0 || id === undefined ? named : [`tap${id.slice(0, 11)}`];
  const hosts = [textIn(fields, 'binding:host_id', unheard), migrationTarget(fields) ?? ''].filter(
    (host) => host !== '',
  );
  return { devices, hosts };
}

/** Whether an item without a valid id was that port: by its device, or by its MAC in its network. */
export function wasThatPort({ fields, place }: Item, port: Port): boolean {
  const { devices, hosts } = claimedPlaces(fields, undefined, place);
  if (devices.includes(port.device) && hosts.includes(port.host ?? '')) return true;
  const value = field(fields, 'mac_address');
  const mac = typeof value === 'string' ? parsePortMac(value) : undefined;
  return mac === port.mac && field(fields, 'network_id') === port.networkId;
}

function parseDevice(fields: Fields, id: string, place: Place): string | undefined {
  for (const name of ['device', 'device_name']) {
    const value = field(fields, name);
    if (value !== undefined && value !== null) return deviceName(value, place.key(name));
  }
  // Joined it is one string; a template would keep both of its parts.
  return ['tap', id.slice(0, 11)].join('');
}

function parseBridge(fields: Fields, networkId: string, place: Place): string | undefined {
  const details = field(fields, 'binding:vif_details');
  if (field(fields, 'binding:vif_type') === 'bridge' && isFields(details)) {
    const value = field(details, 'bridge_name');
    if (typeof value === 'string' && value !== '') {
      return deviceName(value, place.key('binding:vif_details').key('bridge_name'));
    }
  }
  return `brq${networkId.slice(0, 11)}`;
}

/** Neutron gives it as text. */
function parseVlan(fields: Fields, place: Place): number | undefined {
  const details = field(fields, 'binding:vif_details');
  if (!isFields(details)) return undefined;
  const value = field(details, 'vlan');
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  return vlanId(number, place.key('binding:vif_details').key('vlan'));
}

/** A VLAN's number (IEEE 802.1Q), where there is one. */
export function vlanId(value: unknown, place: Place): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 4094) return value;
  return place.badValue(value, 'the number of a VLAN (1-4094)');
}

function deviceName(value: unknown, place: Place): string | undefined {
  const valid = typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) && !/["*\\/:]/.test(value);
  if (valid && value.length <= MOST_DEVICE_BYTES && value !== '.' && value !== '..') return value;
  return place.badValue(
    value,
    `a device name (1-${MOST_DEVICE_BYTES.toString()} printable ASCII characters, none of " * \\ / : or space)`,
  );
}

function noticeWidePairs(
  pairs: readonly AllowedAddressPair[],
  groups: readonly string[],
  place: Place,
  context: PortContext,
): void {
  if (groups.length === 0) return;
  for (const { prefix } of pairs) {
    const limit = context.widestPairLength[prefix.family];
    if (prefix.length >= limit) continue;
    place
      .key('allowed_address_pairs')
      .report(
        'notice',
        'wide-address-pair',
        `"${prefix.text}" is wider than /${limit.toString()}: the port may send from there, but rules that name its groups do not admit it`,
      );
  }
}
