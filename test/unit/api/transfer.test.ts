/** Topologies into stores and out of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ImportError, recordsOf } from '../../../src/api/import.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import { importRecords, neutronDocument, storeDocument } from '../../../src/api/transfer.js';
import { parseTopology } from '../../../src/model/index.js';
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
  await importRecords(await LmdbStore.open(folder), recordsOf([{ file: 'x', content: document }]));
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
  await importRecords(await LmdbStore.open(folder), recordsOf(documents));
  const store = await LmdbStore.open(folder, 'read');
  const copy = topologyOf(await storeDocument(store)) as { ports: { size: number } };
  await store.close();
  expect(copy.ports.size).toBe(parseTopology(documents).topology.ports.size);
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
  ['a port without a MAC', { ports: [{ id: 'p', network_id: 'n' }] }, /mac_address/],
  ['a network with a number for a name', { networks: [{ id: 'n', mtu: 'big' }] }, /mtu/],
])('refused: %s', (_what, document, message) => {
  expect(() => recordsOf([{ file: 'x', content: document }])).toThrow(message);
});
