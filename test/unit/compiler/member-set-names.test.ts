/** A name of a member set says whose members of which family it holds; no other set's does. */
import { expect, it } from 'vitest';
import { groupProgram } from '../../../compiler/ruleset/group-chain.js';
import { memberSetNames, readMemberSetName } from '../../../compiler/ruleset/member-set-names.js';
import { SETS } from '../../../compiler/ruleset/fixed-names.js';
import { FAMILIES, parseTopology } from '../../../compiler/model/index.js';

it('is read back as it was given', () => {
  for (const kind of ['security-group', 'address-group'] as const) {
    for (const family of FAMILIES) {
      for (const short of ['c0b92b20', 'web_grou', 'a_addresses4', 'c0b92b20_0123456789ab']) {
        const { addresses, prefixes = '' } = memberSetNames({ kind, family }, short, true);
        expect(readMemberSetName(addresses)).toEqual({ kind, family, short, holds: 'addresses' });
        expect(readMemberSetName(prefixes)).toEqual({ kind, family, short, holds: 'prefixes' });
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
