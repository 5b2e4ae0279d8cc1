/** Networks, subnets and ports. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  errorOf,
  idOf,
  MEMBER,
  objects,
  OTHER,
  TestApi,
  type Answer,
  type As,
  type Response,
} from '../../support/api.js';

type Fields = Readonly<Record<string, unknown>>;

let api: TestApi;
let network: string;
beforeEach(async () => {
  api = await TestApi.open();
  network = await api.subnetted(MEMBER);
});

const post = async (fields: Fields, as?: As): Promise<Response> =>
  api.call('POST', '/ports', { port: { network_id: network, ...fields } }, as);
const put = async (port: Answer, fields: Fields, as?: As): Promise<Response> =>
  api.call('PUT', `/ports/${idOf(port)}`, { port: fields }, as);
const show = async (port: Answer): Promise<Answer> => (await api.get(`/ports/${idOf(port)}`)).body['port'] as Answer;

describe('groups of a port', () => {
  it('the project’s default, when none are named', async () => {
    const port = await api.port(network, {}, MEMBER);
    const [group] = objects(await api.get('/security-groups?name=default', MEMBER), 'security_groups');
    expect(port['security_groups']).toEqual([group?.['id']]);
  });

  it.each([[[]], [null]])('%j: none', async (groups) => {
    expect((await api.port(network, { security_groups: groups }, MEMBER))['security_groups']).toEqual([]);
  });

  it('named, replaced, left as they are', async () => {
    const [web, database] = [await api.group('web', {}, MEMBER), await api.group('database', {}, MEMBER)];
    const port = await api.port(network, { security_groups: [web] }, MEMBER);
    expect(port['revision_number']).toBe(1);
    const both = (await put(port, { security_groups: [database, web] }, MEMBER)).body['port'];
    expect(both).toMatchObject({ security_groups: [database, web], revision_number: 2 });
    expect((await put(port, { name: 'x' }, MEMBER)).body['port']).toMatchObject({ security_groups: [database, web] });
  });

  it('refused, and then as before', async () => {
    const web = await api.group('web', {}, MEMBER);
    const fast = await api.group('fast', { stateful: false }, MEMBER);
    const foreign = await api.group('foreign', {}, OTHER);
    const port = await api.port(network, { security_groups: [web] }, MEMBER);
    for (const [groups, status, type] of [
      [[web, web], 400, 'HTTPBadRequest'],
      [['web'], 400, 'HTTPBadRequest'],
      ['web', 400, 'HTTPBadRequest'],
      [[network], 404, 'SecurityGroupNotFound'],
      [[foreign], 404, 'SecurityGroupNotFound'],
      [[web, fast], 409, 'SecurityGroupConflict'],
    ] as const) {
      const answer = await put(port, { security_groups: groups }, MEMBER);
      expect([groups, answer.status, errorOf(answer).type]).toEqual([groups, status, type]);
      expect((await post({ security_groups: groups }, MEMBER)).status).toBe(status);
    }
    expect(await show(port)).toMatchObject({ security_groups: [web], revision_number: 1 });
    expect((await put(port, { security_groups: [fast] }, MEMBER)).status).toBe(200);
    expect((await put(port, { security_groups: [foreign] })).status).toBe(200);
  });
});

describe('port security', () => {
  const types = async (answer: Promise<Response>): Promise<unknown> => {
    const response = await answer;
    return response.status < 300 ? response.status : [response.status, errorOf(response).type];
  };
  const needed = [400, 'PortSecurityAndIPRequiredForSecurityGroups'];

  it('off: no groups, no pairs', async () => {
    const web = await api.group('web');
    expect((await api.port(network, { port_security_enabled: false }))['security_groups']).toEqual([]);
    expect(await types(post({ port_security_enabled: false, security_groups: [web] }))).toEqual(needed);
    const pairs = [{ ip_address: '10.0.0.9' }];
    expect(await types(post({ port_security_enabled: false, allowed_address_pairs: pairs }))).toEqual([
      409,
      'AddressPairAndPortSecurityRequired',
    ]);
  });

  it('switched: first without groups; on again with none', async () => {
    const web = await api.group('web');
    const port = await api.port(network, {
      security_groups: [web],
      allowed_address_pairs: [{ ip_address: '10.0.0.9' }],
    });
    expect(await types(put(port, { port_security_enabled: false }))).toEqual([409, 'PortSecurityPortHasSecurityGroup']);
    expect(await types(put(port, { port_security_enabled: false, security_groups: [] }))).toEqual([
      409,
      'AddressPairAndPortSecurityRequired',
    ]);
    expect(
      await types(put(port, { port_security_enabled: false, security_groups: [], allowed_address_pairs: [] })),
    ).toBe(200);
    expect(await types(put(port, { security_groups: [web] }))).toEqual(needed);
    expect(await types(put(port, { port_security_enabled: true }))).toBe(200);
    expect(await show(port)).toMatchObject({ port_security_enabled: true, security_groups: [] });
  });

  it('of the network, unless the port says', async () => {
    await api.call('PUT', `/networks/${network}`, { network: { port_security_enabled: false } }, MEMBER);
    expect(await api.port(network, {}, MEMBER)).toMatchObject({ port_security_enabled: false, security_groups: [] });
    expect(await api.port(network, { port_security_enabled: true }, MEMBER)).toMatchObject({
      port_security_enabled: true,
    });
    const web = await api.group('web', {}, MEMBER);
    expect(await api.port(network, { security_groups: [web] }, MEMBER)).toMatchObject({ port_security_enabled: true });
  });

  it('of trusted owners is off; only the network’s owner may make one (CVE-2015-5240)', async () => {
    expect(await api.port(network, { device_owner: 'network:dhcp' }, MEMBER)).toMatchObject({
      port_security_enabled: false,
      security_groups: [],
    });
    const shared = await api.network({ shared: true }, { project: 'admins' });
    const body = { port: { network_id: shared, device_owner: 'network:dhcp' } };
    expect((await api.call('POST', '/ports', body, MEMBER)).status).toBe(403);
    const port = await api.port(shared, {}, MEMBER);
    expect((await put(port, { device_owner: 'network:x' }, MEMBER)).status).toBe(403);
    for (const fields of [{ port_security_enabled: false }, { allowed_address_pairs: [{ ip_address: '10.0.0.1' }] }]) {
      expect((await put(port, fields, MEMBER)).status).toBe(403);
      expect((await api.call('POST', '/ports', { port: { network_id: shared, ...fields } }, MEMBER)).status).toBe(403);
    }
  });
});

describe('allowed address pairs', () => {
  it('keep what was written, with the port’s own MAC', async () => {
    const port = await api.port(network, {
      allowed_address_pairs: [
        { ip_address: '10.0.0.5/24' },
        { ip_address: '2001:db8::/64', mac_address: 'FA-16-3E-00-00-01' },
      ],
    });
    expect(port['allowed_address_pairs']).toEqual([
      { ip_address: '10.0.0.5/24', mac_address: port['mac_address'] },
      { ip_address: '2001:db8::/64', mac_address: 'fa:16:3e:00:00:01' },
    ]);
    expect((await put(port, { allowed_address_pairs: null })).body['port']).toMatchObject({
      allowed_address_pairs: [],
    });
  });

  it.each<[string, unknown, string]>([
    ['a dictionary', { ip_address: '10.0.0.1' }, 'HTTPBadRequest'],
    ['no address', [{ mac_address: 'fa:16:3e:00:00:01' }], 'AllowedAddressPairsMissingIP'],
    ['null', [{ ip_address: null }], 'HTTPBadRequest'],
    ['leading zeros', [{ ip_address: '010.0.0.1' }], 'HTTPBadRequest'],
    ['another key', [{ ip_address: '10.0.0.1', port: 1 }], 'HTTPBadRequest'],
    ['a broadcast MAC', [{ ip_address: '10.0.0.1', mac_address: 'ff:ff:ff:ff:ff:ff' }], 'HTTPBadRequest'],
    ['a MAC of zeros', [{ ip_address: '10.0.0.1', mac_address: '00:00:00:00:00:00' }], 'HTTPBadRequest'],
    ['a multicast address', [{ ip_address: '224.0.0.1' }], 'HTTPBadRequest'],
    ['twice', [{ ip_address: '10.0.0.1' }, { ip_address: '10.0.0.1' }], 'DuplicateAddressPairInRequest'],
    [
      'the eleventh',
      Array.from({ length: 11 }, (_none, n) => ({ ip_address: `10.0.1.${n.toString()}` })),
      'AllowedAddressPairExhausted',
    ],
  ])('refused: %s', async (_what, pairs, type) => {
    const answer = await post({ allowed_address_pairs: pairs });
    expect([answer.status, errorOf(answer).type]).toEqual([400, type]);
  });

  it.each(['0.0.0.0/0', '::/0', '127.0.0.0/8', 'fe80::1', '10.0.0.1/32'])('taken: %s', async (address) => {
    expect((await post({ allowed_address_pairs: [{ ip_address: address }] })).status).toBe(201);
  });
});

describe('addresses', () => {
  it('one of each family, and of each SLAAC subnet its own', async () => {
    const both = await api.network();
    for (const subnet of [
      { cidr: '10.1.0.0/24' },
      { cidr: 'fd00:1::/64', ip_version: 6 },
      { cidr: 'fd00:2::/64', ip_version: 6, ipv6_address_mode: 'slaac', ipv6_ra_mode: 'slaac' },
    ]) {
      await api.make('/subnets', 'subnet', { network_id: both, ...subnet });
    }
    const port = await api.port(both, { mac_address: 'fa:16:3e:aa:bb:cc' });
    expect((port['fixed_ips'] as Fields[]).map(({ ip_address: address }) => address)).toEqual([
      '10.1.0.2',
      'fd00:1::2',
      'fd00:2::f816:3eff:feaa:bbcc',
    ]);
    expect(((await api.get(`/networks/${both}`)).body['network'] as Fields)['subnets']).toHaveLength(3);
  });

  it('that somebody chose for a port is not given to another one by its MAC', async () => {
    const mac = 'fa:16:3e:aa:bb:cc';
    const slaac = await api.network();
    const automatic = { cidr: 'fd00:2::/64', ip_version: 6, ipv6_address_mode: 'slaac', ipv6_ra_mode: 'slaac' };
    const subnet = idOf(await api.make('/subnets', 'subnet', { network_id: slaac, ...automatic }));
    const chosen = [{ subnet_id: subnet, ip_address: 'fd00:2::f816:3eff:feaa:bbcc' }];
    const first = idOf(await api.port(slaac, { fixed_ips: chosen }));
    for (const more of [{}, { fixed_ips: [{ subnet_id: subnet }] }]) {
      const port = { network_id: slaac, mac_address: mac, ...more };
      const answer = await api.call('POST', '/ports', { port });
      expect([answer.status, errorOf(answer).type]).toEqual([409, 'IpAddressAlreadyAllocated']);
    }
    await api.call('DELETE', `/ports/${first}`);
    expect((await api.port(slaac, { mac_address: mac }))['fixed_ips']).toEqual(chosen);
  });

  it('asked for: by address, by subnet, none', async () => {
    const [subnet] = objects(await api.get(`/subnets?network_id=${network}`), 'subnets');
    const id = subnet?.['id'];
    expect(subnet).toMatchObject({
      gateway_ip: '10.0.0.1',
      allocation_pools: [{ start: '10.0.0.2', end: '10.0.0.254' }],
    });
    expect((await api.port(network, { fixed_ips: [{ ip_address: '10.0.0.77' }] }))['fixed_ips']).toEqual([
      { subnet_id: id, ip_address: '10.0.0.77' },
    ]);
    expect((await api.port(network, { fixed_ips: [{ subnet_id: id }, { subnet_id: id }] }))['fixed_ips']).toHaveLength(
      2,
    );
    expect((await api.port(network, { fixed_ips: [] }))['fixed_ips']).toEqual([]);
    for (const [ips, status, type] of [
      [[{ ip_address: '10.0.0.77' }], 409, 'IpAddressAlreadyAllocated'],
      [[{ ip_address: '10.9.0.1' }], 400, 'InvalidIpForNetwork'],
      [[{ subnet_id: id, ip_address: '10.9.0.1' }], 400, 'InvalidIpForSubnet'],
      [[{ subnet_id: network }], 400, 'InvalidInput'],
      [[{ ip_address: 'x' }], 400, 'InvalidIpForNetwork'],
      [[{}], 400, 'InvalidInput'],
      [['10.0.0.1'], 400, 'HTTPBadRequest'],
    ] as const) {
      const answer = await post({ fixed_ips: ips });
      expect([answer.status, errorOf(answer).type]).toEqual([status, type]);
    }
  });

  it('are given in turn, each to one port, until there are none', async () => {
    const small = await api.network();
    await api.make('/subnets', 'subnet', { network_id: small, cidr: '10.2.0.0/29' });
    const ports = await Promise.all(Array.from({ length: 5 }, async () => api.port(small)));
    const addresses = ports.map((port) => (port['fixed_ips'] as Fields[])[0]?.['ip_address']).sort();
    expect(addresses).toEqual(['10.2.0.2', '10.2.0.3', '10.2.0.4', '10.2.0.5', '10.2.0.6']);
    const full = await api.call('POST', '/ports', { port: { network_id: small } });
    expect([full.status, errorOf(full).type]).toEqual([409, 'IpAddressGenerationFailure']);
    await api.call('DELETE', `/ports/${idOf(ports[2] ?? {})}`);
    expect((await api.call('POST', '/ports', { port: { network_id: small } })).status).toBe(201);
  });

  it('are the port’s until it changes them', async () => {
    const port = await api.port(network, { fixed_ips: [{ ip_address: '10.0.0.50' }] });
    const changed = await put(port, { fixed_ips: [{ ip_address: '10.0.0.50' }, { ip_address: '10.0.0.51' }] });
    expect((changed.body['port'] as Fields)['fixed_ips']).toHaveLength(2);
    expect((await put(port, { fixed_ips: [{ ip_address: '10.0.0.51' }] })).status).toBe(200);
    expect((await post({ fixed_ips: [{ ip_address: '10.0.0.50' }] })).status).toBe(201);
  });

  it('a MAC belongs to one port of a network', async () => {
    const port = await api.port(network, { mac_address: 'fa:16:3e:00:00:01' });
    const twice = await post({ mac_address: 'FA:16:3E:00:00:01' });
    expect([twice.status, errorOf(twice).type]).toEqual([409, 'MacAddressInUse']);
    expect((await put(port, { mac_address: 'fa:16:3e:00:00:02' }, OTHER)).status).toBe(404);
    const own = await api.port(network, {}, MEMBER);
    expect((await put(own, { mac_address: 'fa:16:3e:00:00:02' }, MEMBER)).status).toBe(403);
    expect((await put(own, { mac_address: 'fa:16:3e:00:00:02' })).status).toBe(200);
  });
});

it('what is in use stays', async () => {
  const port = await api.port(network);
  const [subnet] = objects(await api.get(`/subnets?network_id=${network}`), 'subnets');
  expect(errorOf(await api.call('DELETE', `/networks/${network}`)).type).toBe('NetworkInUse');
  expect(errorOf(await api.call('DELETE', `/subnets/${idOf(subnet ?? {})}`)).type).toBe('SubnetInUse');
  await api.call('DELETE', `/ports/${idOf(port)}`);
  expect((await api.call('DELETE', `/subnets/${idOf(subnet ?? {})}`)).status).toBe(204);
  expect((await api.call('DELETE', `/networks/${network}`)).status).toBe(204);
});

it.each<[string, Fields]>([
  ['no prefix', { cidr: 'x' }],
  ['everything', { cidr: '0.0.0.0/0' }],
  ['the other family', { cidr: '10.5.0.0/24', ip_version: 6 }],
  ['one that overlaps', { cidr: '10.0.0.128/25' }],
  ['a gateway of the other family', { cidr: '10.5.0.0/24', gateway_ip: 'fd00::1' }],
  ['a pool outside', { cidr: '10.5.0.0/24', allocation_pools: [{ start: '10.6.0.1', end: '10.6.0.2' }] }],
  ['a mode of IPv6', { cidr: '10.5.0.0/24', ipv6_ra_mode: 'slaac' }],
  ['SLAAC with a length', { cidr: 'fd00::/65', ip_version: 6, ipv6_address_mode: 'slaac' }],
])('a subnet is refused: %s', async (_what, fields) => {
  expect((await api.call('POST', '/subnets', { subnet: { network_id: network, ...fields } })).status).toBe(400);
});

it('where a port is bound, administrators say, and see', async () => {
  expect((await post({ 'binding:host_id': 'h1' }, MEMBER)).status).toBe(403);
  const port = await api.port(network, { 'binding:host_id': 'h1' }, { project: 'a' });
  expect(port).toMatchObject({ 'binding:host_id': 'h1', status: 'ACTIVE', 'binding:vif_type': 'tap' });
  const seen = (await api.get(`/ports/${idOf(port)}`, MEMBER)).body['port'] as Fields;
  expect(Object.keys(seen).filter((name) => name.startsWith('binding:'))).toEqual(['binding:vnic_type']);
  expect(objects(await api.get('/ports?binding:host_id=h1'), 'ports').map(idOf)).toEqual([idOf(port)]);
  expect((await api.get('/ports?binding:host_id=h1', MEMBER)).status).toBe(400);
});

it('ports are found by what they have', async () => {
  const web = await api.group('web');
  const port = await api.port(network, {
    name: 'x',
    device_id: 'vm',
    security_groups: [web],
    fixed_ips: [{ ip_address: '10.0.0.77' }],
  });
  await api.port(network, { security_groups: [] });
  const found = async (query: string): Promise<readonly string[]> =>
    objects(await api.get(`/ports?${query}`), 'ports').map(idOf);
  for (const query of [
    'name=x',
    'device_id=vm',
    `security_groups=${web}`,
    `security_groups=${network}&security_groups=${web}`,
    'fixed_ips=ip_address%3D10.0.0.77',
    'fixed_ips=ip_address_substr%3D.77',
    `mac_address=${String(port['mac_address'])}`,
    `network_id=${network}&name=x`,
    `id=${idOf(port)}&id=${network}`,
  ]) {
    expect([query, await found(query)]).toEqual([query, [idOf(port)]]);
  }
  expect(await found('device_id=')).toHaveLength(1);
  expect((await api.get('/ports?fixed_ips=nonsense')).status).toBe(400);
});

describe('DHCP options and profiles', () => {
  it('options are set by name, stay when others are set, and go with null', async () => {
    const api = await TestApi.open();
    const network = await api.subnetted();
    const options = [
      { opt_name: 'bootfile-name', opt_value: 'a' },
      { opt_name: 'server-ip-address', opt_value: '1.2.3.4', ip_version: '4' },
    ];
    const port = idOf(await api.port(network, { extra_dhcp_opts: options }));
    const put = async (given: unknown): Promise<unknown> => {
      const answer = await api.call('PUT', `/ports/${port}`, { port: { extra_dhcp_opts: given } });
      return (answer.body['port'] as Answer)['extra_dhcp_opts'];
    };
    expect(
      await put([
        { opt_name: 'bootfile-name', opt_value: null },
        { opt_name: 'tftp-server', opt_value: 'b', ip_version: 6 },
      ]),
    ).toEqual([
      { opt_name: 'server-ip-address', opt_value: '1.2.3.4', ip_version: 4 },
      { opt_name: 'tftp-server', opt_value: 'b', ip_version: 6 },
    ]);
    expect(await put([])).toHaveLength(2);
  });

  it.each<[string, object]>([
    ['an option without a name', { extra_dhcp_opts: [{ opt_value: 'x' }] }],
    ['an option without a value', { extra_dhcp_opts: [{ opt_name: 'x' }] }],
    ['an empty name', { extra_dhcp_opts: [{ opt_name: ' ', opt_value: 'x' }] }],
    ['an empty value', { extra_dhcp_opts: [{ opt_name: 'x', opt_value: '' }] }],
    ['a long name', { extra_dhcp_opts: [{ opt_name: 'x'.repeat(65), opt_value: 'x' }] }],
    ['a long value', { extra_dhcp_opts: [{ opt_name: 'x', opt_value: 'x'.repeat(256) }] }],
    ['a list as a value', { extra_dhcp_opts: [{ opt_name: 'x', opt_value: ['x'] }] }],
    ['a version', { extra_dhcp_opts: [{ opt_name: 'x', opt_value: 'x', ip_version: 5 }] }],
    ['another key', { extra_dhcp_opts: [{ opt_name: 'x', opt_value: 'x', extra: 'x' }] }],
    [
      'many options',
      { extra_dhcp_opts: Array.from({ length: 21 }, (_, n) => ({ opt_name: `o${n.toString()}`, opt_value: 'x' })) },
    ],
    ['a profile of megabytes', { 'binding:profile': { x: 'x'.repeat(1_000_000) } }],
  ])('refused, and nothing is stored: %s', async (_what, fields) => {
    const api = await TestApi.open();
    const network = await api.subnetted();
    const before = api.database.revision;
    const answer = await api.call('POST', '/ports', { port: { network_id: network, ...fields } });
    expect(answer.status).toBe(400);
    expect(api.database.revision).toBe(before);
  });
});
