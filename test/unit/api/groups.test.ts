/** Security groups, what they begin with, and address groups, templates, tags and quotas beside them. */
import { beforeEach, describe, expect, it } from 'vitest';
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

let api: TestApi;
beforeEach(async () => {
  api = await TestApi.open();
});

type Fields = Readonly<Record<string, unknown>>;

const put = async (id: string, fields: Fields, as?: As): Promise<Response> =>
  api.call('PUT', `/security-groups/${id}`, { security_group: fields }, as);
const remove = async (id: string, as?: As): Promise<Response> =>
  api.call('DELETE', `/security-groups/${id}`, undefined, as);
const show = async (id: string, as?: As): Promise<Answer> =>
  (await api.get(`/security-groups/${id}`, as)).body['security_group'] as Answer;

async function defaultGroup(as: As = { project: 'a' }): Promise<Answer> {
  const [group] = objects(await api.get('/security-groups?name=default', as), 'security_groups').filter(
    ({ project_id: project }) => project === as.project,
  );
  if (group === undefined) throw new Error('no default group');
  return group;
}

const rulesOf = (group: Answer): readonly Fields[] => group['security_group_rules'] as readonly Fields[];

describe('a new group', () => {
  it('lets everything out, and nothing in', async () => {
    const group = await show(await api.group('web', { description: 'x' }));
    expect(group).toMatchObject({
      name: 'web',
      description: 'x',
      stateful: true,
      shared: false,
      tags: [],
      revision_number: 1,
    });
    expect(rulesOf(group).map(({ direction, ethertype }) => [direction, ethertype])).toEqual([
      ['egress', 'IPv4'],
      ['egress', 'IPv6'],
    ]);
    expect(
      rulesOf(group).every(({ description, remote_group_id: remote }) => description === null && remote === null),
    ).toBe(true);
  });

  it('default also admits its own members', async () => {
    const group = await defaultGroup();
    expect(group['description']).toBe('Default security group');
    const ingress = rulesOf(group).filter(({ direction }) => direction === 'ingress');
    expect(ingress.map(({ ethertype, remote_group_id: remote }) => [ethertype, remote])).toEqual([
      ['IPv4', idOf(group)],
      ['IPv6', idOf(group)],
    ]);
  });

  it.each([
    ['stateful in words', { stateful: 'no' }, 201, { stateful: false }],
    ['no stateful', { stateful: null }, 400, {}],
    ['stateful is fruit', { stateful: 'banana' }, 400, {}],
    ['a name that is none', { name: true }, 400, {}],
    ['a long name', { name: 'x'.repeat(256) }, 400, {}],
    ['an empty name', { name: '' }, 201, { name: '' }],
    ['default with a space', { name: 'default ' }, 201, { name: 'default ' }],
    ['tags', { tags: ['a'] }, 400, {}],
    ['rules', { security_group_rules: [] }, 400, {}],
    ['no description', { description: null }, 400, {}],
  ])('%s', async (_what, fields, status, expected) => {
    const answer = await api.call('POST', '/security-groups', { security_group: { name: 'g', ...fields } });
    expect(answer.status).toBe(status);
    if (status === 201) expect(answer.body['security_group']).toMatchObject(expected);
  });

  it.each(['default', 'Default', 'DEFAULT'])('never is called %s', async (name) => {
    const answer = await api.call('POST', '/security-groups', { security_group: { name } });
    expect([answer.status, errorOf(answer).type]).toEqual([409, 'SecurityGroupDefaultAlreadyExists']);
  });
});

describe('default', () => {
  it('is made once, also by two at a time, and only for who asks', async () => {
    await Promise.all([
      api.get('/security-groups', MEMBER),
      api.get('/security-group-rules', MEMBER),
      api.network({}, MEMBER),
    ]);
    expect(
      [...api.database.view.all('security_group')].filter(({ project_id: project }) => project === 'a'),
    ).toHaveLength(1);
    // CVE-2022-3277: made-up projects in a filter made groups without end.
    const before = api.database.view.count('security_group');
    for (let number = 0; number < 20; number++)
      await api.get(`/security-groups?project_id=made-up-${number.toString()}`, MEMBER);
    expect(api.database.view.count('security_group')).toBe(before);
  });

  it('keeps its name, and takes a description', async () => {
    const id = idOf(await defaultGroup());
    expect(errorOf(await put(id, { name: 'x' })).type).toBe('SecurityGroupCannotUpdateDefault');
    expect((await put(id, { name: 'default' })).status).toBe(409);
    expect((await put(id, { description: 'x' })).body['security_group']).toMatchObject({ description: 'x' });
  });

  it('goes only when an administrator wants it, and comes again', async () => {
    const id = idOf(await defaultGroup(MEMBER));
    expect(errorOf(await remove(id, MEMBER)).type).toBe('SecurityGroupCannotRemoveDefault');
    expect((await remove(id)).status).toBe(204);
    expect(idOf(await defaultGroup(MEMBER))).not.toBe(id);
  });
});

describe('a group that is in use', () => {
  it('stays, and stays stateful; afterwards it may go and change', async () => {
    const id = await api.group('web');
    const port = await api.port(await api.subnetted(), { security_groups: [id] });
    expect(errorOf(await remove(id))).toMatchObject({ type: 'SecurityGroupInUse' });
    expect(errorOf(await put(id, { stateful: false })).type).toBe('SecurityGroupInUse');
    expect((await put(id, { stateful: true })).status).toBe(200);
    await api.call('PUT', `/ports/${idOf(port)}`, { port: { security_groups: [] } });
    expect((await put(id, { stateful: false })).body['security_group']).toMatchObject({ stateful: false });
    expect((await remove(id)).status).toBe(204);
    expect((await remove(id)).status).toBe(404);
  });

  it('as remote of another one: the rules that name it go with it', async () => {
    const [web, database] = [await api.group('web'), await api.group('database')];
    await api.rule(database, { remote_group_id: web });
    expect(rulesOf(await show(database))).toHaveLength(3);
    expect((await remove(web)).status).toBe(204);
    expect(rulesOf(await show(database))).toHaveLength(2);
    expect((await show(database))['revision_number']).toBe(3);
  });
});

it('a change raises the revision, no change does not', async () => {
  const id = await api.group('web');
  expect((await put(id, {})).body['security_group']).toMatchObject({ revision_number: 1 });
  expect((await put(id, { name: 'web' })).body['security_group']).toMatchObject({ revision_number: 1 });
  expect((await put(id, { name: 'x' })).body['security_group']).toMatchObject({ revision_number: 2 });
  expect((await put(id, { id })).status).toBe(400);
  expect((await put(id, { project_id: 'b' })).status).toBe(400);
});

describe('two clients at once', () => {
  it('If-Match: the second one is told', async () => {
    const id = await api.group('web');
    const ifMatch = 'revision_number=1';
    const answers = await Promise.all(['x', 'y'].map(async (name) => put(id, { name }, { project: 'a', ifMatch })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412]);
    const late = answers.find(({ status }) => status === 412);
    expect(late && errorOf(late).type).toBe('RevisionNumberConstraintFailed');
    expect((await api.call('DELETE', `/security-groups/${id}`, undefined, { project: 'a', ifMatch })).status).toBe(412);
  });

  it.each(['nonsense', '*', '"1"', 'revision_number=', 'revision_number=x', 'revision_number=1, revision_number=2'])(
    'If-Match that is not understood is refused: %s',
    async (ifMatch) => {
      const id = await api.group('web');
      const as = { project: 'a', ifMatch };
      for (const answer of [
        await put(id, { name: 'z' }, as),
        await api.call('DELETE', `/security-groups/${id}`, undefined, as),
        await api.call('PUT', `/security-groups/${id}/tags`, { tags: ['x'] }, as),
        await api.call('PUT', '/quotas/a', { quota: { port: 1 } }, as),
        await api.call('POST', '/security-groups', { security_group: { name: 'y' } }, as),
      ]) {
        expect(answer.status).toBe(400);
      }
      expect((await api.get(`/security-groups/${id}`)).body['security_group']).toMatchObject({ revision_number: 1 });
    },
  );

  it.each(['if-none-match', 'if-unmodified-since'])('%s is not understood, so the change is refused', async (name) => {
    const id = await api.group('web');
    const answer = await api.app.inject({
      method: 'DELETE',
      url: `/v2.0/security-groups/${id}`,
      headers: { [name]: 'Wed, 21 Oct 2015 07:28:00 GMT', 'x-project-id': 'a' },
    });
    expect(answer.statusCode).toBe(400);
    expect((await api.get(`/security-groups/${id}`)).status).toBe(200);
  });

  it('every change of fifty is there, and every reader sees whole ones', async () => {
    const id = await api.group('web');
    let torn = 0;
    const reading = Array.from({ length: 200 }, async () => {
      const group = await show(id);
      // A rule and the revision come together.
      if (group['revision_number'] !== rulesOf(group).length - 1) torn++;
    });
    await Promise.all([
      ...Array.from({ length: 50 }, async (_none, port) =>
        api.rule(id, { protocol: 'tcp', port_range_min: port + 1, port_range_max: port + 1 }),
      ),
      ...reading,
    ]);
    expect(torn).toBe(0);
    expect(rulesOf(await show(id))).toHaveLength(52);
    expect((await show(id))['revision_number']).toBe(51);
  });
});

describe('address groups', () => {
  const change = async (id: string, what: string, body: unknown): Promise<Response> =>
    api.call('PUT', `/address-groups/${id}/${what}`, body);

  it('hold prefixes without host bits, once each', async () => {
    const group = await api.make('/address-groups', 'address_group', {
      name: 'x',
      addresses: ['10.0.1.2/24', '10.0.1.0/24', '2001:db8::/32', '192.0.2.1/32'],
    });
    expect(group['addresses']).toEqual(['10.0.1.0/24', '2001:db8::/32', '192.0.2.1/32']);
    const bare = await api.call('POST', '/address-groups', { address_group: { addresses: ['192.0.2.1'] } });
    expect([bare.status, errorOf(bare).message]).toEqual([400, expect.stringContaining('/32')]);
    const put_ = await api.call('PUT', `/address-groups/${idOf(group)}`, { address_group: { addresses: [] } });
    expect(put_.status).toBe(400);
  });

  it('get and lose addresses, all of a request or none', async () => {
    const id = idOf(await api.make('/address-groups', 'address_group', { addresses: ['10.0.0.0/8'] }));
    const added = await change(id, 'add_addresses', { addresses: ['192.0.2.1', '2001:db8::1'] });
    expect((added.body['address_group'] as Fields)['addresses']).toEqual([
      '10.0.0.0/8',
      '192.0.2.1/32',
      '2001:db8::1/128',
    ]);
    const before = api.database.revision;
    expect(errorOf(await change(id, 'add_addresses', { addresses: ['10.1.0.0/16', '10.0.0.0/8'] })).type).toBe(
      'AddressesAlreadyExist',
    );
    const absent = await change(id, 'remove_addresses', { addresses: ['10.0.0.0/8', '10.2.0.0/16'] });
    expect([absent.status, errorOf(absent).type]).toEqual([404, 'AddressesNotFound']);
    expect((await change(id, 'add_addresses', { address_group: { addresses: [] } })).status).toBe(400);
    expect((await change(id, 'add_addresses', { addresses: 'x' })).status).toBe(400);
    expect(api.database.revision).toBe(before);
    expect((await change(id, 'add_addresses', { addresses: [] })).status).toBe(200);
    const left = await change(id, 'remove_addresses', { addresses: ['192.0.2.1/32'] });
    expect((left.body['address_group'] as Fields)['addresses']).toEqual(['10.0.0.0/8', '2001:db8::1/128']);
  });

  it('stay while a rule names them', async () => {
    const id = idOf(await api.make('/address-groups', 'address_group', { addresses: [] }));
    const rule = await api.rule(await api.group('web'), { remote_address_group_id: id });
    const refused = await api.call('DELETE', `/address-groups/${id}`);
    expect([refused.status, errorOf(refused).type]).toEqual([409, 'AddressGroupInUse']);
    await api.call('DELETE', `/security-group-rules/${idOf(rule)}`);
    expect((await api.call('DELETE', `/address-groups/${id}`)).status).toBe(204);
  });
});

describe('templates', () => {
  const path = '/default-security-group-rules';
  const name = 'default_security_group_rule';

  it('are those of Neutron at first; what changes is for groups to come', async () => {
    expect(objects(await api.get(path, READER), `${name}s`)).toHaveLength(4);
    const before = await api.group('before');
    const template = await api.make(path, name, {
      direction: 'ingress',
      protocol: 'tcp',
      port_range_min: 22,
      port_range_max: 22,
      remote_group_id: 'PARENT',
    });
    const after = await api.group('after');
    expect(rulesOf(await show(before))).toHaveLength(2);
    const made = rulesOf(await show(after)).find(({ protocol }) => protocol === 'tcp');
    expect(made).toMatchObject({ port_range_min: 22, remote_group_id: after, description: null });
    await api.call('DELETE', `${path}/${idOf(template)}`);
    expect(rulesOf(await show(await api.group('last')))).toHaveLength(2);
  });

  it.each([
    ['security group', 'remote_group_id', async () => api.group('remote')],
    [
      'address group',
      'remote_address_group_id',
      async () =>
        idOf(await api.make('/address-groups', 'address_group', { name: 'office', addresses: ['10.0.0.0/8'] })),
    ],
  ])('go with the %s that they name, and the backup can come back', async (kind, attribute, make) => {
    const named = await make();
    const template = await api.make(path, name, { direction: 'ingress', protocol: 'udp', [attribute]: named });
    const other = await api.make(path, name, { direction: 'ingress', protocol: 'sctp' });
    expect((await api.call('DELETE', `/${kind.replace(' ', '-')}s/${named}`)).status).toBe(204);
    const left = objects(await api.get(path), `${name}s`).map(idOf);
    expect(left).toContain(idOf(other));
    expect(left).not.toContain(idOf(template));
    const whole = await api.get('/portcullis/v1/backup');
    expect((await api.call('PUT', '/portcullis/v1/backup?replace', whole.body)).status).toBe(200);
  });

  it('are an administrator’s, and differ', async () => {
    const body = { [name]: { direction: 'egress' } };
    expect((await api.call('POST', path, body, MEMBER)).status).toBe(403);
    const twice = await api.call('POST', path, body);
    expect([twice.status, errorOf(twice).type]).toEqual([409, 'DefaultSecurityGroupRuleExists']);
    const disjoint = { direction: 'ingress', remote_group_id: 'PARENT', used_in_default_sg: false };
    expect((await api.call('POST', path, { [name]: disjoint })).status).toBe(201);
    expect((await api.call('PUT', `${path}/x`, { [name]: {} })).status).toBe(404);
  });
});

describe('tags', () => {
  const tags = async (
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    id: string,
    rest = '',
    body?: unknown,
    as?: As,
  ): Promise<Response> => api.call(method, `/security-groups/${id}/tags${rest}`, body, as);

  it('are set, added, looked for and taken away', async () => {
    const id = await api.group('web');
    expect(await tags('PUT', id, '', { tags: ['blue', 'prod'] })).toMatchObject({
      status: 200,
      body: { tags: ['blue', 'prod'] },
    });
    expect((await tags('GET', id)).body).toEqual({ tags: ['blue', 'prod'] });
    expect((await tags('GET', id, '/blue')).status).toBe(204);
    expect(errorOf(await tags('GET', id, '/red')).type).toBe('TagNotFound');
    expect((await tags('PUT', id, '/red')).status).toBe(201);
    expect((await tags('POST', id, '', { tags: ['green'] })).body).toEqual({ tags: ['blue', 'prod', 'red', 'green'] });
    expect((await tags('DELETE', id, '/blue')).status).toBe(204);
    expect((await tags('DELETE', id, '/blue')).status).toBe(404);
    expect((await show(id))['tags']).toEqual(['prod', 'red', 'green']);
    expect((await tags('DELETE', id)).status).toBe(204);
    expect((await show(id))['tags']).toEqual([]);
  });

  it.each([
    ['twice', ['a', 'a']],
    ['no text', [1]],
    ['too long', ['x'.repeat(256)]],
    ['too many', Array.from({ length: 51 }, String)],
    ['no list', 'a'],
  ])('refused: %s', async (_what, given) => {
    expect((await tags('PUT', await api.group('web'), '', { tags: given })).status).toBe(400);
  });

  it('of another project’s object are not to be touched (CVE-2024-53916), shared or not', async () => {
    const id = await api.group('web', {}, MEMBER);
    expect((await tags('PUT', id, '', { tags: ['x'] }, OTHER)).status).toBe(404);
    await api.make('/rbac-policies', 'rbac_policy', {
      object_type: 'security_group',
      object_id: id,
      target_tenant: 'b',
    });
    expect((await tags('PUT', id, '', { tags: ['x'] }, OTHER)).status).toBe(403);
    expect((await tags('PUT', id, '/x', undefined, OTHER)).status).toBe(403);
    expect((await tags('GET', id, '', undefined, OTHER)).status).toBe(200);
  });

  it('of a new port are each there once', async () => {
    const network = await api.network();
    const make = async (given: readonly string[]): Promise<number> =>
      (await api.call('POST', '/ports', { port: { network_id: network, tags: given } })).status;
    expect([await make(['a', 'a']), await make(['a', 'b'])]).toEqual([400, 201]);
  });

  it('filter lists', async () => {
    const ids = new Map<string, string>();
    for (const [name, given] of [
      ['ab', ['a', 'b']],
      ['a', ['a']],
      ['none', []],
    ] as const) {
      const id = await api.group(name);
      ids.set(id, name);
      await tags('PUT', id, '', { tags: given });
    }
    const named = async (query: string): Promise<readonly (string | undefined)[]> =>
      objects(await api.get(`/security-groups?${query}`), 'security_groups')
        .map((group) => ids.get(idOf(group)))
        .filter((name) => name !== undefined)
        .sort();
    expect(await named('tags=a')).toEqual(['a', 'ab']);
    expect(await named('tags=a,b')).toEqual(['ab']);
    expect(await named('tags-any=a,b')).toEqual(['a', 'ab']);
    expect(await named('not-tags=a,b')).toEqual(['a', 'none']);
    expect(await named('not-tags-any=b')).toEqual(['a', 'none']);
    expect(await named('tags=a&tags-any=b&not-tags=x&not-tags-any=y')).toEqual(['ab']);
  });
});

describe('quotas', () => {
  const quota = async (method: 'GET' | 'PUT' | 'DELETE', rest = 'a', body?: unknown, as?: As): Promise<Response> =>
    api.call(method, `/quotas/${rest}`, body, as);

  it('are Neutron’s; ten groups with default, and no more', async () => {
    expect((await quota('GET')).body).toEqual({
      quota: {
        network: 100,
        subnet: 100,
        subnetpool: -1,
        port: 500,
        rbac_policy: 10,
        security_group: 10,
        security_group_rule: 100,
      },
    });
    for (let number = 0; number < 9; number++) await api.group(number.toString(), {}, MEMBER);
    const over = await api.call('POST', '/security-groups', { security_group: { name: 'x' } }, MEMBER);
    expect([over.status, errorOf(over).type, errorOf(over).message]).toEqual([
      409,
      'OverQuota',
      "Quota exceeded for resources: ['security_group'].",
    ]);
    const details = (await quota('GET', 'a/details')).body['quota'] as Fields;
    expect(details['security_group']).toEqual({ limit: 10, used: 10, reserved: 0 });
  });

  it('count the rules that a group begins with', async () => {
    await api.get('/security-groups', MEMBER);
    await quota('PUT', 'a', { quota: { security_group_rule: 5 } });
    expect((await api.call('POST', '/security-groups', { security_group: { name: 'x' } }, MEMBER)).status).toBe(409);
    await quota('PUT', 'a', { quota: { security_group_rule: 6 } });
    const id = await api.group('x', {}, MEMBER);
    const body = { security_group_rule: { security_group_id: id, direction: 'ingress' } };
    expect(errorOf(await api.call('POST', '/security-group-rules', body, MEMBER)).type).toBe('OverQuota');
    await quota('PUT', 'a', { quota: { security_group_rule: -1 } });
    expect((await api.call('POST', '/security-group-rules', body, MEMBER)).status).toBe(201);
  });

  it('are set by administrators, read by the project', async () => {
    expect((await quota('PUT', 'a', { quota: { port: 1 } }, MEMBER)).status).toBe(403);
    expect((await quota('GET', 'b', undefined, MEMBER)).status).toBe(403);
    expect((await quota('GET', 'a', undefined, MEMBER)).status).toBe(200);
    for (const wrong of [{ port: -2 }, { port: 2_147_483_648 }, { port: 'many' }, { teapot: 1 }]) {
      expect((await quota('PUT', 'a', { quota: wrong })).status).toBe(400);
    }
    await api.group('one', {}, MEMBER);
    expect((await quota('PUT', 'a', { quota: { security_group: 1, check_limit: true } })).status).toBe(400);
    expect((await quota('PUT', 'a', { quota: { security_group: 1, force: true } })).status).toBe(200);
    expect(objects(await api.get('/quotas'), 'quotas')).toMatchObject([{ project_id: 'a', security_group: 1 }]);
    expect((await quota('DELETE')).status).toBe(204);
    expect((await quota('DELETE')).status).toBe(404);
    expect((await quota('GET', 'a/default')).body).toEqual((await quota('GET')).body);
  });
});
