/** What a kind's table says to name other objects: an index of the state, and what must be there. */
import { expect, it } from 'vitest';
import { ATTRIBUTES, KINDS, referencesOf, type RecordChange, type Records } from '../../../src/api/records.js';
import { referencesIn } from '../../../src/api/kinds/attribute.js';
import { State } from '../../../src/api/state.js';

const ids = (records: Iterable<{ readonly id: string }>): readonly string[] => [...records].map(({ id }) => id);

const POLICY: Records['rbac_policy'] = {
  id: 'policy',
  project_id: 'a',
  object_type: 'network',
  object_id: 'n',
  action: 'access_as_shared',
  target_tenant: 'b',
};

it('every reference of a table is an index, which follows each change of its records', () => {
  const rule = (group: string, remote: string | null): RecordChange<'security_group_rule'> => ({
    kind: 'security_group_rule',
    id: 'r',
    record: {
      ...{ id: 'r', project_id: 'a', created_at: '', updated_at: '', revision_number: 0, description: null },
      ...{ direction: 'ingress', ethertype: 'IPv4', protocol: null, port_range_min: null, port_range_max: null },
      ...{ security_group_id: group, remote_ip_prefix: null, remote_group_id: remote, remote_address_group_id: null },
    },
  });
  const state = new State();
  const undo = state.apply(rule('web', 'db'));
  expect(ids(state.by('security_group_rule', 'security_group_id', 'web'))).toEqual(['r']);
  expect(ids(state.by('security_group_rule', 'remote_group_id', 'db'))).toEqual(['r']);
  expect(ids(state.by('security_group_rule', 'remote_address_group_id', 'db'))).toEqual([]);
  state.apply(rule('web', null));
  expect(ids(state.by('security_group_rule', 'remote_group_id', 'db'))).toEqual([]);
  expect(ids(state.by('security_group_rule', 'security_group_id', 'web'))).toEqual(['r']);
  state.apply(undo);
  expect(ids(state.by('security_group_rule', 'security_group_id', 'web'))).toEqual([]);
  // @ts-expect-error: a description names nothing
  expect(ids(state.by('security_group_rule', 'description', ''))).toEqual([]);
});

it('a policy names an object of the kind that it says', () => {
  const change: RecordChange = { kind: 'rbac_policy', id: 'policy', record: POLICY };
  expect(referencesOf(change)).toEqual([{ name: 'object_id', kind: 'network', id: 'n' }]);
  const other: RecordChange = { ...change, record: { ...POLICY, object_type: 'address_group' } };
  expect(referencesOf(other)).toEqual([{ name: 'object_id', kind: 'address_group', id: 'n' }]);
  expect(referencesOf({ ...change, record: undefined })).toEqual([]);
});

it('an attribute that is called as one that names other objects is declared as one', () => {
  for (const kind of KINDS) {
    const declared = referencesIn(ATTRIBUTES[kind]).map(({ name }) => name);
    const called = Object.keys(ATTRIBUTES[kind]).filter((name) => /^(network|.*group|object)_id$|_groups$/.test(name));
    // Of a server that could not be made: groups that may be gone meanwhile.
    expect([kind, declared]).toEqual([kind, called.filter((name) => name !== 'requested_groups')]);
  }
});
