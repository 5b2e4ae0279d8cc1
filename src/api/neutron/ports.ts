/** Ports. */
import { randomUUID } from 'node:crypto';
import { isAdmin, isOwn, type Caller } from '../caller.js';
import { ApiError, badRequest, forbidden } from '../errors.js';
import type { AddressPair, DhcpOption, FixedIp, NetworkRecord, PortRecord } from '../records.js';
import type { View } from '../state.js';
import { allocate, generateMac, type WantedIp } from './allocation.js';
import { isObject, listOf, shown, type Fields } from '../kinds/parsers.js';
import { checkCompilable } from './compilable.js';
import { ensureDefaultGroup } from './default-group.js';
import { networks } from './networks.js';
import { reserve } from './quota.js';
import { found, madeAt, revised, type Resource } from './resource.js';
import { securityGroups } from './security-groups.js';
import { specOf } from '../kinds/attribute.js';
import { PORT, type WantedPair, MOST_OPTIONS, invalidOption } from '../kinds/port.js';
import { type Shows, shows, ALL } from './shows.js';

/** Ports of the network's own services, which nobody filters. */
const TRUSTED_OWNER = 'network:';

const SPEC = specOf(PORT);

const BINDING = ['binding:host_id', 'binding:profile', 'binding:vif_type', 'binding:vif_details'];

const isBound = (port: PortRecord): boolean => port['binding:host_id'] !== '';

const PORT_SHOWS: Shows<PortRecord, unknown> = shows(
  PORT,
  [
    'id',
    'name',
    'network_id',
    'tenant_id',
    'mac_address',
    'admin_state_up',
    'status',
    'device_id',
    'device_owner',
    'fixed_ips',
    'allowed_address_pairs',
    'extra_dhcp_opts',
    'security_groups',
    'description',
    'binding:vnic_type',
    'binding:profile',
    'binding:host_id',
    'binding:vif_type',
    'binding:vif_details',
    'port_security_enabled',
    'tags',
    'created_at',
    'updated_at',
    'revision_number',
    'project_id',
  ],
  {
    // There is no agent that reports: a port that is bound is taken to be wired.
    status: (port) => (isBound(port) && port.admin_state_up ? 'ACTIVE' : 'DOWN'),
    'binding:vif_type': (port) => (isBound(port) ? 'tap' : 'unbound'),
    'binding:vif_details': (port) => (isBound(port) ? { port_filter: true, connectivity: 'l2' } : {}),
  },
);

export const ports: Resource<'port', typeof SPEC> = {
  kind: 'port',
  spec: SPEC,
  shows: PORT_SHOWS,
  adminOnly: BINDING,
  notFound: (id) => new ApiError('PortNotFound', `Port ${id} could not be found.`),
  canSee: (port, view, caller) => {
    const network = view.get('network', port.network_id);
    return isOwn(caller, port) || (network !== undefined && isOwn(caller, network));
  },
  candidates: (view, filters) => {
    const devices = filters.get('device_id');
    if (devices?.every((id) => id !== '') === true)
      return new Set(devices.flatMap((id) => [...view.portsOfDevice(id)]));
    const within = filters.get('network_id');
    return within === undefined
      ? undefined
      : [...new Set(within)].flatMap((id) => [...view.by('port', 'network_id', id)]);
  },
  filters: {
    fixed_ips: (values) => {
      const wanted = fixedIpFilters(values);
      return (item) => {
        const ips = listOf(item.value('fixed_ips')).filter(isObject);
        return wanted.every((ways) => ways.some((isMet) => ips.some(isMet)));
      };
    },
    // Clients that ask for the attribute by its other name.
    security_group_ids: (values) => {
      const wanted = new Set<unknown>(values);
      return (item) => listOf(item.value('security_groups')).some((id) => wanted.has(id));
    },
  },
  create: (writer, { values, projectId, caller, now, named }) => {
    const { view } = writer;
    const network = found(networks, view, caller, values.network_id);
    const isNetworkOwner = isAdmin(caller) || isOwn(caller, network);
    for (const name of ['mac_address', 'port_security_enabled', 'allowed_address_pairs']) {
      if (named.has(name) && !isNetworkOwner) throw forbidden(`rule:create_port:${name}`);
    }
    if (values.fixed_ips?.some(({ ip_address: address }) => address !== undefined) === true && !isNetworkOwner) {
      throw forbidden('rule:create_port:fixed_ips:ip_address');
    }
    refuseBinding(named, caller, 'create');
    refuseTrusted(values.device_owner, network, caller, 'create');
    reserve(view, projectId, { port: 1 });
    const mac = freeMac(view, network.id, values.mac_address);
    const fixedIps = allocate(view, network, mac, values.fixed_ips, undefined);
    const isTrusted = values.device_owner.startsWith(TRUSTED_OWNER);
    const groupsNamed = values.security_groups !== undefined && values.security_groups.length > 0;
    const isSecured =
      !isTrusted &&
      (values.port_security_enabled ?? ((groupsNamed && fixedIps.length > 0) || network.port_security_enabled));
    const groups = isSecured ? (values.security_groups ?? [ensureDefaultGroup(writer, projectId, { now })]) : [];
    if (!isSecured && groupsNamed) throw securityRequired();
    const port: PortRecord = {
      id: randomUUID(),
      project_id: projectId,
      ...values,
      mac_address: mac,
      fixed_ips: fixedIps,
      security_groups: groups,
      port_security_enabled: isSecured,
      allowed_address_pairs: completed(values.allowed_address_pairs, mac),
      extra_dhcp_opts: optionsAfter([], values.extra_dhcp_opts),
      ...madeAt(now, 1),
    };
    checkPort(view, port, caller);
    writer.put('port', port);
    return port;
  },
  update: (writer, port, { values, caller, now }) => {
    const { view } = writer;
    const network = view.get('network', port.network_id);
    if (network === undefined) throw networks.notFound(port.network_id);
    const named = new Set(Object.keys(values));
    const isNetworkOwner = isAdmin(caller) || isOwn(caller, network);
    for (const name of ['port_security_enabled', 'allowed_address_pairs', 'fixed_ips']) {
      if (named.has(name) && !isNetworkOwner) throw forbidden(`rule:update_port:${name}`);
    }
    if (values.mac_address !== undefined && values.mac_address !== port.mac_address && !isAdmin(caller)) {
      throw forbidden('rule:update_port:mac_address');
    }
    refuseBinding(named, caller, 'update');
    if (values.device_owner !== undefined && values.device_owner !== port.device_owner) {
      refuseTrusted(values.device_owner, network, caller, 'update');
    }
    const { fixed_ips: wantedIps, allowed_address_pairs: wantedPairs, extra_dhcp_opts: wantedOptions } = values;
    const mac =
      values.mac_address === undefined ? port.mac_address : freeMac(view, network.id, values.mac_address, port.id);
    const changed: PortRecord = {
      ...port,
      ...values,
      mac_address: mac,
      fixed_ips: wantedIps === undefined ? port.fixed_ips : allocateAgain(view, network, port, mac, wantedIps),
      extra_dhcp_opts:
        wantedOptions === undefined ? port.extra_dhcp_opts : optionsAfter(port.extra_dhcp_opts, wantedOptions),
      allowed_address_pairs: wantedPairs === undefined ? port.allowed_address_pairs : completed(wantedPairs, mac),
    };
    const after = securedAfter(port, revised(port, changed, now), named);
    if (after === port) return port;
    checkPort(view, after, caller, port);
    writer.put('port', after);
    return after;
  },
  remove: (writer, { id }) => {
    writer.delete('port', id);
  },
};

export function portView(port: PortRecord): Fields {
  return PORT_SHOWS.fields(port, undefined, ALL);
}

type FixedIpFilter = (ip: Fields) => boolean;

/** As Neutron: of each key one value is met, `subnet_id=S` and `ip_address=A` both. @throws ApiError (400) */
function fixedIpFilters(values: readonly string[]): readonly (readonly FixedIpFilter[])[] {
  const byKey = new Map<string, FixedIpFilter[]>();
  for (const wanted of values) {
    const key = wanted.slice(0, wanted.indexOf('='));
    const filters = byKey.get(key) ?? [];
    byKey.set(key, filters);
    filters.push(fixedIpFilter(key, wanted));
  }
  return [...byKey.values()];
}

function fixedIpFilter(key: string, wanted: string): FixedIpFilter {
  const value = wanted.slice(wanted.indexOf('=') + 1);
  switch (key) {
    case 'ip_address':
      return ({ ip_address: address }) => address === value;
    case 'ip_address_substr':
      return ({ ip_address: address }) => typeof address === 'string' && address.includes(value);
    case 'subnet_id':
      return ({ subnet_id: id }) => id === value;
    default:
      throw badRequest(
        `Invalid input for fixed_ips filter: '${shown(wanted)}'; valid: ip_address=, ip_address_substr=, subnet_id=`,
      );
  }
}

function refuseBinding(named: ReadonlySet<string>, caller: Caller, action: 'create' | 'update'): void {
  const refused = isAdmin(caller) ? undefined : BINDING.find((name) => named.has(name));
  if (refused !== undefined) throw forbidden(`rule:${action}_port:${refused}`);
}

/** Who may make a port that nobody filters (CVE-2015-5240). */
function refuseTrusted(owner: string, network: NetworkRecord, caller: Caller, action: 'create' | 'update'): void {
  if (!owner.startsWith(TRUSTED_OWNER) || isAdmin(caller) || isOwn(caller, network)) return;
  throw forbidden(`rule:${action}_port:device_owner`);
}

function freeMac(view: View, networkId: string, wanted: string | null | undefined, portId?: string): string {
  if (wanted === undefined || wanted === null) return generateMac(view, networkId);
  const owner = view.portWithMac(networkId, wanted);
  if (owner !== undefined && owner.id !== portId) {
    throw new ApiError(
      'MacAddressInUse',
      `Unable to complete operation for network ${networkId}. The mac address ${wanted} is in use.`,
    );
  }
  return wanted;
}

/** Addresses that the port has and keeps are not looked for: those that are named, and of a subnet's those that are not. */
function allocateAgain(
  view: View,
  network: NetworkRecord,
  port: PortRecord,
  mac: string,
  wanted: readonly WantedIp[],
): readonly FixedIp[] {
  const named = new Set(wanted.map(({ ip_address: address }) => address));
  const left = port.fixed_ips.filter(({ ip_address: address }) => !named.has(address));
  const kept = wanted.map(({ subnet_id: subnet, ip_address: address }) => {
    const index = left.findIndex(({ subnet_id: id }) => id === subnet);
    if (address !== undefined || index < 0) return { subnet_id: subnet, ip_address: address };
    const [known] = left.splice(index, 1);
    return { subnet_id: subnet, ip_address: known?.ip_address };
  });
  return allocate(view, network, mac, kept, port.id);
}

/** The MAC is stored with the pair; equal pairs are refused, also where one of them names the port's own. */
function completed(given: readonly WantedPair[], mac: string): readonly AddressPair[] {
  const complete = given.map(({ ip_address: address, mac_address: own }) => ({
    mac_address: own ?? mac,
    ip_address: address,
  }));
  const seen = new Set<string>();
  for (const { mac_address: one, ip_address: address } of complete) {
    const key = `${one} ${address}`;
    if (seen.has(key)) {
      throw new ApiError(
        'DuplicateAddressPairInRequest',
        `Request contains duplicate address pair: mac_address ${one} ip_address ${address}.`,
      );
    }
    seen.add(key);
  }
  return complete;
}

/** As Neutron: an option that is named is set or, without a value, taken away; others stay. @throws ApiError (400) */
function optionsAfter(before: readonly DhcpOption[], wanted: readonly DhcpOption[]): readonly DhcpOption[] {
  const key = ({ opt_name: name, ip_version: version }: DhcpOption): string => `${version.toString()} ${name}`;
  const options = new Map([...before, ...wanted].map((option) => [key(option), option]));
  const after = [...options.values()].filter(({ opt_value: value }) => value !== null);
  if (after.length > MOST_OPTIONS) throw invalidOption(`more than ${MOST_OPTIONS.toString()} options`);
  return after;
}

function securityRequired(): ApiError {
  return new ApiError(
    'PortSecurityAndIPRequiredForSecurityGroups',
    'Port security must be enabled and port must have an IP address in order to use security groups.',
  );
}

/** A port whose owner becomes a trusted one keeps its groups, for the time when it is none any more: nobody filters it meanwhile. */
function securedAfter(before: PortRecord, after: PortRecord, named: ReadonlySet<string>): PortRecord {
  if (!after.port_security_enabled && before.port_security_enabled && after.security_groups.length > 0) {
    if (named.has('security_groups')) throw securityRequired();
    throw new ApiError(
      'PortSecurityPortHasSecurityGroup',
      'Port has security group associated. Cannot disable port security or IP address until security group is removed.',
    );
  }
  return after;
}

/** What the attributes say together, and the groups. */
function checkPort(view: View, port: PortRecord, caller: Caller, before?: PortRecord): void {
  if (!port.port_security_enabled && port.security_groups.length > 0) throw securityRequired();
  if (!port.port_security_enabled && port.allowed_address_pairs.length > 0) {
    throw new ApiError(
      'AddressPairAndPortSecurityRequired',
      'Port Security must be enabled in order to have allowed address pairs on a port.',
    );
  }
  const groups = port.security_groups.map((id) => {
    const kept = before?.security_groups.includes(id) === true ? view.get('security_group', id) : undefined;
    return kept ?? found(securityGroups, view, caller, id);
  });
  if (new Set(groups.map(({ stateful }) => stateful)).size > 1) {
    throw new ApiError(
      'SecurityGroupConflict',
      'Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting the operation.',
    );
  }
  checkCompilable({
    networks: [{ id: port.network_id }],
    security_groups: groups.map(({ id, stateful }) => ({ id, stateful, security_group_rules: [] })),
    ports: [portView(port)],
  });
}
