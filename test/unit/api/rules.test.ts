/** Rules: what is taken, what is refused, and how. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { recordsOf } from '../../../src/api/import.js';
import { topologyDocument } from '../../../src/api/topology/lines.js';
import { parseTopology } from '../../../compiler/model/index.js';
import { errorOf, idOf, MEMBER, objects, OTHER, TestApi, type Answer } from '../../support/api.js';

const NO_GROUP = '00000000-0000-4000-8000-000000000000';

let api: TestApi;
let group: string;
beforeEach(async () => {
  api = await TestApi.open();
  group = await api.group('web');
});

type Fields = Readonly<Record<string, unknown>>;

const post = async (fields: Fields): ReturnType<TestApi['call']> =>
  api.call('POST', '/security-group-rules', {
    security_group_rule: { security_group_id: group, direction: 'ingress', ...fields },
  });

describe('taken', () => {
  it.each<[string, Fields, Fields]>([
    [
      'nothing but a direction',
      {},
      { ethertype: 'IPv4', protocol: null, port_range_min: null, remote_ip_prefix: null },
    ],
    ['a name in any case', { protocol: 'TCP' }, { protocol: 'tcp' }],
    ['a number, kept as one', { protocol: 6 }, { protocol: '6' }],
    ['a number as text', { protocol: '112' }, { protocol: '112' }],
    ['any', { protocol: 'any' }, { protocol: null }],
    [
      'a range as text',
      { protocol: 'tcp', port_range_min: '22', port_range_max: '23' },
      { port_range_min: 22, port_range_max: 23 },
    ],
    [
      'all ports are none',
      { protocol: 'udp', port_range_min: 1, port_range_max: 65535 },
      { port_range_min: null, port_range_max: null },
    ],
    [
      'each protocol with ports: sctp',
      { protocol: '132', port_range_min: 5, port_range_max: 5 },
      { port_range_max: 5 },
    ],
    ['dccp', { protocol: 'dccp', port_range_min: 5, port_range_max: 5 }, { port_range_max: 5 }],
    ['udplite', { protocol: 'udplite', port_range_min: 5, port_range_max: 5 }, { port_range_max: 5 }],
    ['an ICMP type', { protocol: 'icmp', port_range_min: 8 }, { port_range_min: 8, port_range_max: null }],
    [
      'ICMP type 0 and code 0',
      { protocol: 'icmp', port_range_min: 0, port_range_max: 0 },
      { port_range_min: 0, port_range_max: 0 },
    ],
    ['ICMP type above its code', { protocol: 'icmp', port_range_min: 8, port_range_max: 3 }, { port_range_max: 3 }],
    ['icmp of IPv6', { protocol: 'icmp', ethertype: 'IPv6' }, { protocol: 'ipv6-icmp' }],
    ['icmpv6', { protocol: 'icmpv6', ethertype: 'ipv6' }, { protocol: 'ipv6-icmp', ethertype: 'IPv6' }],
    ['1 of IPv6', { protocol: '1', ethertype: 'IPv6' }, { protocol: '58' }],
    ['58 stays', { protocol: '58', ethertype: 'IPv6' }, { protocol: '58' }],
    ['igmp with IPv6', { protocol: 'igmp', ethertype: 'IPv6' }, { protocol: 'igmp' }],
    [
      'an address',
      { remote_ip_prefix: '192.0.2.7' },
      { remote_ip_prefix: '192.0.2.7/32', normalized_cidr: '192.0.2.7/32' },
    ],
    [
      'host bits, kept',
      { remote_ip_prefix: '10.0.0.34/24' },
      { remote_ip_prefix: '10.0.0.34/24', normalized_cidr: '10.0.0.0/24' },
    ],
    ['a short prefix', { remote_ip_prefix: '10.0/8' }, { remote_ip_prefix: '10.0.0.0/8' }],
    ['an empty prefix', { remote_ip_prefix: '' }, { remote_ip_prefix: null, normalized_cidr: null }],
    ['all of IPv6', { ethertype: 'IPv6', remote_ip_prefix: '0::0/0' }, { remote_ip_prefix: '::/0' }],
    ['a description', { description: 'x' }, { description: 'x' }],
  ])('%s', async (_what, fields, expected) => {
    const { status, body } = await post(fields);
    expect(status).toBe(201);
    const rule = body['security_group_rule'] as Fields;
    expect(rule).toMatchObject({ security_group_id: group, description: '', revision_number: 0, ...expected });
    expect((await api.get(`/security-group-rules/${idOf(rule)}`)).body).toEqual(body);
  });
});

describe('refused', () => {
  it.each<[string, Fields, number, string, string]>([
    ['a direction', { direction: 'inside' }, 400, 'HTTPBadRequest', 'direction'],
    ['no direction', { direction: null }, 400, 'HTTPBadRequest', 'direction'],
    ['an ethertype', { ethertype: 'ip4' }, 400, 'SecurityGroupRuleInvalidEtherType', 'ip4'],
    ['no ethertype', { ethertype: null }, 400, 'SecurityGroupRuleInvalidEtherType', 'IPv4'],
    ['an empty ethertype', { ethertype: '' }, 400, 'SecurityGroupRuleInvalidEtherType', 'IPv4'],
    ['an empty protocol', { protocol: '' }, 400, 'SecurityGroupRuleInvalidProtocol', 'not supported'],
    ['a protocol number', { protocol: 256 }, 400, 'SecurityGroupRuleInvalidProtocol', '256'],
    ['a negative one', { protocol: '-1' }, 400, 'SecurityGroupRuleInvalidProtocol', '-1'],
    ['two protocols', { protocol: 'tcp/ip' }, 400, 'SecurityGroupRuleInvalidProtocol', 'tcp/ip'],
    ['a list of protocols', { protocol: ['tcp'] }, 400, 'SecurityGroupRuleInvalidProtocol', 'tcp'],
    [
      'a port',
      { protocol: 'tcp', port_range_min: -1, port_range_max: 1 },
      400,
      'SecurityGroupInvalidPortValue',
      'Invalid value for port -1',
    ],
    [
      'a port above',
      { protocol: 'tcp', port_range_min: 1, port_range_max: 65536 },
      400,
      'SecurityGroupInvalidPortValue',
      '65536',
    ],
    [
      'port 0',
      { protocol: 'tcp', port_range_min: 0, port_range_max: 1 },
      400,
      'SecurityGroupInvalidPortValue',
      'Invalid value for port',
    ],
    [
      'a port in words',
      { protocol: 'tcp', port_range_min: 'abc', port_range_max: 1 },
      400,
      'SecurityGroupInvalidPortValue',
      'abc',
    ],
    [
      'a wrong order',
      { protocol: 'tcp', port_range_min: 80, port_range_max: 70 },
      400,
      'SecurityGroupInvalidPortRange',
      'port_range_min must be <= port_range_max',
    ],
    [
      'one end',
      { protocol: 'tcp', port_range_min: 80 },
      400,
      'SecurityGroupInvalidPortRange',
      'port_range_min must be <= port_range_max',
    ],
    [
      'ports alone',
      { port_range_min: 80, port_range_max: 80 },
      400,
      'SecurityGroupProtocolRequiredWithPorts',
      'protocol',
    ],
    // CVE-2019-9735: these were taken, and the firewall refused them.
    [
      'ports of vrrp',
      { protocol: 'vrrp', port_range_min: 1, port_range_max: 2 },
      400,
      'SecurityGroupInvalidProtocolForPort',
      'TCP, UDP, UDPLITE, SCTP and DCCP',
    ],
    [
      'ports of 50',
      { protocol: '50', port_range_min: 1, port_range_max: 2 },
      400,
      'SecurityGroupInvalidProtocolForPort',
      '50',
    ],
    [
      'an ICMP type',
      { protocol: 'icmp', port_range_min: 256 },
      400,
      'SecurityGroupInvalidIcmpValue',
      'Invalid value for ICMP type',
    ],
    [
      'an ICMP code',
      { protocol: 'icmp', port_range_min: 1, port_range_max: 256 },
      400,
      'SecurityGroupInvalidIcmpValue',
      'Invalid value for ICMP code',
    ],
    [
      'an ICMP code alone',
      { protocol: 'icmp', port_range_max: 0 },
      400,
      'SecurityGroupMissingIcmpType',
      'ICMP type (port-range-min) is missing',
    ],
    ['a prefix', { remote_ip_prefix: '10.0.0.0/33' }, 400, 'InvalidCIDR', '10.0.0.0/33'],
    ['leading zeros', { remote_ip_prefix: '010.0.0.0/8' }, 400, 'InvalidCIDR', '010'],
    [
      'a prefix of the other family',
      { remote_ip_prefix: '2001:db8::/32' },
      400,
      'SecurityGroupRuleParameterConflict',
      'Conflicting value ethertype',
    ],
    [
      'an IPv4 address in IPv6',
      { ethertype: 'IPv6', remote_ip_prefix: '::ffff:10.0.0.1/128' },
      400,
      'HTTPBadRequest',
      'matched by any packet',
    ],
    [
      'IPv6 alone, with IPv4',
      { protocol: 'ipv6-icmp' },
      400,
      'SecurityGroupEthertypeConflictWithProtocol',
      'Invalid ethertype IPv4',
    ],
    ['44, with IPv4', { protocol: 44 }, 400, 'SecurityGroupEthertypeConflictWithProtocol', '44'],
    [
      'two remotes',
      { remote_ip_prefix: '10.0.0.0/8', remote_group_id: NO_GROUP },
      400,
      'SecurityGroupMultipleRemoteEntites',
      'Only remote_ip_prefix',
    ],
    ['a remote group', { remote_group_id: NO_GROUP }, 404, 'SecurityGroupNotFound', NO_GROUP],
    ['a remote address group', { remote_address_group_id: NO_GROUP }, 404, 'AddressGroupNotFound', NO_GROUP],
    ['a group', { security_group_id: 'nothing' }, 404, 'SecurityGroupNotFound', 'nothing'],
    ['a group by number', { security_group_id: 0 }, 400, 'HTTPBadRequest', 'security_group_id'],
    ['an attribute', { ports: '22' }, 400, 'HTTPBadRequest', 'Unrecognized attribute(s)'],
    ['an id', { id: NO_GROUP }, 400, 'HTTPBadRequest', 'not allowed in POST'],
    ['no description', { description: null }, 400, 'HTTPBadRequest', 'description'],
    ['a long description', { description: 'x'.repeat(256) }, 400, 'HTTPBadRequest', '255'],
  ])('%s', async (_what, fields, status, type, message) => {
    const before = api.database.revision;
    const answer = await post(fields);
    expect(answer.status).toBe(status);
    expect(errorOf(answer).type).toBe(type);
    expect(errorOf(answer).message).toContain(message);
    expect(api.database.revision).toBe(before);
  });

  it('no group at all', async () => {
    const answer = await api.call('POST', '/security-group-rules', { security_group_rule: { direction: 'ingress' } });
    expect([answer.status, errorOf(answer).message]).toEqual([400, expect.stringContaining('security_group_id')]);
  });
});

describe('equal rules', () => {
  it.each<[string, Fields, Fields, boolean]>([
    ['the same', { protocol: 'tcp' }, { protocol: 'tcp' }, true],
    ['by name and by number', { protocol: 'tcp' }, { protocol: '6' }, true],
    ['by another description', { description: 'a' }, { description: 'b' }, true],
    ['anywhere', {}, { remote_ip_prefix: '0.0.0.0/0' }, true],
    ['0 and ip', { protocol: '0' }, { protocol: 'ip' }, true],
    ['hopopt by itself', { protocol: '0' }, { protocol: 'hopopt' }, false],
    ['other host bits', { remote_ip_prefix: '10.0.0.34/24' }, { remote_ip_prefix: '10.0.0.35/24' }, false],
    ['the other direction', {}, { direction: 'egress', protocol: 'tcp' }, false],
  ])('%s', async (_what, first, second, isSame) => {
    const { id } = (await post(first)).body['security_group_rule'] as { id: string };
    const answer = await post(second);
    expect(answer.status).toBe(isSame ? 409 : 201);
    if (isSame)
      expect(errorOf(answer)).toMatchObject({
        type: 'SecurityGroupRuleExists',
        message: expect.stringContaining(id) as string,
      });
  });

  it('a hundred at once: one is made', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, async () => post({ protocol: 'tcp' })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(99).fill(409)]);
  });
});

describe('bulk', () => {
  const bulk = async (rules: readonly Fields[]): ReturnType<TestApi['call']> =>
    api.call('POST', '/security-group-rules', {
      security_group_rules: rules.map((rule) => ({ security_group_id: group, direction: 'ingress', ...rule })),
    });

  it('all or nothing', async () => {
    expect((await bulk([{ protocol: 'tcp' }, { protocol: 'udp' }])).status).toBe(201);
    const before = api.database.revision;
    expect((await bulk([{ protocol: 'sctp' }, { protocol: 'nonsense' }])).status).toBe(400);
    const twice = await bulk([{ protocol: 'sctp' }, { protocol: '132' }]);
    expect([twice.status, errorOf(twice).type]).toEqual([409, 'DuplicateSecurityGroupRuleInPost']);
    expect((await bulk([])).status).toBe(400);
    expect(api.database.revision).toBe(before);
  });

  it('of one project; who names none means his own', async () => {
    const ofTwo = await bulk([{ protocol: '60', project_id: 'b' }, { protocol: '61' }]);
    expect([ofTwo.status, errorOf(ofTwo).type]).toEqual([400, 'SecurityGroupRulesNotSingleTenant']);
    expect((await bulk([{ protocol: '50', tenant_id: 'a' }, { protocol: '51' }])).status).toBe(201);
  });

  it('of one group', async () => {
    const other = await api.group('other');
    const answer = await bulk([{ protocol: 'tcp' }, { protocol: 'tcp', security_group_id: other }]);
    expect([answer.status, errorOf(answer).type]).toEqual([400, 'SecurityGroupNotSingleGroupRules']);
  });
});

it('a rule raises its group’s revision, coming and going; it cannot be changed', async () => {
  const revision = async (): Promise<unknown> =>
    ((await api.get(`/security-groups/${group}`)).body['security_group'] as Fields)['revision_number'];
  expect(await revision()).toBe(1);
  const rule = await api.rule(group, { protocol: 'tcp' });
  expect(await revision()).toBe(2);
  const put = await api.call('PUT', `/security-group-rules/${idOf(rule)}`, {
    security_group_rule: { description: 'x' },
  });
  expect(put.status).toBe(405);
  expect((await api.call('DELETE', `/security-group-rules/${idOf(rule)}`)).status).toBe(204);
  expect(await revision()).toBe(3);
  expect((await api.call('DELETE', `/security-group-rules/${idOf(rule)}`)).status).toBe(404);
});

it('a member makes rules in groups of the own project only; the owner sees an administrator’s rule', async () => {
  const own = await api.group('own', {}, MEMBER);
  expect((await api.rule(own, { protocol: 'tcp' }, MEMBER))['security_group_id']).toBe(own);
  const body = { security_group_rule: { security_group_id: own, direction: 'ingress', protocol: 'udp' } };
  expect((await api.call('POST', '/security-group-rules', body, OTHER)).status).toBe(404);
  const made = await api.rule(own, { protocol: 'sctp' }, { project: 'admins' });
  const listed = objects(
    await api.get(`/security-group-rules?security_group_id=${own}`, MEMBER),
    'security_group_rules',
  );
  expect(listed.map(idOf)).toContain(idOf(made));
  expect(objects(await api.get('/security-group-rules', OTHER), 'security_group_rules').map(idOf)).not.toContain(
    idOf(made),
  );
});

describe('what the API takes, every command takes', () => {
  const pick = (...values: readonly unknown[]): fc.Arbitrary<unknown> => fc.constantFrom(...values);
  /** Many ways to say few things. */
  const arbitraryRule = fc.record(
    {
      direction: pick('ingress', 'egress'),
      ethertype: pick('IPv4', 'ipv4', 'IPv6', 'IPV6'),
      protocol: pick(
        null,
        'any',
        'ip',
        '0',
        0,
        'tcp',
        '6',
        6,
        'TCP',
        'icmp',
        '1',
        'icmpv6',
        'ipv6-icmp',
        58,
        'hopopt',
        '006',
      ),
      ports: fc.constantFrom(
        [null, null],
        [null, null],
        [null, null],
        [null, null],
        [1, 65535],
        [80, 80],
        ['80', 80],
        [0, 0],
        [8, null],
        [80, 81],
      ),
      remote_ip_prefix: pick(
        null,
        '',
        '0.0.0.0/0',
        '::/0',
        '10.0.0.1/8',
        '10.0.0.0/8',
        '10/8',
        '10.0.0.0/255.0.0.0',
        '10.0.0.0/08',
        '192.0.2.1',
        '192.0.2.1/32',
        '2001:db8::1/32',
        '2001:DB8::/32',
        '2001:db8::1',
        '2001:db8::1/128',
      ),
      remote: pick('none', 'self'),
    },
    { requiredKeys: ['direction'] },
  );

  it('two rules of a group, however they are written, mean what one does or two do', async () => {
    const test = await TestApi.open();
    await test.call('PUT', '/quotas/a', { quota: { security_group: -1, security_group_rule: -1 } });
    let [pairs, same] = [0, 0];
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryRule, { minLength: 8, maxLength: 16 }), async (rules) => {
        const group = await test.group('g');
        let taken = 0;
        for (const { ports = [null, null], remote, ...rule } of rules) {
          const body = {
            ...rule,
            security_group_id: group,
            port_range_min: ports[0],
            port_range_max: ports[1],
            ...(remote === 'self' ? { remote_group_id: group, remote_ip_prefix: null } : {}),
          };
          const { status } = await test.call('POST', '/security-group-rules', { security_group_rule: body });
          expect(status).toBeLessThan(500);
          if (status === 201) taken++;
        }
        if (taken > 1) pairs++;
        const { security_groups: groups = [] } = topologyDocument(test.database.view) as {
          security_groups?: readonly Answer[];
        };
        const content = { security_groups: groups.filter(({ id }) => id === group) };
        const { problems } = parseTopology([{ file: 'export', content }]);
        expect(problems.filter(({ severity }) => severity !== 'notice')).toEqual([]);
        if (problems.length > 0) same++;
        expect(() => recordsOf([{ file: 'export', content }], false)).not.toThrow();
      }),
      { numRuns: 150 },
    );
    // It came to what it is about.
    expect(Math.min(pairs, same)).toBeGreaterThan(20);
  });
});
