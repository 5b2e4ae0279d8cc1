/** A name of a member set says whose members of which family it holds; no other set's does. */
import { expect, it } from 'vitest';
import { groupProgram } from '../../../compiler/ruleset/group-chain.js';
import { memberSetNames, membersRole } from '../../../compiler/ruleset/member-set-names.js';
import { readChainName, readMemberSetName, readSetRole } from '../../../compiler/ruleset/read-names.js';
import { SETS } from '../../../compiler/ruleset/fixed-names.js';
import { compile, DEFAULT_OPTIONS } from '../../../compiler/index.js';
import { groupFields, portFields } from '../../support/world.js';
import { FAMILIES, parseTopology } from '../../../compiler/model/index.js';

it('is read back as it was given', () => {
  for (const kind of ['security-group', 'address-group'] as const) {
    for (const family of FAMILIES) {
      for (const short of ['c0b92b20', 'web_grou', 'a_addresses4', 'c0b92b20_0123456789ab']) {
        const { addresses, prefixes = '' } = memberSetNames({ kind, family }, short, true);
        const of = { kind, family };
        expect(readMemberSetName(addresses)).toEqual({ role: membersRole(of, 'addresses'), short });
        expect(readMemberSetName(prefixes)).toEqual({ role: membersRole(of, 'prefixes'), short });
      }
    }
  }
});

it('is of no other set: neither one that every port has, nor a group’s own', () => {
  const rules = ['tcp', 'udp', 'sctp'].flatMap((protocol, index) =>
    ['10.0.0.0/8', '192.0.2.0/24', 'fd00::/16'].map((remote_ip_prefix, other) => ({
      direction: 'ingress',
      ethertype: remote_ip_prefix.includes(':') ? 'IPv6' : 'IPv4',
      protocol,
      port_range_min: 80 + 10 * index + other,
      port_range_max: 80 + 10 * index + 2 * other,
      remote_ip_prefix,
    })),
  );
  const content = { security_groups: [{ id: 'group', security_group_rules: rules }] };
  const { topology } = parseTopology([{ file: 't.json', content }]);
  const group = topology.securityGroups.get('group');
  if (group === undefined) throw new Error('no group');
  expect(group.rules).toHaveLength(rules.length);
  const { sets } = groupProgram(group, 'ingress', { name: 'group', memberSetNames: new Map(), shortNames: new Map() });
  expect(sets.length).toBeGreaterThan(0);
  for (const name of [...sets.map((set) => set.name), ...Object.values(SETS)]) {
    expect([name, readMemberSetName(name)]).toEqual([name, undefined]);
  }
});

it('the names of all sets and chains of a host say the roles that they were made with', () => {
  const rules = [
    { direction: 'ingress', remote_group_id: 'web' },
    { direction: 'ingress', ethertype: 'IPv6', remote_address_group_id: 'office' },
    ...[1, 2, 3, 5].map((port_range_min) => ({
      direction: 'egress',
      protocol: 'tcp',
      port_range_min,
      port_range_max: 7,
    })),
  ];
  const content = {
    address_groups: [{ id: 'office', addresses: ['fd00::/16', 'fd01::1/128'] }],
    security_groups: [groupFields('web', rules), groupFields('mail', rules.slice(2))],
    ports: [portFields(1, ['web']), portFields(2, ['web', 'mail']), portFields(3, [])],
  };
  for (const datapath of ['routed', 'bridge', 'bridge-netfilter'] as const) {
    const options = { ...DEFAULT_OPTIONS, datapath };
    const { tables } = compile(parseTopology([{ file: 't.json', content }]).topology, () => true, options).ruleset;
    const kinds = new Set<string>();
    for (const { sets, chains } of tables) {
      for (const { name, role } of sets.values()) {
        expect([name, readSetRole(name)]).toEqual([name, role]);
        kinds.add(role.kind);
      }
      for (const { name, role } of chains.values()) {
        expect([name, readChainName(name)?.kind ?? 'fixed']).toEqual([name, role.kind]);
        kinds.add(role.kind);
      }
    }
    expect([...kinds].sort()).toEqual(['fixed', 'group', 'members', 'profile']);
  }
});
