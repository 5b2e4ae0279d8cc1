/** Backups: everything in one file, and back, while the API is at work. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checksumOf } from '../../../src/api/backup.js';
import { upgrade, type Upgrade } from '../../../src/api/store/schema.js';
import { LmdbStore } from '../../../src/api/store/lmdb.js';
import type { Json } from '../../../src/api/store/store.js';
import { backup, restoreBackup } from '../../../src/api/transfer.js';
import { errorOf, MEMBER, objects, TestApi } from '../../support/api.js';

const PATH = '/portcullis/v1/backup';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-backup-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function busy(): Promise<TestApi> {
  const api = await TestApi.open();
  const network = await api.subnetted(MEMBER);
  const web = await api.group('web', {}, MEMBER);
  await api.rule(web, { protocol: 'tcp' }, MEMBER);
  await api.make('/rbac-policies', 'rbac_policy', {
    object_type: 'security_group',
    object_id: web,
    target_tenant: 'b',
  });
  await api.call('PUT', '/quotas/a', { quota: { port: 7 } });
  await api.call(
    'POST',
    '/compute/v2.1/servers',
    { server: { name: 'vm', flavorRef: '1', networks: [{ uuid: network }] } },
    MEMBER,
  );
  return api;
}

/** Without its revision, which is the store's own. */
async function entries(api: TestApi): Promise<unknown> {
  return (await api.get(PATH)).body['entries'];
}

it('holds everything; restored to a running API it is that API’s, in one change, for those who watch, too', async () => {
  const [one, two] = [await busy(), await TestApi.open()];
  const whole = (await one.get(PATH)).body;
  expect(Object.keys(whole['entries'] as object).map((key) => key.split('/')[0])).toEqual(
    expect.arrayContaining([
      'network',
      'subnet',
      'port',
      'security_group',
      'security_group_rule',
      'quota',
      'rbac_policy',
      'server',
      'default_security_group',
    ]),
  );
  await two.group('other');
  const before = two.database.revision;
  expect((await two.call('PUT', PATH, whole)).status).toBe(400);
  expect(two.database.revision).toBe(before);
  expect((await two.call('PUT', `${PATH}?replace=1`, whole)).body).toEqual({
    restored: Object.keys(whole['entries'] as object).length,
  });
  expect(two.database.revision).toBe(before + 1);
  expect(await entries(two)).toEqual(await entries(one));
  expect(objects(await two.get('/security-groups?name=other'), 'security_groups')).toEqual([]);
  expect((await two.get('/quotas/a')).body).toMatchObject({ quota: { port: 7 } });
});

it('goes to a new store by itself, and to one that holds something only when told to', async () => {
  const one = await busy();
  const whole = (await one.get(PATH)).body;
  const place = async (): Promise<Parameters<typeof restoreBackup>[0]> => ({
    kind: 'store',
    store: await LmdbStore.open(folder),
  });
  expect(await restoreBackup(await place(), whole, false)).toBeGreaterThan(10);
  await expect(restoreBackup(await place(), whole, false)).rejects.toThrow(/not empty/);
  await restoreBackup(await place(), whole, true);
  const store = await LmdbStore.open(folder, 'read');
  expect(await backup({ kind: 'store', store })).toMatchObject({ entries: whole['entries'] });
});

it.each([
  {},
  [],
  { portcullis: { schema: 1, revision: 1 } },
  { portcullis: { schema: 1, revision: 1 }, entries: { teapot: {} } },
  { portcullis: { schema: 99, revision: 1 }, entries: {} },
])('refused: %j', async (content) => {
  const api = await busy();
  const before = api.database.revision;
  const answer = await api.call('PUT', `${PATH}?replace=1`, content);
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).not.toBe('');
  expect(api.database.revision).toBe(before);
});

it('is not for members', async () => {
  const api = await TestApi.open();
  expect((await api.get(PATH, MEMBER)).status).toBe(403);
  expect((await api.call('PUT', PATH, {}, MEMBER)).status).toBe(403);
});

it('what an older version stored is upgraded, one version after the other', () => {
  const steps = new Map<number, Upgrade>([
    [1, (all) => new Map([...all].map(([key, value]) => [`new/${key}`, value] as const))],
    [2, () => new Map([['a', undefined]])],
  ]);
  const stored = { schema: 1, entries: new Map([['a', '1']]) };
  expect(upgrade('x', stored, steps, 3)).toEqual(
    new Map([
      ['new/a', '1'],
      ['a', undefined],
    ]),
  );
  expect(upgrade('x', { ...stored, schema: 3 }, steps, 3)).toBeUndefined();
  expect(upgrade('x', { ...stored, schema: undefined }, steps, 3)).toBeUndefined();
  expect(() => upgrade('x', stored, new Map(), 2)).toThrow(/cannot be upgraded/);
});

it('from schema 1 a server gets the ports that were its own, and no others that name it', () => {
  const port = (id: string, fields: object): [string, Json] => [`port/${id}`, { id, project_id: 'a', ...fields }];
  const server = { id: 's', project_id: 'a', kept_ports: ['kept'] };
  const entries = new Map<string, Json>([
    ['server/s', server],
    port('made', { device_id: 's', device_owner: 'compute:nova' }),
    port('kept', { device_id: 's', device_owner: 'anything' }),
    port('foreign', { device_id: 's', device_owner: 'compute:nova', project_id: 'b' }),
    port('named', { device_id: 's', device_owner: '' }),
    port('other', { device_id: 't', device_owner: 'compute:nova' }),
  ]);
  expect(upgrade('x', { schema: 1, entries })?.get('server/s')).toEqual({ ...server, ports: ['made', 'kept'] });
});

describe('a backup that is not as it was written, or holds what no API makes', () => {
  interface Content {
    readonly portcullis: Record<string, unknown>;
    readonly entries: Record<string, Record<string, unknown>>;
  }

  async function withBackup(): Promise<{ readonly api: TestApi; readonly good: Content }> {
    const api = await TestApi.open();
    const network = await api.subnetted();
    const group = await api.group('web');
    await api.rule(group, { protocol: 'tcp', remote_group_id: group });
    await api.port(network, { security_groups: [group] });
    await api.port(network, {});
    await api.call('POST', '/compute/v2.1/servers', {
      server: { name: 'vm', flavorRef: '1', networks: [{ uuid: network }], metadata: { a: 'b' } },
    });
    await api.call('PUT', '/quotas/a', { quota: { port: 7 } });
    return { api, good: (await api.get('/portcullis/v1/backup')).body as unknown as Content };
  }
  const put = async (api: TestApi, content: object): Promise<number> =>
    (await api.call('PUT', '/portcullis/v1/backup?replace', content)).status;
  const first = (content: Content, kind: string): readonly [string, Record<string, unknown>] => {
    const found = Object.entries(content.entries).find(([key]) => key.startsWith(`${kind}/`));
    if (found === undefined) throw new Error(`no ${kind}`);
    return found;
  };
  /** With the checksum that it would have. */
  const sealed = (content: Content): Content => {
    return {
      ...content,
      portcullis: {
        ...content.portcullis,
        checksum: checksumOf(
          Number(content.portcullis['schema']),
          Number(content.portcullis['revision']),
          content.entries,
        ),
      },
    };
  };

  it('as it was written it is taken, also with its keys in another order', async () => {
    const { api, good } = await withBackup();
    expect(await put(api, good)).toBe(200);
    const reversed = Object.fromEntries(
      Object.entries(good.entries)
        .reverse()
        .map(([key, record]) => [key, Object.fromEntries(Object.entries(record).reverse())]),
    );
    expect(await put(api, { ...good, entries: reversed })).toBe(200);
  });

  it.each<[string, (content: Content) => void]>([
    ['a record more', ({ entries }) => (entries['port/x'] = { id: 'x' })],
    ['a record less', (content) => Reflect.deleteProperty(content.entries, first(content, 'port')[0])],
    ['another value', (content) => (first(content, 'port')[1]['name'] = 'y')],
    ['no checksum', (content) => delete content.portcullis['checksum']],
    ['an older schema', (content) => (content.portcullis['schema'] = 1)],
  ])('refused by its checksum: %s', async (_what, spoil) => {
    const { api, good } = await withBackup();
    const bad = JSON.parse(JSON.stringify(good)) as Content;
    spoil(bad);
    const before = api.database.revision;
    expect(await put(api, bad)).toBe(400);
    expect([api.database.revision, await put(api, good)]).toEqual([before, 200]);
  });

  it.each<[string, string, Record<string, unknown>]>([
    ['a direction', 'security_group_rule', { direction: 'both' }],
    ['a protocol', 'security_group_rule', { protocol: 'nonsense' }],
    ['ports the wrong way round', 'security_group_rule', { protocol: 'tcp', port_range_min: 9, port_range_max: 8 }],
    ['a group that is not there', 'security_group_rule', { security_group_id: 'nothing' }],
    ['a remote group that is not there', 'security_group_rule', { remote_group_id: 'nothing' }],
    ['a network that is not there', 'port', { network_id: 'nothing' }],
    ['groups that are not there', 'port', { security_groups: ['nothing'] }],
    ['a MAC', 'port', { mac_address: 'nonsense' }],
    ['an address', 'port', { fixed_ips: [{ subnet_id: '', ip_address: 'nonsense' }] }],
    ['no list of addresses', 'port', { fixed_ips: null }],
    ['another id', 'port', { id: 'x' }],
    ['an attribute more', 'port', { extra: 1 }],
    ['a name of megabytes', 'security_group', { name: 'x'.repeat(2_000_000) }],
    ['a subnet', 'subnet', { cidr: 'nonsense' }],
    ['a server’s metadata', 'server', { metadata: { a: 'x'.repeat(5000) } }],
    ['a quota', 'quota', { limits: { nonsense: 1 } }],
    ['another project’s default', 'default_security_group', { id: 'b' }],
  ])('refused though its checksum is right: %s', async (_what, kind, fields) => {
    const { api, good } = await withBackup();
    const bad = JSON.parse(JSON.stringify(good)) as Content;
    Object.assign(first(bad, kind)[1], fields);
    const before = api.database.revision;
    const answer = await api.call('PUT', '/portcullis/v1/backup?replace', sealed(bad));
    expect([answer.status, errorOf(answer).message]).toEqual([400, expect.stringContaining(`${kind}/`)]);
    expect([api.database.revision, await put(api, good)]).toEqual([before, 200]);
  });
});
