/** Topology -> a document in Neutron's API shape that parses to an equal topology. Deterministic: sorted by id. */
import type { Port, SecurityGroup, SecurityGroupRule, Topology } from './topology.js';

type Fields = Readonly<Record<string, unknown>>;

/**
 * The inverse of `parseTopology`. A rule whose remote group is unknown is printed with the reference as it was written, so
 * that it stays unknown.
 */
export function printTopology(topology: Topology): Fields {
  return {
    networks: sortedById(topology.networks).map(({ id, name, portSecurityEnabled }) => ({
      id,
      name,
      port_security_enabled: portSecurityEnabled,
    })),
    subnets: sortedById(topology.subnets).map(({ id, name, networkId, cidr }) => ({
      id,
      name,
      network_id: networkId,
      // A subnet of one address still is a prefix.
      cidr: cidr.text.includes('/') ? cidr.text : `${cidr.text}/${cidr.length.toString()}`,
    })),
    address_groups: sortedById(topology.addressGroups).map(({ id, name, projectId, prefixes }) => ({
      id,
      name,
      project_id: projectId,
      addresses: prefixes.map(({ text }) => text),
    })),
    security_groups: sortedById(topology.securityGroups).map(printGroup),
    ports: sortedById(topology.ports).map(printPort),
  };
}

function sortedById<T extends { readonly id: string }>(objects: ReadonlyMap<string, T>): readonly T[] {
  return [...objects.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function printGroup({ id, name, projectId, stateful, rules }: SecurityGroup): Fields {
  return { id, name, project_id: projectId, stateful, security_group_rules: rules.map(printRule) };
}

function printRule({ id, direction, family, service, remote, description }: SecurityGroupRule): Fields {
  return { id, direction, ethertype: family, ...printService(service), ...printRemote(remote), description };
}

function printService(service: SecurityGroupRule['service']): Fields {
  switch (service.kind) {
    case 'any':
      return { protocol: null };
    case 'protocol':
      // The number 0 would mean any protocol.
      return { protocol: service.protocol === 0 ? 'hopopt' : service.protocol };
    case 'ports':
      return { protocol: service.protocol, port_range_min: service.first, port_range_max: service.last };
    case 'icmp':
      return { protocol: service.protocol, port_range_min: service.type, port_range_max: service.code ?? null };
  }
}

function printRemote(remote: SecurityGroupRule['remote']): Fields {
  switch (remote.kind) {
    case 'any':
      return {};
    case 'prefix':
      return { remote_ip_prefix: remote.prefix.text };
    case 'security-group':
      return { remote_group_id: remote.id };
    case 'address-group':
      return { remote_address_group_id: remote.id };
    case 'unknown':
      return { remote_group_id: remote.reference };
  }
}

function printPort(port: Port): Fields {
  return {
    id: port.id,
    name: port.name,
    project_id: port.projectId,
    network_id: port.networkId,
    mac_address: port.mac,
    fixed_ips: port.fixedIps.map(({ text }) => ({ ip_address: text })),
    allowed_address_pairs: port.allowedAddressPairs.map(({ mac, prefix }) => ({
      mac_address: mac,
      ip_address: prefix.text,
    })),
    security_groups: port.securityGroupIds,
    port_security_enabled: port.filtering !== 'port-security-off',
    admin_state_up: port.filtering !== 'down' && port.filtering !== 'closed',
    device_owner: port.deviceOwner,
    device: port.device,
    'binding:host_id': port.host ?? '',
    ...(port.migratingTo === undefined ? {} : { 'binding:profile': { migrating_to: port.migratingTo } }),
    'binding:vif_type': 'bridge',
    'binding:vif_details': { bridge_name: port.bridge, ...(port.vlan === undefined ? {} : { vlan: port.vlan }) },
  };
}
