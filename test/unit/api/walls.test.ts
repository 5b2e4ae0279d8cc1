/** Who may see and change what: projects are walls, policies are doors. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DirectoryError, readDirectory } from '../../../src/api/auth/directory.js';
import { hashPassword } from '../../../src/api/auth/password.js';
import { Keystone } from '../../../src/api/auth/keystone.js';
import { Tokens } from '../../../src/api/auth/tokens.js';
import { backupOf, recordsOfBackup, restore } from '../../../src/api/backup.js';
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

const NOBODY = { userId: '', userName: '', projectId: '', roles: [] };

interface Owned {
  readonly path: string;
  readonly singular: string;
  readonly id: string;
  readonly change: Fields;
}

/** One of each kind, of project a. */
async function ownedBy(api: TestApi, as: As): Promise<readonly Owned[]> {
  const network = await api.subnetted(as);
  const [subnet] = objects(await api.get('/subnets', as), 'subnets');
  const group = await api.group('web', {}, as);
  const rule = await api.rule(group, { protocol: 'tcp' }, as);
  const port = await api.port(network, { security_groups: [group] }, as);
  const addresses = await api.make('/address-groups', 'address_group', { addresses: ['10.0.0.0/8'] }, as);
  const policy = await api.make(
    '/rbac-policies',
    'rbac_policy',
    { object_type: 'address_group', object_id: idOf(addresses), target_tenant: 'c' },
    as,
  );
  return [
    { path: '/networks', singular: 'network', id: network, change: { name: 'x' } },
    { path: '/subnets', singular: 'subnet', id: idOf(subnet ?? {}), change: { name: 'x' } },
    { path: '/security-groups', singular: 'security_group', id: group, change: { name: 'x' } },
    { path: '/security-group-rules', singular: 'security_group_rule', id: idOf(rule), change: { description: 'x' } },
    { path: '/ports', singular: 'port', id: idOf(port), change: { name: 'x' } },
    { path: '/address-groups', singular: 'address_group', id: idOf(addresses), change: { name: 'x' } },
    { path: '/rbac-policies', singular: 'rbac_policy', id: idOf(policy), change: { target_tenant: 'd' } },
  ];
}

describe('another project', () => {
  it('learns of nothing: neither by id, nor in lists, nor by the answer to a change', async () => {
    const api = await TestApi.open();
    for (const { path, singular, id, change } of await ownedBy(api, MEMBER)) {
      const nothing = `00000000${id.slice(8)}`;
      const before = api.database.revision;
      for (const method of ['GET', 'PUT', 'DELETE'] as const) {
        const body = method === 'PUT' ? { [singular]: change } : undefined;
        const [there, notThere] = [
          await api.call(method, `${path}/${id}`, body, OTHER),
          await api.call(method, `${path}/${nothing}`, body, OTHER),
        ];
        expect([method, path, there.status]).toEqual([method, path, 404]);
        expect(JSON.stringify(there.body).replaceAll(id, '')).toBe(
          JSON.stringify(notThere.body).replaceAll(nothing, ''),
        );
      }
      const [[, listed] = []] = Object.entries((await api.get(`${path}?id=${id}`, OTHER)).body);
      expect([path, listed]).toEqual([path, []]);
      // Nothing but the other project's own default group.
      expect(api.database.revision - before).toBeLessThanOrEqual(1);
    }
  });

  it('cannot be acted for, but by administrators', async () => {
    const api = await TestApi.open();
    for (const [path, singular, fields] of [
      ['/security-groups', 'security_group', { name: 'x' }],
      ['/networks', 'network', {}],
      ['/address-groups', 'address_group', {}],
    ] as const) {
      for (const name of ['project_id', 'tenant_id']) {
        const body = { [singular]: { ...fields, [name]: 'b' } };
        expect((await api.call('POST', path, body, MEMBER)).status).toBe(400);
        const made = (await api.call('POST', path, body)).body[singular] as Answer;
        expect([made['project_id'], made['tenant_id']]).toEqual(['b', 'b']);
      }
    }
    const both = { security_group: { name: 'x', project_id: 'a', tenant_id: 'b' } };
    expect((await api.call('POST', '/security-groups', both)).status).toBe(400);
  });
});

it('a reader reads and changes nothing; somebody without a role does not even read', async () => {
  const api = await TestApi.open();
  for (const { path, singular, id, change } of await ownedBy(api, MEMBER)) {
    expect((await api.get(`${path}/${id}`, READER)).status).toBe(200);
    const before = api.database.revision;
    for (const [method, url, body] of [
      ['POST', path, { [singular]: {} }],
      ['PUT', `${path}/${id}`, { [singular]: change }],
      ['DELETE', `${path}/${id}`, undefined],
    ] as const) {
      expect([path, method, (await api.call(method, url, body, READER)).status]).toEqual([path, method, 403]);
    }
    const nobody = { project: 'a', roles: 'heat_stack_owner' };
    expect((await api.get(`${path}/${id}`, nobody)).status).toBe(404);
    expect((await api.get(path, nobody)).status).toBe(403);
    expect(api.database.revision).toBe(before);
  }
});

describe('shared groups', () => {
  async function shared(): Promise<{ readonly api: TestApi; readonly group: string; readonly policy: string }> {
    const api = await TestApi.open();
    const group = await api.group('web', {}, MEMBER);
    const fields = { object_type: 'security_group', object_id: group, action: 'access_as_shared', target_tenant: 'b' };
    return { api, group, policy: idOf(await api.make('/rbac-policies', 'rbac_policy', fields, MEMBER)) };
  }

  it('are seen and used, never changed, by the project that they are shared with', async () => {
    const { api, group } = await shared();
    const [seen] = objects(await api.get(`/security-groups?shared=True`, OTHER), 'security_groups');
    expect(seen).toMatchObject({ id: group, shared: true });
    expect((await api.get(`/security-groups/${group}`, MEMBER)).body['security_group']).toMatchObject({
      shared: false,
    });
    expect(
      objects(await api.get(`/security-group-rules?security_group_id=${group}`, OTHER), 'security_group_rules'),
    ).toHaveLength(2);
    for (const [method, body] of [
      ['PUT', { security_group: { name: 'x' } }],
      ['DELETE', undefined],
    ] as const) {
      expect((await api.call(method, `/security-groups/${group}`, body, OTHER)).status).toBe(403);
    }
    const rule = { security_group_rule: { security_group_id: group, direction: 'ingress' } };
    expect((await api.call('POST', '/security-group-rules', rule, OTHER)).status).toBe(403);
    const own = await api.group('own', {}, OTHER);
    expect((await api.rule(own, { remote_group_id: group }, OTHER))['remote_group_id']).toBe(group);
    await api.port(await api.network({}, OTHER), { security_groups: [group], fixed_ips: [] }, OTHER);
    expect((await api.get(`/security-groups/${group}`, { project: 'c', roles: 'member' })).status).toBe(404);
  });

  it('are not shared on, nor with all, by a member', async () => {
    const { api, group } = await shared();
    const policy = { object_type: 'security_group', object_id: group, target_tenant: 'c' };
    expect((await api.call('POST', '/rbac-policies', { rbac_policy: policy }, OTHER)).status).toBe(400);
    const all = { rbac_policy: { ...policy, target_tenant: '*' } };
    expect((await api.call('POST', '/rbac-policies', all, MEMBER)).status).toBe(403);
    expect((await api.call('POST', '/rbac-policies', all)).status).toBe(201);
    const twice = await api.call('POST', '/rbac-policies', { rbac_policy: { ...policy, target_tenant: 'b' } }, MEMBER);
    expect([twice.status, errorOf(twice).type]).toEqual([409, 'DuplicateRbacPolicy']);
    expect((await api.get(`/security-groups/${group}`, { project: 'c', roles: 'member' })).status).toBe(200);
  });

  it('stay shared while they are used; go with the group', async () => {
    const { api, group, policy } = await shared();
    const port = await api.port(await api.network({}, OTHER), { security_groups: [group] }, OTHER);
    const refused = await api.call('DELETE', `/rbac-policies/${policy}`, undefined, MEMBER);
    expect([refused.status, errorOf(refused).type]).toEqual([409, 'RbacPolicyInUse']);
    const moved = await api.call('PUT', `/rbac-policies/${policy}`, { rbac_policy: { target_tenant: 'c' } }, MEMBER);
    expect(moved.status).toBe(409);
    await api.call('DELETE', `/ports/${idOf(port)}`, undefined, OTHER);
    expect(
      (await api.call('PUT', `/rbac-policies/${policy}`, { rbac_policy: { target_tenant: 'c' } }, MEMBER)).status,
    ).toBe(200);
    expect((await api.call('DELETE', `/security-groups/${group}`, undefined, MEMBER)).status).toBe(204);
    expect((await api.get(`/rbac-policies/${policy}`, MEMBER)).status).toBe(404);
  });

  it('are taken back though an administrator, who needs no policy, uses them', async () => {
    const { api, group, policy } = await shared();
    const admin = { project: 'admin', roles: 'admin' };
    await api.port(await api.network({}, admin), { security_groups: [group] }, admin);
    await api.rule(await api.group('own', {}, admin), { remote_group_id: group }, admin);
    expect((await api.call('DELETE', `/rbac-policies/${policy}`, undefined, MEMBER)).status).toBe(204);
    expect((await api.get(`/security-groups/${group}`, OTHER)).status).toBe(404);
  });
});

it('every change is noted: who, what, before and after', async () => {
  const api = await TestApi.open();
  const group = await api.group('web', {}, { project: 'a', roles: 'member' });
  api.audited.length = 0;
  await api.call('PUT', `/security-groups/${group}`, { security_group: { name: 'x' } }, MEMBER);
  await api.call('PUT', `/security-groups/${group}`, { security_group: { name: 'default' } }, MEMBER);
  expect(api.audited).toMatchObject([
    {
      caller: { projectId: 'a', roles: ['member'] },
      changes: [{ kind: 'security_group', id: group, before: { name: 'web' }, after: { name: 'x' } }],
    },
  ]);
});

// Identity

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const USERS = `
projects:
  - { id: p1, name: demo }
  - { id: p2, name: other }
users:
  - { id: u1, name: alice, password: secret, roles: { demo: [member] } }
  - { id: u2, name: root, password: top, roles: { demo: [admin], p2: [admin] } }
tokens:
  - { token: 0123456789abcdef0123, user: u2, project: p2 }
`;

function usersFile(content: string, mode = 0o600): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-users-'));
  folders.push(folder);
  writeFileSync(join(folder, 'users.yaml'), content, { mode });
  return join(folder, 'users.yaml');
}

async function withUsers(): Promise<TestApi> {
  const tokens = new Tokens(readDirectory(usersFile(USERS)));
  return TestApi.open(tokens, tokens);
}

const password = (name: string, secret: unknown, project?: string): object => ({
  auth: {
    identity: { methods: ['password'], password: { user: { name, domain: { id: 'default' }, password: secret } } },
    ...(project === undefined ? {} : { scope: { project: { name: project, domain: { id: 'default' } } } }),
  },
});

async function tokenFor(api: TestApi, name: string, secret: unknown, project?: string): Promise<Response> {
  return api.call('POST', '/identity/v3/auth/tokens', password(name, secret, project), {});
}

describe('identity', () => {
  it('a password gives a token, the token a project’s view', async () => {
    const api = await withUsers();
    const given = await tokenFor(api, 'alice', 'secret', 'demo');
    expect(given.status).toBe(201);
    expect(given.body['token']).toMatchObject({
      user: { name: 'alice' },
      project: { id: 'p1' },
      roles: [{ name: 'member' }, { name: 'reader' }],
    });
    const token = String(given.headers['x-subject-token']);
    const [group] = objects(await api.get('/security-groups', { token }), 'security_groups');
    expect(group).toMatchObject({ name: 'default', project_id: 'p1' });
    // Headers of the other mode say nothing here.
    const asked = await api.get('/security-groups', { token, project: 'p2', roles: 'admin' });
    expect(objects(asked, 'security_groups').map(({ project_id: project }) => project)).toEqual(['p1']);
    expect((await api.get('/identity/v3/projects?name=demo', { token })).body['projects']).toMatchObject([
      { id: 'p1' },
    ]);
    expect((await api.get('/identity/v3/projects/p2', { token })).status).toBe(404);
  });

  it.each<[string, string, unknown, string | undefined, number]>([
    ['a wrong password', 'alice', 'wrong', 'demo', 401],
    ['no such user', 'mallory', 'secret', 'demo', 401],
    ['no password', 'alice', undefined, 'demo', 401],
    ['a project without a role', 'alice', 'secret', 'other', 401],
    ['a project that is none', 'alice', 'secret', 'nonsense', 401],
  ])('refused: %s', async (_what, name, secret, project, status) => {
    const api = await withUsers();
    expect((await tokenFor(api, name, secret, project)).status).toBe(status);
  });

  it('without a token, with a wrong one, and with one for no project nothing is shown', async () => {
    const api = await withUsers();
    const unscoped = String((await tokenFor(api, 'alice', 'secret')).headers['x-subject-token']);
    for (const as of [{}, { token: 'nonsense' }, { token: unscoped }, { project: 'p1', roles: 'admin' }]) {
      for (const path of [
        '/security-groups',
        '/network/v2.0/ports',
        '/compute/v2.1/servers',
        '/image/v2/images',
        '/portcullis/v1/topology',
      ]) {
        expect((await api.get(path, as)).status).toBe(401);
      }
    }
  });

  it('a token can be given back; a static one acts as its user', async () => {
    const api = await withUsers();
    const token = String((await tokenFor(api, 'alice', 'secret', 'demo')).headers['x-subject-token']);
    const root = { token: '0123456789abcdef0123' };
    expect((await api.get('/security-groups', root)).status).toBe(200);
    const revoked = await api.app.inject({
      method: 'DELETE',
      url: '/identity/v3/auth/tokens',
      headers: { 'x-auth-token': token, 'x-subject-token': token },
    });
    expect(revoked.statusCode).toBe(204);
    expect((await api.get('/security-groups', { token })).status).toBe(401);
  });

  it('a token of the file is given back, too, for good: after a restart, and when an older backup is restored', async () => {
    const api = await withUsers();
    const backup = (await api.get('/portcullis/v1/backup', { token: '0123456789abcdef0123' })).body;
    const token = '0123456789abcdef0123';
    const revoked = await api.app.inject({
      method: 'DELETE',
      url: '/identity/v3/auth/tokens',
      headers: { 'x-auth-token': token, 'x-subject-token': token },
    });
    expect(revoked.statusCode).toBe(204);
    expect((await api.get('/security-groups', { token })).status).toBe(401);
    const another = new Tokens(readDirectory(usersFile(USERS)));
    const places = another.remember({
      isRevoked: (digest) => api.database.view.get('revoked_token', digest) !== undefined,
      revoke: async () => Promise.resolve(),
    });
    expect([another.find(token), places]).toEqual([undefined, ['tokens.0']]);
    await restore(api.database, NOBODY, recordsOfBackup(backup), true);
    expect((await api.get('/security-groups', { token })).status).toBe(401);
    // What is kept of it is no token.
    expect(JSON.stringify(backupOf(api.database))).not.toContain(token);
  });

  it('a password may be a hash: it lets in who knows the password, not who knows the hash', async () => {
    const hash = await hashPassword('a secret');
    const tokens = new Tokens(readDirectory(usersFile(USERS.replace('password: secret', `password: "${hash}"`))));
    const api = await TestApi.open(tokens, tokens);
    for (const [given, status] of [
      ['a secret', 201],
      ['a secre', 401],
      [hash, 401],
      ['', 401],
    ] as const) {
      expect((await tokenFor(api, 'alice', given, 'demo')).status).toBe(status);
    }
    expect(await hashPassword('a secret')).not.toBe(hash);
  });

  it('one user’s logins do not end another one’s', () => {
    const tokens = new Tokens(readDirectory(usersFile(USERS)));
    const [alice, root] = tokens.directory.users;
    if (alice === undefined || root === undefined) throw new Error('two users');
    const kept = tokens.issue(root, undefined);
    const first = tokens.issue(alice, undefined);
    for (let number = 0; number < 1000; number++) tokens.issue(alice, undefined);
    expect([tokens.find(kept.id) !== undefined, tokens.find(first.id)]).toEqual([true, undefined]);
  });

  it.each<[string, string, RegExp]>([
    ['a hash', USERS.replace('password: secret', 'password: scrypt$1$1$1$x$y'), /users\.0\.password.*hash-password/],
    [
      'a hash that costs too much',
      USERS.replace('password: secret', `password: scrypt$16777216$8$1$${'A'.repeat(22)}==$${'A'.repeat(43)}=`),
      /users\.0\.password/,
    ],
    ['a role', USERS.replace('[member]', '[king]'), /users\.0\.roles/],
    ['a project', USERS.replace('{ demo: [member] }', '{ nowhere: [member] }'), /alice.*nowhere/],
    ['a short token', USERS.replace('0123456789abcdef0123', 'short'), /tokens\.0\.token/],
    ['a user twice', USERS.replace('name: root', 'name: alice'), /user alice is there twice/],
    ['a key', USERS.replace('projects:', 'project:'), /project/],
    ['no YAML', '{', /users\.yaml: /],
  ])('a file of users is refused: %s', (_what, content, message) => {
    expect(() => readDirectory(usersFile(content))).toThrow(message);
  });

  it('a file that others may read is refused', () => {
    expect(() => readDirectory(usersFile(USERS, 0o644))).toThrow(DirectoryError);
  });

  it('keystone: what it said of a token is believed for so long and no longer, also when the wall clock is set back', async () => {
    const identity = await withUsers();
    await identity.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = identity.app.server.address() as AddressInfo;
    let now = 0;
    const api = await TestApi.open(new Keystone(`http://127.0.0.1:${port.toString()}/identity`, 60, () => now));
    const token = String((await tokenFor(identity, 'alice', 'secret', 'demo')).headers['x-subject-token']);
    const status = async (): Promise<number> => (await api.get('/security-groups', { token })).status;
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      expect(await status()).toBe(200);
      const headers = { 'x-auth-token': token, 'x-subject-token': token };
      await identity.app.inject({ method: 'DELETE', url: '/identity/v3/auth/tokens', headers });
      vi.setSystemTime(Date.now() - 86_400_000);
      now = 59_000;
      expect(await status()).toBe(200);
      now = 61_000;
      expect(await status()).toBe(401);
    } finally {
      vi.useRealTimers();
    }
  });

  it('keystone: a token is validated there, once; when it does not answer nobody gets in', async () => {
    const identity = await withUsers();
    let asked = 0;
    identity.app.addHook('onRequest', (request, _reply, done) => {
      if (request.method === 'GET') asked++;
      done();
    });
    await identity.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = identity.app.server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port.toString()}/identity`;
    const api = await TestApi.open(new Keystone(`${url}/v3`));
    const token = String((await tokenFor(identity, 'alice', 'secret', 'demo')).headers['x-subject-token']);
    for (let time = 0; time < 3; time++) expect((await api.get('/security-groups', { token })).status).toBe(200);
    expect(asked).toBe(1);
    const wrong = await api.get('/security-groups', { token: 'nonsense' });
    expect([wrong.status, wrong.headers['www-authenticate']]).toEqual([401, `Keystone uri="${url}"`]);
    await identity.app.close();
    expect((await api.get('/security-groups', { token })).status).toBe(200);
    expect((await api.get('/security-groups', { token: 'another' })).status).toBe(503);
  });
});
