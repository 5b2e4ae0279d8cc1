/** What an answer shows of a record, and in which order. */
import { expect, it } from 'vitest';
import { flag, importedOf, kept, specOf, storedOf, STANDARD, TEXT, words } from '../../../src/api/kinds/attribute.js';
import { addressGroups } from '../../../src/api/neutron/address-groups.js';
import { readCreate } from '../../../src/api/neutron/attributes.js';
import { defaultRules } from '../../../src/api/neutron/default-rules.js';
import { networks } from '../../../src/api/neutron/networks.js';
import { ports } from '../../../src/api/neutron/ports.js';
import { rbacPolicies } from '../../../src/api/neutron/rbac.js';
import { rules } from '../../../src/api/neutron/rules.js';
import { securityGroups } from '../../../src/api/neutron/security-groups.js';
import { shows, type Shows } from '../../../src/api/neutron/shows.js';
import { subnets } from '../../../src/api/neutron/subnets.js';
import { ATTRIBUTES, type Kind } from '../../../src/api/records.js';

const RESOURCES: readonly { readonly kind: Kind; readonly shows: Pick<Shows<never>, 'names'> }[] = [
  networks,
  subnets,
  ports,
  securityGroups,
  rules,
  addressGroups,
  defaultRules,
  rbacPolicies,
];

it('an attribute is one line of a table: stored, imported, read with its default, and shown behind the line before it', () => {
  const table = { ...STANDARD, name: words(255), is_uplink: flag(true), description: words(255) };
  expect(Object.keys(storedOf(table))).toContain('is_uplink');
  expect(importedOf(table).is_uplink.parse(undefined)).toBe(true);
  expect(readCreate(specOf(table), [], { is_uplink: 'no' })).toEqual({ name: '', is_uplink: false, description: '' });
  const { names } = shows(table, ['id', 'description', 'name', 'status', 'project_id'], { status: () => 'ACTIVE' });
  const standard = ['created_at', 'updated_at', 'revision_number'];
  expect(names).toEqual(['id', 'description', 'name', 'is_uplink', 'status', 'project_id', ...standard]);
});

it('of every kind all that is stored is shown, each once', () => {
  for (const { kind, shows: shown } of RESOURCES) {
    expect([kind, ...shown.names]).toEqual(expect.arrayContaining(Object.keys(ATTRIBUTES[kind])));
    expect(new Set(shown.names).size).toBe(shown.names.length);
  }
});

it('a name that is neither stored nor worked out is a type error, and so is what is worked out of none', () => {
  const table = { id: kept(TEXT), name: kept(TEXT) };
  // @ts-expect-error: nobody works out what the status is
  shows(table, ['id', 'status', 'name'], {});
  // @ts-expect-error: the order has no such name
  shows(table, ['id', 'name'], { status: () => 'ACTIVE' });
  // What is stored may be shown otherwise.
  const fields = shows(table, ['name', 'id'], { name: ({ name }) => `${name}!` }).fields;
  const record = { id: '1', name: 'n' };
  const looking = expect.anything() as never;
  expect(JSON.stringify(fields(record, looking, () => true))).toBe('{"name":"n!","id":"1"}');
  expect(fields(record, looking, (name) => name === 'id')).toEqual({ id: '1' });
});
