/** Topologies into stores and out of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ImportError, recordsOf } from '../../../src/api/import.js';
import { State } from '../../../src/api/state.js';
import { topologyDocument } from '../../../src/api/topology/lines.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import { importRecords, neutronDocument, storeDocument } from '../../../src/api/transfer.js';
import { parseTopology } from '../../../compiler/model/index.js';
import { readTopologyPath } from '../../../src/sources/file/index.js';
import { idOf, MEMBER, TestApi } from '../../support/api.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-transfer-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const topologyOf = (content: unknown): unknown => parseTopology([{ file: '', content }]).topology;

async function imported(document: object): Promise<object> {
  await importRecords(await LmdbStore.open(folder), recordsOf([{ file: 'x', content: document }], false).records);
  const store = await LmdbStore.open(folder, 'read');
  try {
    return await storeDocument(store);
  } finally {
    await store.close();
  }
}

async function busy(): Promise<TestApi> {
  const api = await TestApi.open();
  const network = await api.subnetted(MEMBER);
  const [web, fast] = [await api.group('web', {}, MEMBER), await api.group('fast', { stateful: false }, MEMBER)];
  const addresses = await api.make('/address-groups', 'address_group', { addresses: ['192.0.2.0/24'] }, MEMBER);
  await api.rule(web, { protocol: 'icmp', ethertype: 'IPv6', port_range_min: 128 }, MEMBER);
  await api.rule(fast, { protocol: 'tcp', remote_group_id: web }, MEMBER);
  await api.rule(fast, { remote_address_group_id: idOf(addresses) }, MEMBER);
  await api.port(network, { security_groups: [web], allowed_address_pairs: [{ ip_address: '10.0.0.9' }] }, MEMBER);
  await api.port(network, { port_security_enabled: false }, MEMBER);
  return api;
}

it('what one store holds another one can hold', async () => {
  const api = await busy();
  const document = (await api.get('/portcullis/v1/topology')).body;
  const copy = await imported(document);
  expect(topologyOf(copy)).toEqual(topologyOf(document));
  // Whole records, too: times, revisions, tags.
  const byId = (one: object): unknown =>
    Object.fromEntries(
      Object.entries(one).map(([key, list]) => [
        key,
        [...(list as { id: string }[])].sort((a, b) => (a.id < b.id ? -1 : 1)),
      ]),
    );
  expect(byId(copy)).toEqual(byId(document));
});

it('from a live Neutron: what its API lists', async () => {
  const api = await busy();
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  const { content } = await neutronDocument(`${url}/v2.0/`, undefined);
  expect(topologyOf(await imported(content))).toEqual(topologyOf((await api.get('/portcullis/v1/topology')).body));
  await api.app.close();
  await expect(neutronDocument(url, undefined)).rejects.toThrow(ImportError);
});

it('what Neutron’s own API printed, and the worked example', async () => {
  const { documents } = await readTopologyPath('examples/neutron-dump');
  await importRecords(await LmdbStore.open(folder), recordsOf(documents, false).records);
  const store = await LmdbStore.open(folder, 'read');
  const copy = topologyOf(await storeDocument(store)) as { ports: { size: number } };
  await store.close();
  expect(copy.ports.size).toBe(parseTopology(documents).topology.ports.size);
});

it('from a Neutron that gives its lists in pages: policies, quotas, options, profiles, tags too', async () => {
  const api = await busy();
  const [group] = [...api.database.view.all('security_group')];
  const [port] = [...api.database.view.all('port')];
  if (group === undefined || port === undefined) throw new Error('a group and a port');
  const policy = { object_type: 'security_group', object_id: group.id, target_tenant: 'b' };
  await api.make('/rbac-policies', 'rbac_policy', policy);
  await api.call('PUT', '/quotas/a', { quota: { port: 7 } });
  await api.call('PUT', `/security-groups/${group.id}/tags`, { tags: ['one', 'two'] });
  const fields = { extra_dhcp_opts: [{ opt_name: 'o', opt_value: 'v' }], 'binding:profile': { a: { b: 1 } } };
  await api.call('PUT', `/ports/${port.id}`, { port: fields });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const { port: behind } = api.app.server.address() as AddressInfo;
  // In front of it, what a Neutron does by `pagination_max_limit`.
  const front = createServer((request, response) => {
    const url = new URL(request.url ?? '/', `http://127.0.0.1:${behind.toString()}`);
    if (!url.searchParams.has('limit')) url.searchParams.set('limit', '1');
    void fetch(url).then(async (answer) => {
      response.writeHead(answer.status).end(await answer.text());
    });
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  const { port: inFront } = front.address() as AddressInfo;
  const { file, content } = await neutronDocument(`http://127.0.0.1:${inFront.toString()}`, undefined);
  front.close();
  const whole = (await api.get('/portcullis/v1/topology')).body;
  const { records, leftOut } = recordsOf([{ file, content }], false);
  expect(leftOut).toEqual([]);
  await importRecords(await LmdbStore.open(folder), records);
  const store = await LmdbStore.open(folder, 'read');
  expect(await storeDocument(store)).toEqual(whole);
  await store.close();
});

it('what was exported, imported and exported again is the same text', async () => {
  const api = await busy();
  const [group] = [...api.database.view.all('security_group')];
  const policy = { object_type: 'security_group', object_id: group?.id, target_tenant: 'b' };
  await api.make('/rbac-policies', 'rbac_policy', policy);
  const document = (await api.get('/portcullis/v1/topology')).body;
  expect(JSON.stringify(await imported(document))).toBe(JSON.stringify(document));
  expect(parseTopology([{ file: '', content: document }]).problems).toEqual([]);
});

it('everything that is wrong is said; what cannot be used is left out only when that is asked for', () => {
  const network = { id: 'n', name: 'n' };
  const port = (id: string, fields: object): object => ({
    id,
    network_id: 'n',
    mac_address: 'fa:16:3e:00:00:01',
    ...fields,
  });
  const document = {
    networks: [network],
    security_groups: [
      {
        id: 'g',
        security_group_rules: [
          { id: 'r', direction: 'sideways' },
          { id: 's', direction: 'ingress' },
        ],
      },
    ],
    ports: [port('p', { security_groups: [] }), port('q', { mac_address: 'x' }), port('o', { network_id: 'nowhere' })],
    rbac_policies: [
      { id: 'a', object_type: 'qos_policy', object_id: 'x', action: 'access_as_shared', target_tenant: '*' },
      { id: 'b', object_type: 'network', object_id: 'nowhere', action: 'access_as_shared', target_tenant: '*' },
      { id: 'c', object_type: 'network', object_id: 'n', action: 'access_as_external', target_tenant: '*' },
    ],
  };
  const documents = [{ file: 'x', content: document }];
  for (const wrong of [/rules\[0\]\.direction/, /ports\[1\]\.mac_address/]) {
    expect(() => recordsOf(documents, false)).toThrow(wrong);
  }
  const { records, leftOut } = recordsOf(documents, true);
  expect(records.map(({ id }) => id).sort()).toEqual(['g', 'n', 'p', 's']);
  const named = leftOut.map((line) => /^x: ([a-z_]+)\[.*?: (\w+): /.exec(line)?.slice(1).join(' '));
  expect(named.sort()).toEqual(['ports o', 'ports q', 'rbac_policies b', 'security_groups r', undefined]);
  expect(leftOut.at(-1)).toMatch(/qos_policy/);
});

it('tags of what has none here are named', () => {
  const rule = { id: 'r', direction: 'ingress', tags: ['x'] };
  const document = {
    security_groups: [{ id: 'g', tags: ['kept'], security_group_rules: [rule, { ...rule, id: 's', tags: [] }] }],
    address_groups: [{ id: 'a', name: 'a', addresses: [], tags: ['y'] }],
  };
  expect(recordsOf([{ file: 'x', content: document }], false).leftOut).toEqual([
    'x: security_groups[0].security_group_rules[0]: tags of rule r are not kept here',
    'x: address_groups[0]: tags of address group a are not kept here',
  ]);
});

it('pages that lead in a circle end', async () => {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    const name = pathname.split('/').at(-1) ?? '';
    const key = name.replaceAll('-', '_');
    const links = [{ rel: 'next', href: `http://x${pathname}?marker=a` }];
    response.end(JSON.stringify({ [key]: [{ id: 'a' }], [`${key}_links`]: links }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await expect(neutronDocument(`http://127.0.0.1:${port.toString()}`, undefined)).rejects.toThrow(/in a circle/);
  server.close();
});

it('what is left out is what an agent isolates, however many there are', () => {
  const mac = (n: number): string => `fa:16:3e:00:00:${n.toString(16).padStart(2, '0')}`;
  const port = (n: number, fields: object = {}): object => ({
    id: `${n.toString().padStart(8, '0')}-1`,
    network_id: 'n',
    mac_address: mac(n),
    security_groups: ['good', 'bad', 'nowhere', 'twice'],
    ...fields,
  });
  const rule = (id: string, fields: object = {}): object => ({ id, direction: 'ingress', ...fields });
  const content = {
    networks: [{ id: 'n', name: 'n' }],
    address_groups: [{ id: 'ag', name: 'ag', addresses: ['10.0.0.0/8', '10.0.0.0/33'] }],
    security_groups: [
      {
        id: 'good',
        security_group_rules: [
          rule('r1'),
          rule('r2', { remote_address_group_id: 'ag' }),
          rule('r3', { remote_group_id: 'bad' }),
          'x',
        ],
      },
      { id: 'bad', statefull: true, security_group_rules: [rule('r4', { protocol: 'tcp' })] },
      { id: 'twice', name: 'one', security_group_rules: [] },
      { id: 'twice', name: 'other', security_group_rules: [] },
    ],
    ports: [
      ...Array.from({ length: 30 }, (_none, n) => port(n)),
      ...Array.from({ length: 30 }, (_none, n) => port(100 + n, { mac_address: 'x' })),
      port(200),
      port(200, { name: 'again' }),
    ],
  };
  const { records } = recordsOf([{ file: 'x', content }], true);
  const ids = (kind: string): readonly string[] => records.filter((one) => one.kind === kind).map(({ id }) => id);
  expect([ids('security_group'), ids('security_group_rule'), ids('address_group')]).toEqual([['good'], ['r1'], []]);
  expect(ids('port')).toEqual(Array.from({ length: 30 }, (_none, n) => `${n.toString().padStart(8, '0')}-1`));
  const state = new State();
  for (const record of records) state.apply(record);
  const stored = parseTopology([{ file: 'y', content: topologyDocument(state) }]).topology.ports;
  const isolated = parseTopology([{ file: 'x', content }]).topology.ports;
  const groupsOf = (ports: typeof stored): unknown =>
    [...ports.values()].flatMap((one) => (one.filtering === 'closed' ? [] : [[one.id, one.securityGroupIds]]));
  expect(groupsOf(stored)).toEqual(groupsOf(isolated));
  expect(() => recordsOf([{ file: 'x', content: { ...content, security_group: [] } }], true)).toThrow(/no key/);
});

it('is all or nothing, and never over what is there', async () => {
  const document = { security_groups: [{ id: 'g', name: 'web', project_id: 'a', security_group_rules: [] }] };
  await imported(document);
  const more = { security_groups: [...document.security_groups, { id: 'h', name: 'db' }] };
  await expect(imported(more)).rejects.toThrow(/security_group g is there already/);
  const store = await LmdbStore.open(folder, 'read');
  expect(topologyOf(await storeDocument(store))).toMatchObject({ securityGroups: new Map([['g', expect.anything()]]) });
  await store.close();
});

it.each<[string, object, RegExp]>([
  ['a bad rule', { security_groups: [{ id: 'g', security_group_rules: [{ id: 'r', direction: 'in' }] }] }, /direction/],
  [
    'a remote group that is nowhere',
    { security_groups: [{ id: 'g', security_group_rules: [{ id: 'r', direction: 'ingress', remote_group_id: 'x' }] }] },
    /"x"/,
  ],
  [
    'a template that names a group that is nowhere',
    {
      default_security_group_rules: [
        {
          id: 't',
          direction: 'ingress',
          ethertype: 'IPv4',
          remote_group_id: 'x',
          used_in_default_sg: true,
          used_in_non_default_sg: true,
        },
      ],
    },
    /default_security_group_rules\[0\]\.remote_group_id: x is no security_group/,
  ],
  ['a port without a MAC', { ports: [{ id: 'p', network_id: 'n' }] }, /mac_address/],
  ['a network with a number for a name', { networks: [{ id: 'n', mtu: 'big' }] }, /mtu/],
])('refused: %s', (_what, document, message) => {
  expect(() => recordsOf([{ file: 'x', content: document }], false)).toThrow(message);
});
