/** Servers: records that own ports, and their groups. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  errorOf,
  idOf,
  MEMBER,
  objects,
  OTHER,
  READER,
  TestApi,
  type Answer,
  type As,
  type Response,
} from '../../support/api.js';

type Fields = Readonly<Record<string, unknown>>;

const SERVERS = '/compute/v2.1/servers';

let api: TestApi;
let network: string;
beforeEach(async () => {
  api = await TestApi.open();
  network = await api.subnetted(MEMBER);
});

const create = async (fields: Fields = {}, as: As = MEMBER): Promise<Response> =>
  api.call('POST', SERVERS, { server: { name: 'vm', flavorRef: '1', networks: [{ uuid: network }], ...fields } }, as);

async function made(fields: Fields = {}, as?: As): Promise<string> {
  const { status, body } = await create(fields, as);
  expect(status).toBe(202);
  return idOf(body['server'] as Answer);
}

const portsOf = async (server: string): Promise<readonly Answer[]> =>
  objects(await api.get(`/ports?device_id=${server}`), 'ports');
const act = async (server: string, body: unknown, as: As = MEMBER): Promise<Response> =>
  api.call('POST', `${SERVERS}/${server}/action`, body, as);
const show = async (server: string, as: As = MEMBER): Promise<Answer> =>
  (await api.get(`${SERVERS}/${server}`, as)).body['server'] as Answer;

describe('create', () => {
  it('makes a port on each network, with the groups, on the host', async () => {
    const web = await api.group('web', {}, MEMBER);
    const server = await made({ security_groups: [{ name: 'web' }] });
    const [port] = await portsOf(server);
    expect(port).toMatchObject({
      security_groups: [web],
      device_owner: 'compute:nova',
      'binding:host_id': 'host-1',
      project_id: 'a',
    });
    expect(await show(server)).toMatchObject({
      name: 'vm',
      status: 'ACTIVE',
      security_groups: [{ name: 'web' }],
      addresses: { net: [{ addr: '10.0.0.2', version: 4 }] },
    });
  });

  it('default is the project’s; ports that are there keep theirs', async () => {
    const web = await api.group('web', {}, MEMBER);
    const given = await api.port(network, { name: 'g', security_groups: [web] }, MEMBER);
    const server = await made({ networks: [{ port: idOf(given) }, { uuid: network }] });
    expect((await show(server))['security_groups']).toEqual([{ name: 'web' }, { name: 'default' }]);
    expect((await create({ networks: [{ port: idOf(given) }] })).status).toBe(409);
  });

  it.each<[string, Fields, number]>([
    ['no name', { name: '' }, 400],
    ['a long name', { name: 'x'.repeat(256) }, 400],
    ['a flavor', { flavorRef: 'huge' }, 400],
    ['an image', { imageRef: 'windows' }, 400],
    ['a group', { security_groups: [{ name: 'nothing' }] }, 400],
    ['groups that are text', { security_groups: 'web' }, 400],
    ['a network', { networks: [{ uuid: '00000000-0000-4000-8000-000000000000' }] }, 400],
    ['a port', { networks: [{ port: '00000000-0000-4000-8000-000000000000' }] }, 400],
    ['networks that are text', { networks: 'many' }, 400],
    ['two servers', { min_count: 2 }, 400],
    ['metadata', { metadata: { a: 1 } }, 400],
    ['a host', { availability_zone: 'nova:h2' }, 403],
  ])('refused: %s', async (_what, fields, status) => {
    const before = api.database.revision;
    expect((await create(fields)).status).toBe(status);
    expect(api.database.revision).toBe(before);
  });

  it('an administrator says the host', async () => {
    const server = await made({ availability_zone: 'nova:h2' }, { project: 'a' });
    expect((await portsOf(server))[0]).toMatchObject({ 'binding:host_id': 'h2' });
  });

  it('with no network there are no ports; with several it must be said', async () => {
    expect(await portsOf(await made({ networks: 'none' }))).toEqual([]);
    expect(await portsOf(await made({ networks: 'auto' }))).toHaveLength(1);
    await api.network({}, MEMBER);
    expect((await create({ networks: 'auto' })).status).toBe(409);
  });

  it('when Neutron refuses its ports it says so, and none is left', async () => {
    await api.group('web', {}, MEMBER);
    await api.group('fast', { stateful: false }, MEMBER);
    const server = await made({ networks: [{ uuid: network }], security_groups: [{ name: 'web' }, { name: 'fast' }] });
    expect(await show(server)).toMatchObject({
      status: 'ERROR',
      fault: { message: expect.stringContaining('stateless') as string },
    });
    expect(await portsOf(server)).toEqual([]);
    expect((await act(server, { removeSecurityGroup: { name: 'fast' } })).status).toBe(202);
    expect((await show(server))['security_groups']).toEqual([{ name: 'web' }]);
  });
});

describe('groups', () => {
  it('are added to every port and removed, by name or id', async () => {
    const [web, db] = [await api.group('web', {}, MEMBER), await api.group('db', {}, MEMBER)];
    const server = await made({ networks: [{ uuid: network }, { uuid: network }], security_groups: [{ name: 'web' }] });
    expect((await act(server, { addSecurityGroup: { name: 'db' } })).status).toBe(202);
    expect((await portsOf(server)).map(({ security_groups: groups }) => groups)).toEqual([
      [web, db],
      [web, db],
    ]);
    expect((await act(server, { removeSecurityGroup: { name: web } })).status).toBe(202);
    expect((await portsOf(server)).map(({ security_groups: groups }) => groups)).toEqual([[db], [db]]);
    const combined = await api.get(`${SERVERS}/${server}/os-security-groups`, MEMBER);
    expect(objects(combined, 'security_groups').map(({ name }) => name)).toEqual(['db']);
  });

  it('are added to all ports or none', async () => {
    await api.group('web', {}, MEMBER);
    const open = await api.port(network, { name: 'open', port_security_enabled: false }, MEMBER);
    const server = await made({ networks: [{ uuid: network }, { port: idOf(open) }] });
    const before = await portsOf(server);
    expect((await act(server, { addSecurityGroup: { name: 'web' } })).status).toBe(400);
    expect(await portsOf(server)).toEqual(before);
  });

  it.each<[string, unknown, number]>([
    ['an unknown one', { addSecurityGroup: { name: 'nothing' } }, 404],
    ['one that two have', { addSecurityGroup: { name: 'twin' } }, 409],
    ['one that is there', { addSecurityGroup: { name: 'default' } }, 400],
    ['one that no port has', { removeSecurityGroup: { name: 'web' } }, 404],
    ['a stateless one beside a stateful', { addSecurityGroup: { name: 'fast' } }, 409],
    ['no name', { addSecurityGroup: { name: ' ' } }, 400],
    ['more than a name', { addSecurityGroup: { name: 'web', id: 1 } }, 400],
    ['two actions', { addSecurityGroup: { name: 'web' }, removeSecurityGroup: { name: 'web' } }, 400],
    ['another action', { reboot: {} }, 400],
    ['nothing', {}, 400],
    ['text', 'x', 400],
  ])('refused: %s', async (_what, body, status) => {
    for (const [name, stateful] of [
      ['web', true],
      ['fast', false],
      ['twin', true],
      ['twin', true],
    ] as const) {
      await api.group(name, { stateful }, MEMBER);
    }
    const server = await made();
    const before = api.database.revision;
    expect((await act(server, body)).status).toBe(status);
    expect(api.database.revision).toBe(before);
  });

  it('in Nova’s form: ingress only, ports and -1', async () => {
    const [web, db] = [await api.group('web', {}, MEMBER), await api.group('db', {}, MEMBER)];
    for (const fields of [
      { protocol: 'tcp', port_range_min: 80, port_range_max: 80, remote_ip_prefix: '192.0.2.7/24' },
      { protocol: 'udp', remote_group_id: web },
      { protocol: 'icmp' },
      {},
    ]) {
      await api.rule(db, fields, MEMBER);
    }
    const server = await made({ security_groups: [{ name: 'db' }] });
    const [group] = objects(await api.get(`${SERVERS}/${server}/os-security-groups`, MEMBER), 'security_groups');
    const shown = (group?.['rules'] as readonly Fields[]).map((rule) => [
      rule['ip_protocol'],
      rule['from_port'],
      rule['to_port'],
      rule['group'],
      rule['ip_range'],
    ]);
    expect(shown).toEqual([
      ['tcp', 80, 80, {}, { cidr: '192.0.2.7/24' }],
      ['udp', 1, 65535, { name: 'web', tenant_id: 'a' }, {}],
      ['icmp', -1, -1, {}, { cidr: '0.0.0.0/0' }],
      [null, null, null, {}, { cidr: '0.0.0.0/0' }],
    ]);
  });
});

describe('who may', () => {
  it('another project does not see it; a reader does not change it', async () => {
    const server = await made();
    for (const path of ['', '/os-security-groups', '/os-interface']) {
      expect((await api.get(`${SERVERS}/${server}${path}`, OTHER)).status).toBe(404);
    }
    expect((await act(server, { addSecurityGroup: { name: 'default' } }, OTHER)).status).toBe(404);
    expect((await api.call('DELETE', `${SERVERS}/${server}`, undefined, OTHER)).status).toBe(404);
    expect((await act(server, { addSecurityGroup: { name: 'default' } }, READER)).status).toBe(403);
    expect((await create({}, READER)).status).toBe(403);
    expect(objects(await api.get(SERVERS, OTHER), 'servers')).toEqual([]);
    expect(objects(await api.get(`${SERVERS}?all_tenants=True`, { project: 'b' }), 'servers')).toHaveLength(1);
  });
});

it('its own ports go with it, others are let go', async () => {
  const kept = await api.port(network, {}, MEMBER);
  const server = await made({ networks: [{ port: idOf(kept) }, { uuid: network }] });
  expect(await portsOf(server)).toHaveLength(2);
  expect((await api.call('DELETE', `${SERVERS}/${server}`, undefined, MEMBER)).status).toBe(204);
  expect(await portsOf(server)).toEqual([]);
  expect((await api.get(`/ports/${idOf(kept)}`)).body['port']).toMatchObject({ device_id: '', 'binding:host_id': '' });
  expect((await api.get(`${SERVERS}/${server}`, MEMBER)).status).toBe(404);
});

it('lists: by name, in pages', async () => {
  for (const name of ['vm1', 'vm2', 'other']) await made({ name, networks: 'none' });
  const names = async (query: string): Promise<readonly unknown[]> =>
    objects(await api.get(`${SERVERS}/detail?${query}`, MEMBER), 'servers').map(({ name }) => name);
  expect([...(await names('name=vm'))].sort()).toEqual(['vm1', 'vm2']);
  expect(await names('name=^vm1$')).toEqual(['vm1']);
  expect(await names('limit=2')).toHaveLength(2);
  const [first] = objects(await api.get(`${SERVERS}?limit=1`, MEMBER), 'servers');
  expect(await names(`marker=${idOf(first ?? {})}`)).toHaveLength(2);
  expect((await api.get(`${SERVERS}?marker=nothing`, MEMBER)).status).toBe(400);
});

it('errors have Nova’s shape; old routes end with 2.36', async () => {
  expect((await api.get(`${SERVERS}/nothing`, MEMBER)).body).toEqual({
    itemNotFound: { code: 404, message: 'Instance nothing could not be found.' },
  });
  expect(errorOf(await api.get('/compute/v2.1/flavors/9', MEMBER)).message).toContain('Flavor');
  expect((await api.get('/compute/v2.1/os-security-groups', MEMBER)).status).toBe(200);
  const newer = await api.app.inject({
    url: '/compute/v2.1/os-security-groups',
    headers: { 'openstack-api-version': 'compute 2.90' },
  });
  expect(newer.statusCode).toBe(404);
});

describe('interfaces', () => {
  const path = (server: string, port = ''): string => `${SERVERS}/${server}/os-interface${port}`;

  it('are attached by network or port, and detached: what was made goes, what was given stays', async () => {
    const server = await made({ networks: 'none' });
    const given = idOf(await api.port(network, {}, MEMBER));
    for (const wanted of [{ net_id: network, fixed_ips: [{ ip_address: '10.0.0.77' }] }, { port_id: given }]) {
      const attached = await api.call('POST', path(server), { interfaceAttachment: wanted }, MEMBER);
      expect([attached.status, attached.body['interfaceAttachment']]).toMatchObject([200, { port_state: 'ACTIVE' }]);
    }
    const ids = (await portsOf(server)).map(idOf);
    expect(ids).toContain(given);
    const ips = await api.get(`${SERVERS}/${server}/ips`, MEMBER);
    expect(ips.body['addresses']).toMatchObject({ net: [{ version: 4, addr: '10.0.0.77' }, { version: 4 }] });
    expect((await api.get(`${SERVERS}/${server}/ips/net`, MEMBER)).body['net']).toHaveLength(2);
    expect((await api.get(`${SERVERS}/${server}/ips/nothing`, MEMBER)).status).toBe(404);
    for (const id of ids) {
      expect((await api.get(path(server, `/${id}`), MEMBER)).status).toBe(200);
      expect((await api.call('DELETE', path(server, `/${id}`), undefined, MEMBER)).status).toBe(202);
      expect((await api.call('DELETE', path(server, `/${id}`), undefined, MEMBER)).status).toBe(404);
    }
    expect(await portsOf(server)).toEqual([]);
    expect((await api.get(`/ports/${given}`, MEMBER)).body['port']).toMatchObject({ device_id: '' });
  });

  it('that are gone as ports take no place, and one that comes back is there once', async () => {
    const server = await made({ networks: 'none' });
    const attach = async (wanted: Fields): Promise<Response> =>
      api.call('POST', path(server), { interfaceAttachment: wanted }, MEMBER);
    for (let number = 0; number < 64; number++) {
      const { body } = await attach({ net_id: network });
      const { port_id: port } = body['interfaceAttachment'] as Fields;
      expect((await api.call('DELETE', `/ports/${String(port)}`, undefined, MEMBER)).status).toBe(204);
    }
    const given = idOf(await api.port(network, {}, MEMBER));
    for (let number = 0; number < 2; number++) {
      expect((await attach({ port_id: given })).status).toBe(200);
      await api.call('PUT', `/ports/${given}`, { port: { device_id: '' } }, MEMBER);
    }
    expect((await attach({ port_id: given })).status).toBe(200);
    expect((await api.get(path(server), MEMBER)).body['interfaceAttachments']).toMatchObject([{ port_id: given }]);
  });

  it.each<[string, Fields, number]>([
    ['both', { net_id: '00000000-0000-4000-8000-000000000000', port_id: '00000000-0000-4000-8000-000000000000' }, 400],
    ['a port that is none', { port_id: '00000000-0000-4000-8000-000000000000' }, 400],
    ['an address without a network', { fixed_ips: [{ ip_address: '10.0.0.9' }] }, 400],
    ['an address elsewhere', { net_id: 'NETWORK', fixed_ips: [{ ip_address: '192.0.2.1' }] }, 400],
  ])('refused: %s', async (_what, wanted, status) => {
    const server = await made();
    const interfaceAttachment = Object.fromEntries(
      Object.entries(wanted).map(([name, value]) => [name, value === 'NETWORK' ? network : value]),
    );
    const before = api.database.revision;
    expect((await api.call('POST', path(server), { interfaceAttachment }, MEMBER)).status).toBe(status);
    expect(api.database.revision).toBe(before);
  });
});

it('a server is renamed, and nothing else of it changes', async () => {
  const server = await made();
  const put = async (fields: Fields, as = MEMBER): Promise<Response> =>
    api.call('PUT', `${SERVERS}/${server}`, { server: fields }, as);
  expect((await put({ name: 'other' })).body['server']).toMatchObject({ id: server, name: 'other' });
  expect((await put({ name: '' })).status).toBe(400);
  expect((await put({ host: 'h' })).status).toBe(400);
  expect((await put({ name: 'theirs' }, OTHER)).status).toBe(404);
  expect((await put({ name: 'theirs' }, READER)).status).toBe(403);
});

describe('what a server may hold is limited', () => {
  it.each<[string, Fields, number]>([
    ['metadata, a value of 256', { metadata: { k: '🔥'.repeat(256) } }, 400],
    ['metadata, a name of 256', { metadata: { ['k'.repeat(256)]: '' } }, 400],
    [
      'metadata, 129',
      { metadata: Object.fromEntries(Array.from({ length: 129 }, (_, n) => [`k${n.toString()}`, ''])) },
      403,
    ],
    ['a name of 256', { name: '🔥'.repeat(256) }, 400],
    ['a key', { key_name: 'k'.repeat(256) }, 400],
    ['a zone', { availability_zone: 'z'.repeat(256) }, 400],
    ['text that is no Unicode', { name: 'a\ud800' }, 400],
  ])('refused: %s', async (_what, fields, status) => {
    expect((await create({ networks: 'none', ...fields })).status).toBe(status);
  });

  it('as long as the limit is taken', async () => {
    const most = '🔥'.repeat(255);
    const server = await made({ networks: 'none', name: most, metadata: { [most]: most } });
    expect(await show(server)).toMatchObject({ name: most, metadata: { [most]: most } });
  });

  it('a project has as many servers as its quota says', async () => {
    const set = '/compute/v2.1/os-quota-sets/a';
    expect((await api.call('PUT', set, { quota_set: { instances: 2 } }, MEMBER)).status).toBe(403);
    expect((await api.call('PUT', set, { quota_set: { cores: 2 } })).status).toBe(400);
    expect((await api.call('PUT', set, { quota_set: { instances: 2 } })).status).toBe(200);
    for (const status of [202, 202, 403]) expect((await create({ networks: 'none' })).status).toBe(status);
    expect((await api.get('/compute/v2.1/limits', MEMBER)).body['limits']).toMatchObject({
      absolute: { maxTotalInstances: 2, totalInstancesUsed: 2 },
    });
    // Neutron's own limits, and its answer, are as they were.
    expect((await api.get('/quotas/a')).body['quota']).not.toHaveProperty('instances');
    expect((await api.call('DELETE', set)).status).toBe(202);
    expect((await create({ networks: 'none' })).status).toBe(202);
  });

  it('also when Neutron’s own quotas go: those of the other service stay', async () => {
    const [neutrons, novas] = ['/quotas/a', '/compute/v2.1/os-quota-sets/a'] as const;
    await api.call('PUT', novas, { quota_set: { instances: 0 } });
    expect(objects(await api.get('/quotas'), 'quotas')).toEqual([]);
    expect((await api.call('DELETE', neutrons)).status).toBe(404);
    await api.call('PUT', neutrons, { quota: { port: 3 } });
    expect((await api.call('DELETE', neutrons)).status).toBe(204);
    expect((await api.get(neutrons)).body['quota']).toMatchObject({ port: 500 });
    expect((await create({ networks: 'none' })).status).toBe(403);
  });

  it('a name of a group is looked for once, however often it is said', async () => {
    const id = await api.group('web', {}, MEMBER);
    const all = vi.spyOn(api.database.view, 'all');
    const server = await made({ security_groups: Array<Fields>(1000).fill({ name: 'web' }) });
    const looks = all.mock.calls.filter(([kind]) => kind === 'security_group');
    expect(looks).toHaveLength(1);
    expect((await portsOf(server))[0]?.['security_groups']).toEqual([id]);
  });
});
