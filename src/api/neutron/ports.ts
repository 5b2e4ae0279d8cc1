/** Ports. */
import { randomUUID } from 'node:crypto';
import { parseMac, parsePortMac, parsePrefix } from '../../../compiler/model/index.js';
import { isAdmin, isOwn, type Caller } from '../caller.js';
import { ApiError, badRequest, forbidden, invalidInput } from '../errors.js';
import type { AddressPair, DhcpOption, FixedIp, NetworkRecord, PortRecord } from '../records.js';
import type { View } from '../state.js';
import { allocate, generateMac, type WantedIp } from './allocation.js';
import {
  defaulted,
  fixed,
  integer,
  isObject,
  list,
  nullable,
  object,
  oneOf,
  optional,
  required,
  shown,
  text,
  truth,
  uuid,
  type Parser,
} from './attributes.js';
import { checkCompilable } from './compilable.js';
import { ensureDefaultGroup } from './default-group.js';
import { canSeeNetwork, networkNotFound } from './networks.js';
import type { Listed } from './query.js';
import { reserve } from './quota.js';
import { revised, type Resource } from './resource.js';
import { groupNotFound } from './security-groups.js';
import { isUsable } from './sharing.js';

/** Neutron's `max_allowed_address_pair`. */
const MOST_PAIRS = 10;
/** Neutron's `max_fixed_ips_per_port`. */
const MOST_FIXED_IPS = 5;
/** Of DHCP, of one port. */
const MOST_OPTIONS = 20;
/** Ports of the network's own services, which nobody filters. */
const TRUSTED_OWNER = 'network:';

function macBy(parse: typeof parseMac, what: string): Parser<string> {
  return (value, name) => {
    const mac = typeof value === 'string' ? parse(value) : undefined;
    if (mac === undefined) throw invalidInput(name, `'${shown(value)}' is not a ${what}`);
    return mac;
  };
}

const macAddress = macBy(parseMac, 'valid MAC address of a single device');
const ownMacAddress = macBy(parsePortMac, 'valid MAC address');

const wantedIp: Parser<WantedIp> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `Invalid data format for fixed IP: '${shown(value)}'`);
  const unknown = Object.keys(value).find((key) => key !== 'subnet_id' && key !== 'ip_address');
  if (unknown !== undefined)
    throw invalidInput(name, `Invalid data format for fixed IP: unknown key '${shown(unknown)}'`);
  const { subnet_id: subnet, ip_address: address } = value as { subnet_id?: unknown; ip_address?: unknown };
  return {
    subnet_id: subnet === undefined || subnet === null ? undefined : uuid(subnet, name),
    ip_address: address === undefined || address === null ? undefined : text(64)(address, name),
  };
};

const pair: Parser<{ readonly ip_address: string; readonly mac_address: string | undefined }> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  const unknown = Object.keys(value).filter((key) => key !== 'mac_address' && key !== 'ip_address');
  if (unknown.length > 0) {
    throw badRequest(`Unrecognized attribute(s) '${shown(unknown.join(', '))}'`);
  }
  const address = value['ip_address'];
  if (address === undefined)
    throw new ApiError('AllowedAddressPairsMissingIP', 'AllowedAddressPair must contain ip_address');
  if (typeof address !== 'string' || parsePrefix(address) === undefined) {
    throw invalidInput(name, `'${shown(address)}' is not a valid IP address or subnet`);
  }
  const mac = value['mac_address'];
  return { ip_address: address, mac_address: mac === undefined ? undefined : macAddress(mac, name) };
};

const pairs: Parser<readonly ReturnType<typeof pair>[]> = (value, name) => {
  const given = list(pair)(value, name);
  if (given.length > MOST_PAIRS) {
    throw new ApiError(
      'AllowedAddressPairExhausted',
      `The number of allowed address pair exceeds the maximum ${MOST_PAIRS.toString()}.`,
    );
  }
  return given;
};

const groupIds: Parser<readonly string[]> = (value, name) => {
  const ids = list(uuid)(value, name);
  const repeated = ids.find((id, index) => ids.indexOf(id) !== index);
  if (repeated !== undefined) throw invalidInput(name, `Duplicate items in the list: '${repeated}'`);
  return ids;
};

/** Neutron's column takes 64 characters of a name and 255 of a value; null takes an option away. */
const dhcpOption: Parser<DhcpOption> = (value, name) => {
  if (!isObject(value)) throw invalidOption(`'${shown(value)}' is not a dictionary`);
  const unknown = Object.keys(value).find((key) => !['opt_name', 'opt_value', 'ip_version'].includes(key));
  if (unknown !== undefined) throw invalidOption(`unknown key '${shown(unknown)}'`);
  const { opt_name: key, opt_value: said, ip_version: version } = value;
  if (key === undefined || said === undefined) throw invalidOption('opt_name and opt_value are required');
  const option = text(64)(key, name);
  if (option.trim() === '') throw invalidOption('opt_name is empty');
  const own = said === null ? null : text(255)(typeof said === 'number' ? String(said) : said, name);
  if (own?.trim() === '') throw invalidOption('opt_value is empty');
  const ip = version === undefined || version === null ? 4 : integer(4, 6)(version, name);
  if (ip === 5) throw invalidOption("'5' is not in [4, 6]");
  return { opt_name: option, opt_value: own, ip_version: ip === 6 ? 6 : 4 };
};

function invalidOption(reason: string): ApiError {
  return new ApiError('InvalidInput', `Invalid input for extra_dhcp_opts. Reason: ${reason}.`);
}

/** Neutron's. */
const VNIC_TYPES = [
  'normal',
  'direct',
  'direct-physical',
  'macvtap',
  'baremetal',
  'virtio-forwarder',
  'smart-nic',
  'vdpa',
  'accelerator-direct',
  'accelerator-direct-physical',
  'remote-managed',
] as const;

/** Of a profile as JSON, in characters (Neutron's column). */
const MOST_PROFILE = 4095;

const profile: Parser<PortRecord['binding:profile']> = (value, name) => {
  const given = value === null ? {} : object(value, name);
  if (JSON.stringify(given).length > MOST_PROFILE) {
    throw new ApiError('InvalidInput', `Invalid input for operation: ${name} value too large.`);
  }
  return given;
};

const SPEC = {
  name: defaulted(text(255), ''),
  description: defaulted(text(255), ''),
  network_id: fixed(required(uuid)),
  /** Null for another one, whichever. */
  mac_address: optional(nullable(ownMacAddress)),
  admin_state_up: defaulted(truth, true),
  device_id: defaulted(text(255), ''),
  device_owner: defaulted(text(255), ''),
  fixed_ips: optional(list(wantedIp, MOST_FIXED_IPS)),
  security_groups: optional(groupIds),
  port_security_enabled: optional(truth),
  allowed_address_pairs: defaulted(pairs, []),
  extra_dhcp_opts: defaulted(list(dhcpOption, MOST_OPTIONS), []),
  'binding:vnic_type': defaulted(oneOf(VNIC_TYPES), 'normal'),
  'binding:host_id': defaulted((value, name) => (value === null ? '' : text(255)(value, name)), ''),
  'binding:profile': defaulted(profile, {}),
  tags: fixed(defaulted(list(text(255), 50), [])),
};

const BINDING = ['binding:host_id', 'binding:profile', 'binding:vif_type', 'binding:vif_details'];

export const ports: Resource<'port', typeof SPEC> = {
  kind: 'port',
  singular: 'port',
  plural: 'ports',
  path: 'ports',
  spec: SPEC,
  readOnly: ['id', 'status', 'binding:vif_type', 'binding:vif_details', 'created_at', 'updated_at', 'revision_number'],
  adminOnly: BINDING,
  isOwned: true,
  notFound: portNotFound,
  canSee: (port, view, caller) => {
    const network = view.get('network', port.network_id);
    return isOwn(caller, port) || (network !== undefined && isOwn(caller, network));
  },
  show: portView,
  candidates: (view, filters) => {
    const [devices, networks] = [filters.get('device_id'), filters.get('network_id')];
    if (devices?.every((id) => id !== '') === true)
      return new Set(devices.flatMap((id) => [...view.portsOfDevice(id)]));
    return networks === undefined ? undefined : [...new Set(networks)].flatMap((id) => [...view.portsOf(id)]);
  },
  filters: {
    fixed_ips: (item, values) => values.some((wanted) => hasFixedIp(item, wanted)),
    // Clients that ask for the attribute by its other name.
    security_group_ids: (item, values) =>
      (item.value('security_groups') as readonly string[]).some((id) => values.includes(id)),
  },
  create: (writer, { values, projectId, caller, now, named }) => {
    const { view } = writer;
    const network = view.get('network', values.network_id);
    if (network === undefined || !canSeeNetwork(network, view, caller)) throw networkNotFound(values.network_id);
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
      name: values.name,
      description: values.description,
      network_id: network.id,
      mac_address: mac,
      admin_state_up: values.admin_state_up,
      device_id: values.device_id,
      device_owner: values.device_owner,
      fixed_ips: fixedIps,
      security_groups: groups,
      port_security_enabled: isSecured,
      allowed_address_pairs: completed(values.allowed_address_pairs, mac),
      extra_dhcp_opts: optionsAfter([], values.extra_dhcp_opts),
      'binding:vnic_type': values['binding:vnic_type'],
      'binding:host_id': values['binding:host_id'],
      'binding:profile': values['binding:profile'],
      tags: values.tags,
      created_at: now,
      updated_at: now,
      revision_number: 1,
    };
    checkPort(view, port, caller);
    writer.put('port', port);
    return port;
  },
  update: (writer, port, { values, caller, now }) => {
    const { view } = writer;
    const network = view.get('network', port.network_id);
    if (network === undefined) throw networkNotFound(port.network_id);
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
    const {
      fixed_ips: wantedIps,
      allowed_address_pairs: wantedPairs,
      extra_dhcp_opts: wantedOptions,
      ...others
    } = values;
    const mac =
      values.mac_address === undefined ? port.mac_address : freeMac(view, network.id, values.mac_address, port.id);
    const after = securedAfter(
      port,
      revised(
        port,
        {
          ...others,
          mac_address: mac,
          ...(wantedIps === undefined ? {} : { fixed_ips: allocateAgain(view, network, port, mac, wantedIps) }),
          ...(wantedOptions === undefined
            ? {}
            : { extra_dhcp_opts: optionsAfter(port.extra_dhcp_opts, wantedOptions) }),
          ...(wantedPairs === undefined ? {} : { allowed_address_pairs: completed(wantedPairs, mac) }),
        } as Partial<PortRecord>,
        now,
      ),
      named,
    );
    if (after === port) return port;
    checkPort(view, after, caller, port);
    writer.put('port', after);
    return after;
  },
  remove: (writer, { id }) => {
    writer.delete('port', id);
  },
};

function portNotFound(id: string): ApiError {
  return new ApiError('PortNotFound', `Port ${id} could not be found.`);
}

export function portView(port: PortRecord): Readonly<Record<string, unknown>> {
  const isBound = port['binding:host_id'] !== '';
  return {
    id: port.id,
    name: port.name,
    network_id: port.network_id,
    tenant_id: port.project_id,
    mac_address: port.mac_address,
    admin_state_up: port.admin_state_up,
    // There is no agent that reports: a port that is bound is taken to be wired.
    status: isBound && port.admin_state_up ? 'ACTIVE' : 'DOWN',
    device_id: port.device_id,
    device_owner: port.device_owner,
    fixed_ips: port.fixed_ips,
    allowed_address_pairs: port.allowed_address_pairs,
    extra_dhcp_opts: port.extra_dhcp_opts,
    security_groups: port.security_groups,
    description: port.description,
    'binding:vnic_type': port['binding:vnic_type'],
    'binding:profile': port['binding:profile'],
    'binding:host_id': port['binding:host_id'],
    'binding:vif_type': isBound ? 'tap' : 'unbound',
    'binding:vif_details': isBound ? { port_filter: true, connectivity: 'l2' } : {},
    port_security_enabled: port.port_security_enabled,
    tags: port.tags,
    created_at: port.created_at,
    updated_at: port.updated_at,
    revision_number: port.revision_number,
    project_id: port.project_id,
  };
}

function hasFixedIp(item: Listed, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  const [key, value] = [wanted.slice(0, equals), wanted.slice(equals + 1)];
  const ips = item.value('fixed_ips') as readonly FixedIp[];
  switch (key) {
    case 'ip_address':
      return ips.some(({ ip_address: address }) => address === value);
    case 'ip_address_substr':
      return ips.some(({ ip_address: address }) => address.includes(value));
    case 'subnet_id':
      return ips.some(({ subnet_id: id }) => id === value);
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
function completed(given: readonly ReturnType<typeof pair>[], mac: string): readonly AddressPair[] {
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
    const group = view.get('security_group', id);
    const isKept = before?.security_groups.includes(id) === true;
    if (group === undefined || !(isKept || isAdmin(caller) || isUsable(group, view, caller))) throw groupNotFound(id);
    return group;
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
