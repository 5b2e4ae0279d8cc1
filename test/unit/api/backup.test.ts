/** Backups: everything in one file, and back, while the API is at work. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
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
  await store.close();
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
