/** Answers as two real Neutrons (21 and 26) gave them, where ours once differed. */
import { beforeEach, describe, expect, it } from 'vitest';
import { errorOf, idOf, MEMBER, objects, OTHER, READER, TestApi, type As, type Response } from '../../support/api.js';

type Fields = Readonly<Record<string, unknown>>;

let api: TestApi;
let network: string;
beforeEach(async () => {
  api = await TestApi.open();
  network = await api.subnetted(MEMBER);
});

const names = (response: Response): readonly unknown[] => objects(response, 'security_groups').map(({ name }) => name);

describe('the default group is there whenever anyone looks', () => {
  it.each<[string, As]>([
    ['a reader', { project: 'fresh', roles: 'reader' }],
    ['a member', { project: 'fresh', roles: 'member' }],
    ['an administrator', { project: 'fresh' }],
  ])('%s', async (_who, as) => {
    expect(names(await api.get('/security-groups?project_id=fresh', as))).toEqual(['default']);
    expect(objects(await api.get('/security-group-rules?tenant_id=fresh', as), 'security_group_rules')).toHaveLength(4);
  });

  it('an administrator who names other projects, and the next look makes no second one', async () => {
    const path = '/security-groups?project_id=p1&tenant_id=p1';
    for (let look = 0; look < 2; look++) expect(names(await api.get(path))).toEqual(['default']);
    expect(names(await api.get('/security-groups?project_id=p2'))).toEqual(['default']);
  });

  it('a member does not make another project’s', async () => {
    const before = [...api.database.view.all('default_security_group')].length;
    await api.get('/security-groups?project_id=elsewhere', MEMBER);
    expect([...api.database.view.all('default_security_group')]).toHaveLength(before);
  });
});

describe('lists', () => {
  const ofGroups = async (query: string): Promise<Response> => api.get(`/security-groups?${query}`, MEMBER);

  it('pages begin after their marker also where the filter does not let it pass', async () => {
    for (const name of ['a', 'c', 'a', 'e']) await api.group(name, {}, MEMBER);
    const [c] = objects(await ofGroups('name=c'), 'security_groups');
    const page = `limit=5&sort_key=name&sort_dir=asc&marker=${idOf(c ?? {})}`;
    expect(names(await ofGroups(`name=a&${page}`))).toEqual([]);
    expect(names(await ofGroups(page))).toEqual(['default', 'e']);
    expect(names(await ofGroups(`name=a&${page}&page_reverse=True`))).toEqual(['a', 'a']);
    expect((await ofGroups('limit=1&marker=bogus')).status).toBe(404);
    expect((await ofGroups('marker=bogus')).status).toBe(200);
  });

  it('from an empty last page one goes back', async () => {
    const link = (response: Response, rel: string): string => {
      const links = (response.body['security_groups_links'] ?? []) as readonly { rel: string; href: string }[];
      return new URL(links.find((one) => one.rel === rel)?.href ?? 'http://none/none').href.replace(
        /^http:\/\/[^/]+/,
        '',
      );
    };
    await api.group('x', {}, MEMBER);
    const forth: unknown[] = [];
    let page = await ofGroups('limit=1&sort_key=name&sort_dir=asc');
    while (objects(page, 'security_groups').length > 0) {
      forth.push(...names(page));
      page = await api.get(link(page, 'next'), MEMBER);
    }
    expect(link(page, 'next')).toBe('/none');
    const back: unknown[] = [];
    while (back.length < forth.length) {
      page = await api.get(link(page, 'previous'), MEMBER);
      back.push(...names(page));
    }
    expect(back.toReversed()).toEqual(forth);
  });

  it.each<[string, number, string]>([
    ['/security-groups?stateful=banana', 400, 'HTTPBadRequest'],
    ['/security-groups?shared=banana', 400, 'InvalidInput'],
    ['/ports?admin_state_up=x', 400, 'InvalidInput'],
    ['/security-group-rules?protocol=', 400, 'SecurityGroupRuleInvalidProtocol'],
    ['/security-group-rules?port_range_min=', 400, 'SecurityGroupInvalidPortValue'],
  ])('a value that the attribute cannot have: %s', async (path, status, type) => {
    await api.port(network, {}, MEMBER);
    await api.group('x', {}, MEMBER);
    const answer = await api.get(path, MEMBER);
    expect([answer.status, errorOf(answer).type]).toEqual([status, type]);
  });

  it.each<[string, number]>([
    ['protocol=TCP', 1],
    ['ethertype=ipv6', 1],
    ['protocol=null', 3],
    ['remote_group_id=', 0],
    ['remote_ip_prefix=', 0],
    // What the API made itself has none; what was made without one has an empty one.
    ['description=', 2],
  ])('rules ?%s', async (query, count) => {
    const group = await api.group('g', {}, MEMBER);
    await api.rule(group, { protocol: 'tcp' }, MEMBER);
    await api.rule(group, { remote_group_id: group }, MEMBER);
    const found = await api.get(`/security-group-rules?security_group_id=${group}&${query}`, MEMBER);
    expect(objects(found, 'security_group_rules')).toHaveLength(count);
  });

  it('ports by their MAC in any form, subnets by whether they are shared', async () => {
    const mac = 'fa:16:3e:00:00:0a';
    await api.port(network, { mac_address: mac }, MEMBER);
    for (const text of [mac, mac.toUpperCase(), 'FA-16-3E-00-00-0A']) {
      expect(objects(await api.get(`/ports?mac_address=${text}`, MEMBER), 'ports')).toHaveLength(1);
    }
    const open = await api.network({ shared: true });
    await api.make('/subnets', 'subnet', { network_id: open, cidr: '10.5.0.0/24' });
    for (const [shared, cidr] of [
      ['True', '10.5.0.0/24'],
      ['False', '10.0.0.0/24'],
    ] as const) {
      const [subnet, ...others] = objects(await api.get(`/subnets?shared=${shared}`, MEMBER), 'subnets');
      expect([subnet?.['cidr'], others, Object.hasOwn(subnet ?? {}, 'shared')]).toEqual([cidr, [], false]);
    }
  });

  it('ports by their addresses: of each key one value, and all keys', async () => {
    const at = async (address: string): Promise<string> =>
      idOf(await api.port(network, { fixed_ips: [{ ip_address: address }] }, MEMBER));
    const [first, second] = [await at('10.0.0.21'), await at('10.0.0.22')];
    const [subnet] = objects(await api.get(`/subnets?network_id=${network}`, MEMBER), 'subnets');
    const within = `subnet_id%3D${idOf(subnet ?? {})}`;
    const found = async (...wanted: readonly string[]): Promise<readonly string[]> =>
      objects(await api.get(`/ports?${wanted.map((one) => `fixed_ips=${one}`).join('&')}`, MEMBER), 'ports').map(idOf);
    expect(await found(within, 'ip_address%3D10.0.0.21')).toEqual([first]);
    expect(await found(within, 'ip_address_substr%3D.22')).toEqual([second]);
    expect(await found('ip_address%3D10.0.0.21', 'ip_address%3D10.0.0.22')).toEqual([first, second].sort());
    expect(await found('subnet_id%3Dx', 'ip_address%3D10.0.0.21')).toEqual([]);
  });

  it('a long path is not found, and not too long', async () => {
    expect((await api.get(`/security-groups/${'x'.repeat(3000)}`)).status).toBe(404);
  });
});

describe('ports', () => {
  const post = async (fields: Fields): Promise<Response> =>
    api.call('POST', '/ports', { port: { network_id: network, ...fields } }, MEMBER);
  const ips = (...addresses: readonly string[]): Fields => ({
    fixed_ips: addresses.map((address) => ({ ip_address: address })),
  });

  it.each(['10.0.0.0', '10.0.0.255'])('%s is nobody’s', async (address) => {
    const answer = await post(ips(address));
    expect([answer.status, errorOf(answer).type]).toEqual([400, 'InvalidIpForNetwork']);
  });

  it('a small subnet has no addresses that are nobody’s', async () => {
    const small = await api.network({}, MEMBER);
    await api.make('/subnets', 'subnet', { network_id: small, cidr: '10.7.0.0/31', gateway_ip: null }, MEMBER);
    for (const address of ['10.7.0.0', '10.7.0.1']) await api.port(small, ips(address), MEMBER);
  });

  it('more than five addresses are refused', async () => {
    const answer = await post(ips('10.0.0.11', '10.0.0.12', '10.0.0.13', '10.0.0.14', '10.0.0.15', '10.0.0.16'));
    expect(answer.status).toBe(400);
  });

  it('another address of the same subnet is added; a subnet alone keeps the address', async () => {
    const [subnet] = objects(await api.get('/subnets', MEMBER), 'subnets');
    const id = idOf(subnet ?? {});
    const port = await api.port(network, {}, MEMBER);
    const first = port['fixed_ips'] as readonly Fields[];
    const put = async (wanted: readonly Fields[]): Promise<readonly Fields[]> => {
      const { body } = await api.call('PUT', `/ports/${idOf(port)}`, { port: { fixed_ips: wanted } }, MEMBER);
      return (body['port'] as Fields)['fixed_ips'] as readonly Fields[];
    };
    const two = await put([...first, { subnet_id: id }]);
    expect([two.length, two[0]]).toEqual([2, first[0]]);
    expect(await put([{ subnet_id: id }, { subnet_id: id }])).toEqual(two);
    expect(await put([{ subnet_id: id }])).toEqual(first);
  });

  it('null for a MAC gives one, and gives another one', async () => {
    const made = (await post({ mac_address: null })).body['port'] as Fields;
    const before = made['mac_address'];
    const put = await api.call('PUT', `/ports/${String(made['id'])}`, { port: { mac_address: null } });
    const after = (put.body['port'] as Fields)['mac_address'];
    expect([put.status, typeof after, after === before]).toEqual([200, 'string', false]);
  });

  it('takes vdpa for a kind of card', async () => {
    expect((await post({ 'binding:vnic_type': 'vdpa' })).status).toBe(201);
  });

  it('an owner that is trusted for a while costs no groups', async () => {
    const group = await api.group('web', {}, MEMBER);
    const port = idOf(await api.port(network, { security_groups: [group] }, MEMBER));
    for (const owner of ['network:dhcp', 'compute:nova']) {
      const { body } = await api.call('PUT', `/ports/${port}`, { port: { device_owner: owner } }, MEMBER);
      expect(body['port']).toMatchObject({
        port_security_enabled: true,
        security_groups: [group],
        device_owner: owner,
      });
    }
  });
});

describe('rules', () => {
  it.each([
    ['10.0.0.0/255.0.0.0', '10.0.0.0/8'],
    ['10.0.0.0/0.255.255.255', '10.0.0.0/8'],
    ['10.0.0.0/08', '10.0.0.0/8'],
    ['10.1.2.3/255.255.255.255', '10.1.2.3/32'],
  ])('a prefix %s is %s', async (given, stored) => {
    const group = await api.group('g', {}, MEMBER);
    expect((await api.rule(group, { remote_ip_prefix: given }, MEMBER))['remote_ip_prefix']).toBe(stored);
  });

  it.each(['10.0.0.0/255.0.255.0', '10.0.0.0/33', '10.0.0.0/ffff::', '10.0.0.0/8/8', '10.0.0.0/'])(
    '%s is none',
    async (prefix) => {
      const group = await api.group('g', {}, MEMBER);
      const rule = { security_group_id: group, direction: 'ingress', remote_ip_prefix: prefix };
      expect((await api.call('POST', '/security-group-rules', { security_group_rule: rule }, MEMBER)).status).toBe(400);
    },
  );

  it('all ports of no protocol are no condition', async () => {
    const group = await api.group('g', {}, MEMBER);
    const rule = await api.rule(group, { port_range_min: 1, port_range_max: 65_535 }, MEMBER);
    expect(rule).toMatchObject({ protocol: null, port_range_min: null, port_range_max: null });
  });
});

it('text is counted in characters, and what is no Unicode is refused', async () => {
  const most = '🔥'.repeat(255);
  expect((await api.make('/security-groups', 'security_group', { name: most }))['name']).toBe(most);
  for (const name of [`${most}x`, 'a\ud800b', '\udc00', 'a\0b']) {
    for (const path of ['security_group', 'network', 'port']) {
      const body = { [path]: { name, ...(path === 'port' ? { network_id: network } : {}) } };
      const plural = path.replace('_', '-');
      expect((await api.call('POST', `/${plural}s`, body)).status).toBe(400);
    }
  }
});

it('groups in a bulk may be wrapped like a single one', async () => {
  const body = { security_groups: [{ security_group: { name: 'x' } }, { name: 'y' }] };
  expect(names(await api.call('POST', '/security-groups', body, MEMBER))).toEqual(['x', 'y']);
});

describe('quotas', () => {
  it('are set below what is used unless a check is asked for', async () => {
    for (const name of ['x', 'y']) await api.group(name, {}, MEMBER);
    const put = async (quota: Fields): Promise<number> => (await api.call('PUT', '/quotas/a', { quota })).status;
    expect(await put({ security_group: 1, check_limit: true })).toBe(400);
    expect(await put({ security_group: 1 })).toBe(200);
    const extensions = objects(await api.get('/extensions'), 'extensions').map(({ alias }) => alias);
    expect(extensions).not.toContain('quota-check-limit-default');
  });

  it('address groups are limited in number and in addresses, as one body or bit by bit', async () => {
    const group = idOf(await api.make('/address-groups', 'address_group', {}, MEMBER));
    const addresses = (from: number): readonly string[] =>
      Array.from(
        { length: 50_000 },
        (_, n) => `10.${from.toString()}.${(n >> 8).toString()}.${(n & 255).toString()}/32`,
      );
    const add = async (from: number): Promise<number> =>
      (await api.call('PUT', `/address-groups/${group}/add_addresses`, { addresses: addresses(from) }, MEMBER)).status;
    expect([await add(1), await add(2), await add(3)]).toEqual([200, 200, 409]);
    for (let number = 1; number < 100; number++) await api.make('/address-groups', 'address_group', {}, MEMBER);
    expect((await api.call('POST', '/address-groups', { address_group: {} }, MEMBER)).status).toBe(409);
    expect((await api.call('POST', '/address-groups', { address_group: {} }, OTHER)).status).toBe(201);
  });
});

describe('networks', () => {
  it('are shared by policies, seen with their subnets, used, and stay shared while they are used', async () => {
    const fields = { object_type: 'network', object_id: network, action: 'access_as_shared', target_tenant: 'b' };
    const policy = await api.make('/rbac-policies', 'rbac_policy', fields, MEMBER);
    expect((await api.get(`/networks/${network}`, OTHER)).body['network']).toMatchObject({ shared: true });
    expect(objects(await api.get(`/subnets?network_id=${network}`, OTHER), 'subnets')).toHaveLength(1);
    expect((await api.call('PUT', `/networks/${network}`, { network: { name: 'x' } }, OTHER)).status).toBe(403);
    const port = await api.port(network, {}, OTHER);
    const remove = async (): Promise<number> =>
      (await api.call('DELETE', `/rbac-policies/${idOf(policy)}`, undefined, MEMBER)).status;
    expect(await remove()).toBe(409);
    await api.call('DELETE', `/ports/${idOf(port)}`, undefined, OTHER);
    expect(await remove()).toBe(204);
    expect((await api.get(`/networks/${network}`, OTHER)).status).toBe(404);
    expect((await api.get(`/networks/${network}`, { project: 'c', roles: 'member' })).status).toBe(404);
  });

  it('have an MTU of 68 to 1500', async () => {
    for (const [mtu, status] of [
      [67, 400],
      [68, 201],
      [1500, 201],
      [1501, 400],
    ] as const) {
      expect((await api.call('POST', '/networks', { network: { mtu } }, MEMBER)).status).toBe(status);
    }
  });
});

it('a shared address group that one may not change is not found by a change, and seen by a reader', async () => {
  const group = idOf(await api.make('/address-groups', 'address_group', {}, MEMBER));
  const fields = { object_type: 'address_group', object_id: group, action: 'access_as_shared', target_tenant: 'b' };
  const policy = await api.make('/rbac-policies', 'rbac_policy', fields, MEMBER);
  expect(policy).not.toHaveProperty('target_project');
  expect((await api.get(`/address-groups/${group}`, OTHER)).status).toBe(200);
  expect((await api.call('PUT', `/address-groups/${group}`, { address_group: { name: 'x' } }, OTHER)).status).toBe(404);
  expect((await api.call('PUT', `/address-groups/${group}`, { address_group: { name: 'x' } }, READER)).status).toBe(
    403,
  );
});
