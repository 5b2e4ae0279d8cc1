/** What Neutron's broker carries, and where it is. */
import { expect, it } from 'vitest';
import { hintsOf } from '../../../src/sources/neutron/messages.js';
import { parseTransportUrl } from '../../../src/sources/neutron/transport.js';

const body = (message: unknown): string =>
  JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message) });

const push = (event: string, name: string, data: object): string =>
  body({
    method: 'push',
    args: { event_type: event, resource_list: [{ 'versioned_object.name': name, 'versioned_object.data': data }] },
    version: '1.1',
  });

const notification = (type: string, payload: object): string => body({ event_type: type, payload, priority: 'INFO' });

const BINDING = { 'versioned_object.name': 'PortBinding', 'versioned_object.data': { host: 'h', profile: '{}' } };

it.each<[string, string, readonly object[]]>([
  [
    'a port that changed',
    push('updated', 'Port', { id: 'p', revision_number: 3, security_group_ids: ['g'], bindings: [BINDING] }),
    [{ kind: 'port', id: 'p', revision: 3, hosts: ['h'], groups: ['g'] }],
  ],
  [
    'a port that is gone: no more than its id',
    push('deleted', 'Port', { id: 'p', security_group_ids: null, qos_policy_id: null }),
    [{ kind: 'port', id: 'p', revision: undefined, hosts: [], groups: [] }],
  ],
  [
    'a port of a version to come',
    push('updated', 'Port', { id: 'p', revision_number: 'three', bindings: 'elsewhere' }),
    [{ kind: 'port', id: 'p', revision: undefined, hosts: [], groups: [] }],
  ],
  [
    'a group',
    push('updated', 'SecurityGroup', { id: 'g', revision_number: 2 }),
    [{ kind: 'group', id: 'g', revision: 2 }],
  ],
  [
    'a rule',
    push('updated', 'SecurityGroupRule', { id: 'r', security_group_id: 'g' }),
    [{ kind: 'rule', id: 'r', group: 'g' }],
  ],
  [
    'a rule that is gone',
    push('deleted', 'SecurityGroupRule', { id: 'r' }),
    [{ kind: 'rule', id: 'r', group: undefined }],
  ],
  ['an address group', push('updated', 'AddressGroup', { id: 'a' }), [{ kind: 'address group', id: 'a' }]],
  ['a network: nobody looks', push('updated', 'Network', { id: 'n' }), []],
  [
    'a notification of a port',
    notification('port.update.end', {
      port: { id: 'p', revision_number: 4, security_groups: ['g'], 'binding:host_id': 'h' },
    }),
    [{ kind: 'port', id: 'p', revision: 4, hosts: ['h'], groups: ['g'] }],
  ],
  [
    'of one that is gone, whose revision is the last that was known',
    notification('port.delete.end', { port_id: 'p', port: { id: 'p', revision_number: 4, security_groups: ['g'] } }),
    [{ kind: 'port', id: 'p', revision: undefined, hosts: [], groups: ['g'] }],
  ],
  [
    'of several that were made together',
    notification('port.create.end', { ports: [{ id: 'p' }, { id: 'q' }] }),
    [
      { kind: 'port', id: 'p', revision: undefined, hosts: [], groups: [] },
      { kind: 'port', id: 'q', revision: undefined, hosts: [], groups: [] },
    ],
  ],
  [
    'of a rule that is gone',
    notification('security_group_rule.delete.end', { security_group_rule_id: 'r' }),
    [{ kind: 'rule', id: 'r', group: undefined }],
  ],
  [
    'of addresses',
    notification('address_group.update.end', { address_group: { id: 'a' } }),
    [{ kind: 'address group', id: 'a' }],
  ],
  [
    'several objects, of which some are none: the others are hints all the same',
    body({
      method: 'push',
      args: {
        event_type: 'updated',
        resource_list: [
          ...[{ 'versioned_object.name': 'Port', 'versioned_object.data': { name: 'without an id' } }, 'port', null],
          { 'versioned_object.name': 'SecurityGroup', 'versioned_object.data': { id: 'g', revision_number: 2 } },
        ],
      },
    }),
    [{ kind: 'group', id: 'g', revision: 2 }],
  ],
  [
    'a port with a binding that is none: its others are known all the same',
    push('updated', 'Port', { id: 'p', revision_number: 3, security_group_ids: [], bindings: [{}, BINDING] }),
    [{ kind: 'port', id: 'p', revision: 3, hosts: ['h'], groups: [] }],
  ],
  ['an id that is none', push('updated', 'Port', { id: '' }), []],
  ['an id that no question has room for', push('updated', 'Port', { id: 'p'.repeat(65) }), []],
  ['of what is about to be done', notification('port.update.start', { port: { id: 'p' } }), []],
  ['of something else', notification('router.create.end', { router: { id: 'r' } }), []],
  ['a call to somebody', body({ method: 'port_update', args: { port: { id: 'p' } } }), []],
  ['no envelope', JSON.stringify({ method: 'push' }), []],
  ['no JSON', 'push', []],
  ['no JSON within', JSON.stringify({ 'oslo.message': '{' }), []],
])('%s', (_what, text, hints) => {
  expect(hintsOf(text)).toEqual(hints);
});

const HERE = { hostname: 'h', port: 5672, username: 'u', password: 'p', vhost: '/', isTls: false };

it.each<[string, readonly object[]]>([
  ['rabbit://u:p@h:5672/', [HERE]],
  ['rabbit://u:p@h', [HERE]],
  ['rabbit://u:p@h:5672//\n', [HERE]],
  ['rabbit://u:p@h/cloud', [{ ...HERE, vhost: 'cloud' }]],
  ['rabbit://u:a%40b%2F@h/', [{ ...HERE, password: 'a@b/' }]],
  [
    'rabbit://u:p@h:5671,u:p@i:5671/?ssl=1',
    [
      { ...HERE, port: 5671, isTls: true },
      { ...HERE, hostname: 'i', port: 5671, isTls: true },
    ],
  ],
  ['rabbit://u:p@[fd00::1]:5673/', [{ ...HERE, hostname: 'fd00::1', port: 5673 }]],
])('%s', (text, addresses) => {
  expect(parseTransportUrl(text)).toEqual(addresses);
});

it.each(['', 'fake:/', 'kafka://u:secret@h/', 'rabbit://', 'rabbit://u:secret@h:99999/', 'rabbit://u:secret@h:x/'])(
  '%j is refused, without its password',
  (text) => {
    expect(() => parseTransportUrl(text)).toThrow(/transport URL/);
    expect(() => parseTransportUrl(text)).not.toThrow(/secret/);
  },
);
