/** A small policy for two hosts in the state of the API, any changes to it, and the rules that each host is to have. */
import fc from 'fast-check';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../../compiler/index.js';
import type { Database } from '../../src/api/database.js';
import type { Writer } from '../../src/api/writer.js';
import type { PortRecord, RuleRecord } from '../../src/api/records.js';
import { topologyDocument } from '../../src/api/topology/lines.js';
import { isOnHost, parseTopology, type Topology } from '../../compiler/model/index.js';
import { samples } from './seed.js';

export const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };
export const HOSTS = ['host-0', 'host-1'];

export function rulesOf(topology: Topology, host: string): string {
  return printRuleset(compile(topology, (port) => isOnHost(port, host), DEFAULT_OPTIONS).ruleset);
}

export function rulesOfAll({ view }: Database, host: string): string {
  return rulesOf(parseTopology([{ file: 'all', content: topologyDocument(view) }]).topology, host);
}

const STANDARD = { project_id: 'p', created_at: '', updated_at: '', revision_number: 1 };

function putGroup(writer: Writer, id: string): void {
  writer.put('security_group', { ...STANDARD, id, name: id, description: '', stateful: true, tags: [] });
}

/** As the API does: a change of a rule is one of its group. */
export function putRule(writer: Writer, record: RuleRecord): void {
  deleteRule(writer, record.id);
  writer.put('security_group_rule', record);
  touchGroup(writer, record.security_group_id);
}

export function deleteRule(writer: Writer, id: string): void {
  const record = writer.view.get('security_group_rule', id);
  if (record === undefined) return;
  writer.delete('security_group_rule', id);
  touchGroup(writer, record.security_group_id);
}

function touchGroup(writer: Writer, id: string): void {
  const group = writer.view.get('security_group', id);
  if (group !== undefined) writer.put('security_group', { ...group, revision_number: group.revision_number + 1 });
}

function putAddressGroup(writer: Writer, id: string, addresses: readonly string[]): void {
  writer.put('address_group', { ...STANDARD, id, name: id, description: '', addresses });
}

export function rule(id: string, group: string, more: Partial<RuleRecord>): RuleRecord {
  return {
    ...STANDARD,
    id,
    security_group_id: group,
    direction: 'ingress',
    ethertype: 'IPv4',
    protocol: 'tcp',
    port_range_min: 80,
    port_range_max: 80,
    remote_ip_prefix: null,
    remote_group_id: null,
    remote_address_group_id: null,
    description: null,
    ...more,
  };
}

export function port(number: number, host: string, groups: readonly string[]): PortRecord {
  const hex = number.toString(16).padStart(6, '0');
  const bytes = [number >> 16, (number >> 8) & 255, number & 255];
  return {
    ...STANDARD,
    id: `${hex}00-0000-4000-8000-000000000000`,
    name: '',
    description: '',
    network_id: 'n',
    mac_address: `fa:16:3e:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`,
    admin_state_up: true,
    device_id: '',
    device_owner: 'compute:nova',
    fixed_ips: [{ subnet_id: 's', ip_address: ['10', ...bytes].join('.') }],
    security_groups: groups,
    port_security_enabled: true,
    allowed_address_pairs: [],
    extra_dhcp_opts: [],
    'binding:vnic_type': 'normal',
    'binding:host_id': host,
    'binding:profile': {},
    tags: [],
  };
}

export function putWorld(writer: Writer): void {
  writer.put('network', {
    ...{ ...STANDARD, id: 'n', name: 'n', description: '', admin_state_up: true, mtu: 1500, shared: false },
    ...{ 'router:external': false, port_security_enabled: true, 'provider:network_type': 'flat' },
    ...{ 'provider:physical_network': null, 'provider:segmentation_id': null, tags: [] },
  });
  for (const id of ['web', 'db', 'admin', 'unused']) putGroup(writer, id);
  putAddressGroup(writer, 'office', ['192.0.2.0/24']);
  putRule(writer, rule('web-from-admin', 'web', { remote_group_id: 'admin' }));
  putRule(writer, rule('web-from-office', 'web', { remote_address_group_id: 'office' }));
  putRule(writer, rule('db-from-web', 'db', { remote_group_id: 'web', port_range_min: 5432, port_range_max: 5432 }));
  writer.put('port', port(1, 'host-0', ['web']));
  writer.put('port', port(2, 'host-1', ['db']));
  writer.put('port', port(3, 'host-1', ['admin']));
}

export function randomNumbers(): () => number {
  const numbers = samples(fc.noBias(fc.nat(999_999)));
  return () => numbers.next().value / 1_000_000;
}

/** One change, of a few objects or of many; now and then of more than one transaction of etcd takes. */
export function randomChange(random: () => number, writer: Writer): void {
  const one = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const groups = ['web', 'db', 'admin'];
  const some = (): readonly string[] => groups.filter(() => random() < 0.5);
  const number = 1 + Math.floor(random() * 8);
  const choice = random();
  if (choice < 0.45) {
    // A move from one group to another: no state between the two was ever the policy.
    const of = number <= 3 || random() < 0.8;
    const record = port(number, one([...HOSTS, 'host-2']), some());
    if (of) writer.put('port', record);
    else writer.delete('port', record.id);
  } else if (choice < 0.7) {
    const id = `rule-${one([0, 1, 2]).toString()}`;
    const remote = one([{ remote_group_id: one(groups) }, { remote_address_group_id: 'office' }, {}]);
    if (random() < 0.3) deleteRule(writer, id);
    else putRule(writer, rule(id, one(groups), { ...remote, port_range_min: 1000, port_range_max: 1000 + number }));
  } else if (choice < 0.85) {
    putAddressGroup(writer, 'office', [`198.51.100.${number.toString()}/32`, '192.0.2.0/24'].slice(0, one([1, 2])));
  } else {
    const first = 1000;
    const group = one(groups);
    const isHere = writer.view.get('port', port(first, '', []).id) !== undefined;
    for (let index = 0; index < 120; index++) {
      const record = port(first + index, one(['host-2', ...HOSTS]), [group]);
      if (isHere && random() < 0.3) writer.delete('port', record.id);
      else writer.put('port', record);
    }
  }
}
