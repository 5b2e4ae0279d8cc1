/** Whatever a client sends: never an internal error, and nothing changes unless the answer says so. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseTopology } from '../../../compiler/model/index.js';
import { topologyDocument } from '../../../src/api/topology/lines.js';
import { idOf, MEMBER, objects, OTHER, READER, TestApi, type As } from '../../support/api.js';

const SINGULARS: Readonly<Record<string, string>> = {
  networks: 'network',
  subnets: 'subnet',
  ports: 'port',
  'security-groups': 'security_group',
  'security-group-rules': 'security_group_rule',
  'address-groups': 'address_group',
  'default-security-group-rules': 'default_security_group_rule',
  'rbac-policies': 'rbac_policy',
  quotas: 'quota',
};

/** Which of the ids that the test makes is of that collection. */
const RIGHT: Readonly<Record<string, number>> = {
  networks: 0,
  'security-groups': 1,
  'security-group-rules': 3,
  ports: 4,
  'address-groups': 5,
};

const NAMES = [
  ...['name', 'description', 'network_id', 'cidr', 'ip_version', 'gateway_ip', 'allocation_pools', 'mac_address'],
  ...['device_owner', 'device_id', 'fixed_ips', 'security_groups', 'port_security_enabled', 'allowed_address_pairs'],
  ...[
    'security_group_id',
    'direction',
    'ethertype',
    'protocol',
    'port_range_min',
    'port_range_max',
    'remote_ip_prefix',
  ],
  ...['remote_group_id', 'remote_address_group_id', 'addresses', 'tags', 'stateful', 'object_type', 'object_id'],
  ...['target_tenant', 'action', 'shared', 'project_id', 'tenant_id', 'binding:host_id', 'binding:profile', 'id'],
  ...[
    'extra_dhcp_opts',
    'host_routes',
    'dns_nameservers',
    'mtu',
    'router:external',
    'security_group',
    'port',
    '__proto__',
  ],
];

/** What is sometimes right where it stands. */
const WORDS = [
  ...[
    '10.0.0.5',
    '10.0.0.0/24',
    '10.9.0.0/16',
    '2001:db8::/64',
    'fd00::1',
    'fa:16:3e:00:00:01',
    'tcp',
    'icmp',
    'vrrp',
    '6',
  ],
  ...[
    'ingress',
    'egress',
    'IPv4',
    'IPv6',
    'default',
    'a',
    'b',
    '*',
    'network:dhcp',
    'access_as_shared',
    'security_group',
    'PARENT',
    '',
  ],
];

function arbitraryValue(ids: readonly string[]): fc.Arbitrary<unknown> {
  const word = fc.constantFrom(...WORDS, ...ids);
  return fc.oneof(
    { weight: 4, arbitrary: word },
    { weight: 2, arbitrary: fc.constantFrom(0, 1, -1, 22, 80, 255, 65535, 65536, 1.5, true, false, null) },
    {
      weight: 2,
      arbitrary: fc.array(
        fc.oneof(word, fc.dictionary(fc.constantFrom('ip_address', 'mac_address', 'subnet_id', 'start', 'end'), word)),
        { maxLength: 3 },
      ),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
}

/** A body that is taken, where nothing else is in the way. */
function basis(collection: string, network: string, group: string, number: number): object {
  switch (collection) {
    case 'subnets':
      return { network_id: network, cidr: `10.${(number % 250).toString()}.0.0/24` };
    case 'ports':
      return { network_id: network };
    case 'security-group-rules':
      return {
        security_group_id: group,
        direction: 'ingress',
        protocol: 'tcp',
        port_range_min: number + 1,
        port_range_max: number + 1,
      };
    case 'default-security-group-rules':
      return { direction: 'ingress', protocol: 'udp', port_range_min: number + 1, port_range_max: number + 1 };
    case 'rbac-policies':
      return { object_type: 'security_group', object_id: group, target_tenant: number.toString() };
    case 'quotas':
      return { port: number };
    default:
      return { name: number.toString() };
  }
}

interface Asked {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body: unknown;
  readonly as: As;
}

function arbitraryRequest(ids: readonly string[]): fc.Arbitrary<Asked> {
  const value = arbitraryValue(ids);
  const fields = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 2 });
  const query = fc
    .array(
      fc.tuple(
        fc.constantFrom(...NAMES, 'limit', 'marker', 'sort_key', 'sort_dir', 'fields', 'page_reverse', 'tags-any'),
        fc.oneof(fc.constantFrom(...WORDS, ...ids), fc.string()),
      ),
      { maxLength: 3 },
    )
    .map((pairs) => pairs.map(([name, text]) => `${encodeURIComponent(name)}=${encodeURIComponent(text)}`).join('&'));
  const id = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...ids) },
    { weight: 1, arbitrary: fc.string({ maxLength: 20 }).map(encodeURIComponent) },
  );
  const rest = fc.oneof(
    { weight: 15, arbitrary: fc.constant('') },
    {
      weight: 5,
      arbitrary: fc.constantFrom('/tags', '/tags/x', '/add_addresses', '/remove_addresses', '/details', '/action'),
    },
  );
  return fc
    .record({
      collection: fc.constantFrom(...Object.keys(SINGULARS)),
      method: fc.constantFrom('GET', 'POST', 'POST', 'PUT', 'DELETE'),
      id,
      rest,
      query,
      fields,
      whole: fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value }),
      isRight: fc.boolean(),
      isBulk: fc.boolean(),
      as: fc.constantFrom<As>({ project: 'a' }, MEMBER, OTHER, READER),
      isServer: fc.integer({ min: 0, max: 9 }),
      isNew: fc.boolean(),
      number: fc.nat(60_000),
    })
    .map(
      ({
        collection,
        method,
        id: anyId,
        rest: end,
        query: asked,
        fields: mutations,
        whole,
        isBulk,
        as,
        isServer,
        isNew,
        isRight,
        number,
      }) => {
        const one = isRight ? (ids[RIGHT[collection] ?? 0] ?? anyId) : anyId;
        const given: Readonly<Record<string, unknown>> =
          isNew && method === 'POST'
            ? { ...basis(collection, ids[0] ?? '', ids[1] ?? '', number), ...mutations }
            : mutations;
        const singular = SINGULARS[collection] ?? '';
        const plural = singular.endsWith('y') ? `${singular.slice(0, -1)}ies` : `${singular}s`;
        const base = isServer === 0 ? '/compute/v2.1/servers' : `/${collection}`;
        const envelope =
          isServer === 0
            ? { server: { name: 'x', flavorRef: '1', networks: [{ uuid: one }], ...given } }
            : isBulk
              ? { [plural]: [given, given] }
              : { [singular]: given };
        return {
          method,
          path: `${base}${method === 'POST' && end === '' ? '' : `/${one}${end}`}?${method === 'GET' ? asked : ''}`,
          body:
            method === 'GET'
              ? undefined
              : (whole ??
                (end.endsWith('addresses')
                  ? { addresses: given['addresses'] }
                  : end === '/tags'
                    ? { tags: given['tags'] }
                    : envelope)),
          as,
        };
      },
    );
}

/** Stand for the ids of a world's objects, which are not known when requests are made up. */
const PLACES = ['{0}', '{1}', '{2}', '{3}', '{4}', '{5}'];

async function world(api: TestApi): Promise<readonly string[]> {
  const network = await api.subnetted(MEMBER);
  const group = await api.group('web', {}, MEMBER);
  const foreign = await api.group('foreign', {}, OTHER);
  const rule = await api.rule(group, { protocol: 'tcp' }, MEMBER);
  const port = await api.port(network, { security_groups: [] }, MEMBER);
  const addresses = await api.make('/address-groups', 'address_group', { addresses: ['10.0.0.0/8'] }, MEMBER);
  return [network, group, foreign, rule, port, addresses].map((one) => (typeof one === 'string' ? one : idOf(one)));
}

it('any requests', async () => {
  const api = await TestApi.open();
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(arbitraryRequest(PLACES), { minLength: 30, maxLength: 30 }), async (requests) => {
      for (const project of ['a', 'b']) {
        const quota = {
          security_group: -1,
          security_group_rule: -1,
          network: -1,
          subnet: -1,
          port: -1,
          rbac_policy: -1,
        };
        await api.call('PUT', `/quotas/${project}`, { quota });
        await api.get('/security-groups', { project, roles: 'member' });
      }
      // A project has so many address groups and no more.
      for (const group of objects(await api.get('/address-groups'), 'address_groups')) {
        await api.call('DELETE', `/address-groups/${idOf(group)}`);
      }
      const ids = await world(api);
      const placed = (text: string): string =>
        text.replaceAll(
          /\{(\d)\}|%7B(\d)%7D/g,
          (_all, one: string | undefined, two: string | undefined) => ids[Number(one ?? two)] ?? '',
        );
      for (const { method, path, body, as } of requests) {
        const before = api.database.revision;
        const text = body === undefined ? undefined : placed(JSON.stringify(body));
        const { status } = await api.call(method, placed(path), text, as);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        expect(status).toBeLessThan(500);
        if (status >= 300) expect(api.database.revision).toBe(before);
      }
    }),
    { numRuns: 150 },
  );
  // Not only refusals.
  expect((statuses.get(200) ?? 0) + (statuses.get(201) ?? 0) + (statuses.get(204) ?? 0)).toBeGreaterThan(300);
  // Whatever the API took, the compiler takes.
  const { problems } = parseTopology([{ file: 'api', content: topologyDocument(api.database.view) }]);
  expect(problems.filter(({ severity }) => severity !== 'notice')).toEqual([]);
});
