/** What one client's request costs everybody: counted, never timed. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { noted } from '../../../src/api/audit.js';
import { BoundedMap } from '../../../src/api/bounded-map.js';
import { shown } from '../../../src/api/kinds/parsers.js';
import { allocate, nextCandidates } from '../../../src/api/neutron/allocation.js';
import type { NetworkRecord, SubnetRecord } from '../../../src/api/records.js';
import type { View } from '../../../src/api/state.js';
import type { AuditedChange } from '../../../src/api/writer.js';
import { errorOf, idOf, MEMBER, OTHER, TestApi } from '../../support/api.js';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a bulk of rules', () => {
  it('reads the rules of its group once, not for each of its own', async () => {
    const api = await TestApi.open();
    const [group, count] = [await api.group('web', {}, MEMBER), 90];
    let visited = 0;
    const { view } = api.database;
    const by = view.by.bind(view) as (...asked: readonly unknown[]) => Iterable<never>;
    vi.spyOn(view, 'by').mockImplementation((...asked) => {
      const found = [...by(...asked)];
      visited += found.length;
      return found;
    });
    const bodies = Array.from({ length: count }, (_, index) => ({
      security_group_id: group,
      direction: 'ingress',
      protocol: 'tcp',
      port_range_min: index + 1,
      port_range_max: index + 1,
    }));
    const made = await api.call('POST', '/security-group-rules', { security_group_rules: bodies }, MEMBER);
    expect(made.status).toBe(201);
    expect(visited).toBeLessThan(3 * count);
  });
});

it('addresses of groups are counted in the project’s own groups, not in those of the whole cloud', async () => {
  const api = await TestApi.open();
  for (const as of [OTHER, MEMBER]) await api.make('/address-groups', 'address_group', {}, as);
  const all = vi.spyOn(api.database.view, 'all');
  const group = await api.make('/address-groups', 'address_group', { addresses: ['10.0.0.0/8'] }, MEMBER);
  const more = { addresses: ['192.0.2.1'] };
  expect((await api.call('PUT', `/address-groups/${idOf(group)}/add_addresses`, more, MEMBER)).status).toBe(200);
  expect(all.mock.calls.filter(([kind]) => kind === 'address_group')).toEqual([]);
});

describe('what an error says of what was given', () => {
  it('is cut before it is read', () => {
    const replace = vi.spyOn(String.prototype, 'replace');
    const text = shown('x'.repeat(1_000_000));
    const longest = Math.max(...replace.mock.contexts.map((context) => String(context).length));
    replace.mockRestore();
    expect([text, longest]).toEqual([`${'x'.repeat(80)}...`, 80]);
  });

  it('is short, however much was wrong', async () => {
    const api = await TestApi.open();
    const names = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`made-up-${index.toString()}`, 1]));
    const answer = await api.call('POST', '/networks', { network: names }, MEMBER);
    expect([answer.status, errorOf(answer).message.length < 200]).toEqual([400, true]);
  });
});

it('a project’s id that no store can hold is a 400, wherever it would become a key', async () => {
  const api = await TestApi.open();
  for (const id of ['x'.repeat(2500), '%F0%9F%98%80'.repeat(256), 'a%00b']) {
    const quota = await api.call('PUT', `/quotas/${id}`, { quota: { port: 1 } });
    const servers = await api.call('PUT', `/compute/v2.1/os-quota-sets/${id}`, { quota_set: { instances: 1 } });
    const before = api.database.revision;
    const listed = await api.get(`/security-groups?project_id=${id}`);
    expect([quota.status, servers.status, listed.status]).toEqual([400, 400, 200]);
    expect(api.database.view.get('default_security_group', decodeURIComponent(id))).toBeUndefined();
    expect(api.database.revision - before).toBeLessThanOrEqual(1);
  }
  expect((await api.get('/security-groups', { project: 'x'.repeat(2500) })).status).toBe(400);
  for (const id of ['x'.repeat(255), '%F0%9F%98%80'.repeat(255), 'a%2Fb']) {
    expect((await api.call('PUT', `/quotas/${id}`, { quota: { port: 1 } })).status).toBe(200);
    expect((await api.get(`/quotas/${id}`)).body['quota']).toMatchObject({ port: 1 });
  }
});

describe('what the log says of a change', () => {
  const bytes = (value: object): number => JSON.stringify(value).length;
  const addresses = Array.from(
    { length: 100_000 },
    (_, index) => `10.${[index >> 16, (index >> 8) & 255, index & 255].join('.')}/32`,
  );
  const changes = (api: TestApi): readonly AuditedChange[] =>
    api.audited.flatMap(({ changes }) => changes as readonly AuditedChange[]);

  it('is short for an address more in a group of 100 000: which one it was, and how many there are', async () => {
    const api = await TestApi.open();
    const fields = { name: 'large', addresses: addresses.slice(1) };
    const group = idOf(await api.make('/address-groups', 'address_group', fields, MEMBER));
    const [made] = changes(api).slice(-1).map(noted);
    expect(bytes(made ?? {})).toBeLessThan(4096);
    expect(made?.after).toMatchObject({ name: 'large', addresses: { count: 99_999 } });
    api.audited.length = 0;
    const body = { addresses: addresses.slice(0, 1) };
    expect((await api.call('PUT', `/address-groups/${group}/add_addresses`, body, MEMBER)).status).toBe(200);
    const added = changes(api).map(noted);
    expect(added).toMatchObject([
      {
        before: { addresses: { count: 99_999, removed: { count: 0, first: [] } }, revision_number: 1 },
        after: { addresses: { count: 100_000, added: { count: 1, first: ['10.0.0.0/32'] } }, revision_number: 2 },
      },
    ]);
    expect([bytes(added) < 4096, 'name' in (added[0]?.after ?? {})]).toEqual([true, false]);
    api.audited.length = 0;
    await api.call('PUT', `/address-groups/${group}/remove_addresses`, { addresses }, MEMBER);
    const [removed] = changes(api).map(noted);
    expect(bytes(removed ?? {})).toBeLessThan(4096);
    expect(removed).toMatchObject({
      before: { addresses: { removed: { count: 100_000 } } },
      after: { addresses: { count: 0 } },
    });
  });

  it('is all of what is short, and of an update what differs', () => {
    const rule = { id: 'r', name: 'a', tags: ['x'], description: 'd'.repeat(1024) } as never;
    expect(noted({ before: undefined, after: rule })).toEqual({ before: undefined, after: rule });
    expect(noted({ before: rule, after: undefined })).toEqual({ before: rule, after: undefined });
    const after = { id: 'r', name: 'b', tags: ['x'], description: 'd'.repeat(1024) } as never;
    expect(noted({ before: rule, after })).toEqual({ before: { name: 'a' }, after: { name: 'b' } });
    const long = Array.from({ length: 30 }, (_, index) => index.toString());
    const list = (one: readonly string[]): never => ({ id: 'g', list: one }) as never;
    const middle = [...long.slice(0, 7), ...long.slice(8, 29), 'new', '29'];
    expect(noted({ before: list(long), after: list(middle) })).toEqual({
      before: { list: { count: 30, removed: { count: 1, first: ['7'] } } },
      after: { list: { count: 30, added: { count: 1, first: ['new'] } } },
    });
    const large = {
      id: 'p',
      profile: { text: 'x'.repeat(100_000) },
      options: Array(30).fill('y'.repeat(900)),
    } as never;
    expect(bytes(noted({ before: undefined, after: large }))).toBeLessThan(4096);
    expect(bytes(noted({ before: rule, after: large }))).toBeLessThan(8192);
  });
});

describe('what is remembered', () => {
  it('is so much; what was set longest ago goes', () => {
    const map = new BoundedMap<string, number>(2);
    for (const [key, value] of [
      ['a', 1],
      ['b', 2],
      ['a', 3],
      ['c', 4],
    ] as const)
      map.set(key, value);
    expect([map.size, map.get('a'), map.get('b'), map.get('c')]).toEqual([2, 3, undefined, 4]);
  });

  it('of subnets, where the next address is looked for, is no more for those that are gone', () => {
    const give = (id: string): void => {
      const subnet = { id, ip_version: 4, allocation_pools: [{ start: '10.0.0.2', end: '10.0.0.9' }] } as unknown;
      const view = { by: () => [subnet as SubnetRecord], portWithAddress: () => undefined } as unknown as View;
      allocate(view, { id: 'network' } as NetworkRecord, 'fa:16:3e:00:00:01', undefined, undefined);
    };
    for (let number = 0; number < 11_000; number++) give(`subnet-${number.toString()}`);
    expect(nextCandidates.size).toBe(10_000);
  });
});
