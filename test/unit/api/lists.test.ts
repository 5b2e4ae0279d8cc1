/** Lists: filters, fields, order, pages; and the shapes of requests. */
import { beforeEach, describe, expect, it } from 'vitest';
import { ports } from '../../../src/api/neutron/ports.js';
import { readQuery, selected, type SpecialFilters } from '../../../src/api/neutron/query.js';
import { rules } from '../../../src/api/neutron/rules.js';
import { TAG_FILTERS } from '../../../src/api/neutron/tags.js';
import { errorOf, idOf, MEMBER, objects, TestApi, type Answer } from '../../support/api.js';

let api: TestApi;
beforeEach(async () => {
  api = await TestApi.open();
  for (const name of ['delta', 'alpha', 'charlie', 'bravo']) await api.group(name, { description: name[0] }, MEMBER);
});

const list = async (query: string): Promise<readonly Answer[]> =>
  objects(await api.get(`/security-groups?${query}`, MEMBER), 'security_groups');
const names = async (query: string): Promise<readonly unknown[]> => (await list(query)).map(({ name }) => name);

describe('filters', () => {
  it.each<[string, readonly string[]]>([
    ['name=alpha', ['alpha']],
    ['name=alpha&name=bravo', ['alpha', 'bravo']],
    ['name=alpha&description=b', []],
    ['stateful=true&name=alpha', ['alpha']],
    ['stateful=False', []],
    ['name=', []],
    ['shared=True', []],
    ['project_id=a&name=alpha', ['alpha']],
    ['tenant_id=b', []],
    ['revision_number=1&name=alpha', ['alpha']],
  ])('%s', async (query, expected) => {
    expect([...(await names(query))].sort()).toEqual(expected);
  });

  it('an unknown one is named in the refusal', async () => {
    const answer = await api.get('/security-groups?colour=red', MEMBER);
    expect([answer.status, errorOf(answer).message]).toEqual([400, expect.stringContaining('colour')]);
  });
});

describe('fields', () => {
  it('limit what is shown; unknown ones are nothing', async () => {
    expect(await list('name=alpha&fields=name&fields=description')).toEqual([{ name: 'alpha', description: 'a' }]);
    expect(await list('name=alpha&fields=colour')).toEqual([{}]);
    const [{ id } = { id: '' }] = await list('name=alpha');
    expect((await api.get(`/security-groups/${String(id)}?fields=name`)).body).toEqual({
      security_group: { name: 'alpha' },
    });
  });
});

describe('order', () => {
  it.each<[string, readonly string[]]>([
    ['sort_key=name&sort_dir=asc', ['alpha', 'bravo', 'charlie', 'default', 'delta']],
    ['sort_key=name&sort_dir=desc', ['delta', 'default', 'charlie', 'bravo', 'alpha']],
    ['sort_key=stateful&sort_dir=asc&sort_key=name&sort_dir=asc', ['alpha', 'bravo', 'charlie', 'default', 'delta']],
  ])('%s', async (query, expected) => {
    expect(await names(query)).toEqual(expected);
  });

  it.each([
    'sort_key=name&sort_key=id&sort_dir=asc',
    'sort_key=colour',
    'sort_key=name&sort_dir=up',
    'sort_key=tags&sort_dir=asc',
  ])('refused: %s', async (query) => {
    expect((await api.get(`/security-groups?${query}`, MEMBER)).status).toBe(400);
  });
});

describe('a query that says the same a thousand times takes no longer for it', () => {
  const VALUES: Readonly<Record<string, unknown>> = {
    tags: ['a'],
    fixed_ips: [{ subnet_id: 's', ip_address: '10.0.0.1' }],
    security_groups: ['g'],
    protocol: 'tcp',
    port_range_min: 1,
    port_range_max: 1,
  };

  /** How often the attributes of two equal objects are read. */
  const readsOf = (query: string, special: SpecialFilters): number => {
    let reads = 0;
    const value = (name: string): unknown => {
      reads++;
      return VALUES[name];
    };
    const items = ['1', '2'].map((id) => ({ id, value }));
    selected(items, readQuery(new URLSearchParams(query)), special);
    return reads;
  };
  const repeated = (text: string): string => Array<string>(1000).fill(text).join('&');

  it.each<[string, SpecialFilters]>([
    ['tags=a,b', TAG_FILTERS],
    ['tags-any=b,c', TAG_FILTERS],
    ['not-tags=a,b', TAG_FILTERS],
    ['not-tags-any=b,c', TAG_FILTERS],
    ['fixed_ips=subnet_id%3Dx', ports.filters ?? {}],
    ['security_group_ids=x', ports.filters ?? {}],
    ['protocol=udp', rules.filters ?? {}],
    ['port_range_min=2', rules.filters ?? {}],
    ['port_range_max=2', rules.filters ?? {}],
  ])('%s', (query, special) => {
    expect(readsOf(repeated(query), special)).toBe(2);
  });

  it('sort_key=name', () => {
    expect(readsOf(repeated('sort_key=name'), {})).toBe(2);
    expect(readsOf('sort_key=name&sort_key=port_range_min', {})).toBe(4);
  });
});

describe('pages', () => {
  /** All pages in a row, by the links; at most ten. */
  async function walk(first: string, rel: string): Promise<readonly unknown[]> {
    const seen: unknown[] = [];
    let path: string | undefined = first;
    for (let page = 0; page < 10 && path !== undefined; page++) {
      const answer = await api.get(path, MEMBER);
      const items = objects(answer, 'security_groups').map(({ name }) => name);
      if (rel === 'next') seen.push(...items);
      else seen.unshift(...items);
      const links = (answer.body['security_groups_links'] ?? []) as { rel: string; href: string }[];
      const href = links.find((link) => link.rel === rel)?.href;
      path = href === undefined ? undefined : new URL(href).pathname + new URL(href).search;
    }
    return seen;
  }

  const all = ['alpha', 'bravo', 'charlie', 'default', 'delta'];
  const sorted = '/v2.0/security-groups?sort_key=name&sort_dir=asc';

  it.each([1, 2, 3, 5, 6])('%i at a time: each object once, in order', async (limit) => {
    expect(await walk(`${sorted}&limit=${limit.toString()}`, 'next')).toEqual(all);
  });

  it('backwards too', async () => {
    const [last] = await list('name=delta');
    const query = `${sorted}&limit=2&marker=${idOf(last ?? {})}&page_reverse=True`;
    expect(await walk(query, 'previous')).toEqual(all.slice(0, 4));
  });

  it('0 is everything, without links; a marker without limit says nothing', async () => {
    const answer = await api.get('/security-groups?limit=0', MEMBER);
    expect(objects(answer, 'security_groups')).toHaveLength(5);
    expect(answer.body).not.toHaveProperty('security_groups_links');
    expect(await list('marker=nonsense')).toHaveLength(5);
  });

  it.each([
    ['limit=-1', 400],
    ['limit=x', 400],
    ['limit=1.5', 400],
    ['limit=1&marker=nonsense', 404],
  ])('refused: %s', async (query, status) => {
    expect((await api.get(`/security-groups?${query}`, MEMBER)).status).toBe(status);
  });

  it.each(['[', 'a b', '%', 'x:99999'])('of a list that was asked of Host %s have no addresses', async (host) => {
    const headers = { host, 'x-project-id': 'a' };
    const list = async (query: string): Promise<number> =>
      (await api.app.inject({ url: `/v2.0/security-groups${query}`, headers })).statusCode;
    expect([await list(''), await list('?limit=1')]).toEqual([200, 400]);
  });

  it('rules that the caller may not see leave no empty pages', async () => {
    const page = await api.get('/security-group-rules?limit=3', { project: 'b', roles: 'member' });
    expect(objects(page, 'security_group_rules')).toHaveLength(3);
  });
});

describe('the shapes of requests', () => {
  it.each<[string, unknown, string]>([
    ['not JSON', '{', 'MalformedRequestBody'],
    ['a list', '[]', 'HTTPBadRequest'],
    ['nothing', undefined, 'HTTPBadRequest'],
    ['another envelope', { group: {} }, 'HTTPBadRequest'],
    ['an envelope of text', { security_group: 'x' }, 'HTTPBadRequest'],
    ['null', 'null', 'HTTPBadRequest'],
  ])('%s', async (_what, body, type) => {
    const answer = await api.call('POST', '/security-groups', body);
    expect([answer.status, errorOf(answer).type]).toEqual([400, type]);
  });

  it('too much is refused as that', async () => {
    const answer = await api.call(
      'POST',
      '/security-groups',
      JSON.stringify({ security_group: { name: 'x'.repeat(5_000_000) } }),
    );
    expect(answer.status).toBe(413);
  });

  it('.json and a slash behind a path say nothing', async () => {
    expect((await api.get('/security-groups.json', MEMBER)).status).toBe(200);
    expect((await api.get('/security-groups/?name=alpha', MEMBER)).status).toBe(200);
  });

  it('.json at the end of a query is what is asked for', async () => {
    await api.group('alpha.json', {}, MEMBER);
    expect(await names('name=alpha.json')).toEqual(['alpha.json']);
    expect(await names('fields=name&name=bravo.json')).toEqual([]);
    const answer = await api.get('/security-groups.json?name=alpha.json', MEMBER);
    expect(objects(answer, 'security_groups')).toMatchObject([{ name: 'alpha.json' }]);
  });

  it('what is not there', async () => {
    expect((await api.get('/teapots')).status).toBe(404);
    expect((await api.get('/security-groups/web')).status).toBe(404);
    expect((await api.call('DELETE', '/security-groups')).status).toBe(404);
    expect((await api.get('/extensions/teapot')).status).toBe(404);
    const patch = await api.app.inject({ method: 'PATCH', url: '/v2.0/security-groups' });
    const head = await api.app.inject({ method: 'HEAD', url: '/v2.0/security-groups' });
    expect([patch.statusCode, head.statusCode]).toEqual([405, 405]);
  });

  it('every answer can be found in the log by its id', async () => {
    expect((await api.get('/security-groups')).headers['x-openstack-request-id']).toMatch(/^req-[0-9a-f-]{36}$/);
  });

  it('discovery', async () => {
    const root = (await api.app.inject('/')).json<{ versions: readonly { links: readonly { href: string }[] }[] }>();
    expect(root.versions[0]?.links[0]?.href).toMatch(/\/v2\.0\/$/);
    expect((await api.app.inject('/network')).json()).toMatchObject({
      versions: [{ links: [{ href: expect.stringMatching(/\/network\/v2\.0\/$/) as string }] }],
    });
    expect(objects(await api.get('/extensions'), 'extensions').length).toBeGreaterThan(30);
    expect((await api.get('/extensions/stateful-security-group')).status).toBe(200);
    expect(objects(await api.get('/'), 'resources').map(({ collection }) => collection)).toContain('security-groups');
  });
});
