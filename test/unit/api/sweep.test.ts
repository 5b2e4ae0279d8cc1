/**
 * The walls, attribute by attribute: whatever another project writes into any attribute of any object of its own, nothing of ours
 * changes, nothing of theirs appears among ours, and what we do to ours does nothing to theirs.
 */
import { beforeEach, expect, it } from 'vitest';
import type { Spec } from '../../../src/api/kinds/attribute.js';
import type { Parser } from '../../../src/api/kinds/parsers.js';
import { addressGroups } from '../../../src/api/neutron/address-groups.js';
import { networks } from '../../../src/api/neutron/networks.js';
import { ports } from '../../../src/api/neutron/ports.js';
import { rbacPolicies } from '../../../src/api/neutron/rbac.js';
import { pathOf } from '../../../src/api/neutron/resource.js';
import { rules } from '../../../src/api/neutron/rules.js';
import { securityGroups } from '../../../src/api/neutron/security-groups.js';
import { subnets } from '../../../src/api/neutron/subnets.js';
import { KINDS, QUOTA_NAMES, type Kind } from '../../../src/api/records.js';
import { idOf, MEMBER, objects, OTHER, TestApi, type Answer, type As } from '../../support/api.js';
import { step } from '../../support/progress.js';

interface Swept {
  readonly kind: Kind;
  readonly spec: Spec;
}

const SWEPT: readonly Swept[] = [networks, subnets, ports, securityGroups, rules, addressGroups, rbacPolicies];
const SERVERS = '/compute/v2.1/servers';

let api: TestApi;
let open: string;
let server: string;
beforeEach(async () => {
  api = await TestApi.open();
  for (const project of ['a', 'b']) {
    const quota = Object.fromEntries(QUOTA_NAMES.map((name) => [name, -1]));
    await api.call('PUT', `/quotas/${project}`, { quota });
  }
  open = await api.network({ shared: true }, { project: 'x' });
  await api.make('/subnets', 'subnet', { network_id: open, cidr: '10.1.0.0/16' }, { project: 'x' });
  server = await oursMade();
});

/** One of everything, of project a. @returns the id of its server. */
async function oursMade(): Promise<string> {
  const network = idOf(await api.make('/networks', 'network', { name: 'our-net' }, MEMBER));
  await api.make('/subnets', 'subnet', { network_id: network, cidr: '10.0.0.0/24', name: 'our-subnet' }, MEMBER);
  const group = await api.group('our-web', {}, MEMBER);
  await api.group('our-db', {}, MEMBER);
  const addresses = await api.make(
    '/address-groups',
    'address_group',
    { name: 'our-addresses', addresses: ['192.0.2.0/24'] },
    MEMBER,
  );
  await api.rule(group, { protocol: 'tcp', remote_address_group_id: idOf(addresses) }, MEMBER);
  await api.make(
    '/rbac-policies',
    'rbac_policy',
    { object_type: 'security_group', object_id: group, target_tenant: 'c' },
    MEMBER,
  );
  await api.port(network, { name: 'our-port', security_groups: [group] }, MEMBER);
  await api.call('PUT', `/security-groups/${group}/tags`, { tags: ['our-tag'] }, MEMBER);
  const given = await api.port(open, { name: 'our-given', security_groups: [group] }, MEMBER);
  const made = await api.call(
    'POST',
    SERVERS,
    { server: { name: 'our-server', flavorRef: '1', networks: [{ uuid: open }, { port: idOf(given) }] } },
    MEMBER,
  );
  return idOf(made.body['server'] as Answer);
}

/** Objects of project b that the attributes are written into, with what else a new one needs. */
async function theirs(): Promise<readonly { readonly swept: Swept; readonly id: string; readonly base: Answer }[]> {
  const network = await api.network({ name: 'their-net' }, OTHER);
  const subnet = await api.make('/subnets', 'subnet', { network_id: network, cidr: '10.9.0.0/24' }, OTHER);
  const group = await api.group('their-group', {}, OTHER);
  const rule = await api.rule(group, { protocol: 'udp' }, OTHER);
  const addresses = await api.make('/address-groups', 'address_group', {}, OTHER);
  const policy = { object_type: 'security_group', object_id: group, target_tenant: 'd' };
  const port = await api.port(open, {}, OTHER);
  const ids: Readonly<Record<string, readonly [id: string, base: Answer]>> = {
    network: [network, {}],
    subnet: [idOf(subnet), { network_id: network, cidr: '10.9.1.0/24' }],
    port: [idOf(port), { network_id: open }],
    security_group: [group, { name: 'another' }],
    security_group_rule: [idOf(rule), { security_group_id: group, direction: 'ingress' }],
    address_group: [idOf(addresses), {}],
    rbac_policy: [idOf(await api.make('/rbac-policies', 'rbac_policy', policy, OTHER)), policy],
  };
  return SWEPT.map((swept) => {
    const [id, base] = ids[swept.kind] ?? ['', {}];
    return { swept, id, base };
  });
}

/** Every text in the records of a project. */
function textsOf(project: string): readonly string[] {
  const texts = new Set<string>([project, 'default']);
  const collect = (value: unknown): void => {
    if (typeof value === 'string' && value !== '' && !/^\d{4}-\d\d-\d\dT/.test(value)) texts.add(value);
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(collect);
  };
  recordsOf(project).forEach(collect);
  return [...texts];
}

function recordsOf(project: string): ReadonlyMap<string, unknown> {
  return new Map(
    KINDS.flatMap((kind) =>
      [...api.database.view.all(kind)]
        .filter((record) => 'project_id' in record && record.project_id === project)
        .map((record) => [`${kind} ${record.id}`, record] as const),
    ),
  );
}

const formsOf = (text: string): readonly unknown[] => [
  text,
  [text],
  [{ ip_address: text }],
  [{ subnet_id: text }],
  [{ start: text, end: text }],
  { name: text },
];

/**
 * What is written into an attribute: each text in each form that is read as a value of it, and one in each of the others. What no
 * request may say is refused by the attribute's own parser, before anything of the request is looked at.
 */
function valuesOf(texts: readonly string[], name: string, parse: Parser<unknown> | undefined): readonly unknown[] {
  const isRead = (value: unknown): boolean => {
    try {
      parse?.(value, name);
      return parse !== undefined;
    } catch {
      return false;
    }
  };
  return texts.flatMap((text, index) => formsOf(text).filter((value) => index === 0 || isRead(value)));
}

/** All that project a is shown of its own. */
async function shownToUs(): Promise<unknown> {
  const shown: unknown[] = [];
  for (const path of ['', '/os-security-groups', '/os-interface', '/ips']) {
    shown.push((await api.get(`${SERVERS}/${server}${path}`, MEMBER)).body);
  }
  shown.push((await api.get(`${SERVERS}/detail`, MEMBER)).body);
  for (const { kind } of SWEPT) {
    const [[, listed] = []] = Object.entries((await api.get(`/${pathOf(kind)}`, MEMBER)).body);
    shown.push((listed as readonly Answer[]).filter(({ project_id: project }) => project === 'a'));
  }
  return JSON.parse(JSON.stringify(shown));
}

it('nothing that another project writes changes or joins what is ours', async () => {
  const vehicles = await theirs();
  const texts = textsOf('a');
  const [before, shown] = [recordsOf('a'), await shownToUs()];
  const taken: string[] = [];
  for (const { swept, id, base } of vehicles) {
    for (const [name, { onCreate, onUpdate }] of Object.entries(swept.spec)) {
      step(`${swept.kind}.${name}`);
      const write = async (method: 'POST' | 'PUT', path: string, fields: Answer): Promise<void> => {
        const { status } = await api.call(method, path, { [swept.kind]: fields }, OTHER);
        if (status >= 500) expect([method, path, fields, status]).toEqual([method, path, fields, 'below 500']);
        if (status < 300) taken.push(`${swept.kind}.${name}`);
      };
      for (const value of valuesOf(texts, name, onCreate)) {
        await write('POST', `/${pathOf(swept.kind)}`, { ...base, [name]: value });
      }
      for (const value of valuesOf(texts, name, onUpdate)) {
        await write('PUT', `/${pathOf(swept.kind)}/${id}`, { [name]: value });
      }
    }
    // By identity: a record that was written again, equal or not, is another one.
    for (const [key, record] of recordsOf('a')) expect([key, before.get(key) === record]).toEqual([key, true]);
  }
  // The sweep reached what it is about.
  for (const name of ['port.device_id', 'security_group.name', 'rbac_policy.target_tenant', 'network.name']) {
    expect(taken).toContain(name);
  }
  expect(await shownToUs()).toEqual(shown);

  const theirRecords = recordsOf('b');
  const act = async (body: unknown): Promise<number> =>
    (await api.call('POST', `${SERVERS}/${server}/action`, body, MEMBER)).status;
  expect(await act({ addSecurityGroup: { name: 'our-db' } })).toBe(202);
  expect(await act({ removeSecurityGroup: { name: 'our-db' } })).toBe(202);
  expect((await api.call('PUT', `${SERVERS}/${server}`, { server: { name: 'renamed' } }, MEMBER)).status).toBe(200);
  expect((await api.call('DELETE', `${SERVERS}/${server}`, undefined, MEMBER)).status).toBe(204);
  for (const [key, record] of recordsOf('b')) expect([key, theirRecords.get(key) === record]).toEqual([key, true]);
  expect(recordsOf('b').size).toBe(theirRecords.size);
});

it('a name finds what the project has, never what another one shares with it', async () => {
  for (const name of ['web', 'our-web']) {
    const group = await api.group(name, {}, OTHER);
    const policy = { object_type: 'security_group', object_id: group, target_tenant: 'a' };
    await api.make('/rbac-policies', 'rbac_policy', policy, OTHER);
  }
  const act = async (name: string): Promise<number> =>
    (await api.call('POST', `${SERVERS}/${server}/action`, { addSecurityGroup: { name } }, MEMBER)).status;
  expect(await act('web')).toBe(404);
  const body = { server: { name: 'vm', flavorRef: '1', networks: 'none', security_groups: [{ name: 'web' }] } };
  expect((await api.call('POST', SERVERS, body, MEMBER)).status).toBe(400);
  // By its id, who means it says it.
  const [shared] = objects(await api.get('/security-groups?name=web', MEMBER), 'security_groups');
  expect(await act(idOf(shared ?? {}))).toBe(202);
});

it('an administrator’s command on a server looks names up in the server’s project', async () => {
  const foreign = await api.group('web', {}, { project: 'x' });
  const act = async (name: string): Promise<number> =>
    (await api.call('POST', `${SERVERS}/${server}/action`, { addSecurityGroup: { name } }, { project: 'x' })).status;
  expect(await act('web')).toBe(404);
  expect(await act('our-db')).toBe(202);
  expect(await act(foreign)).toBe(202);
});

it('a port of another project is not given to a server, not even by an administrator', async () => {
  const port = await api.port(open, {}, OTHER);
  const body = { server: { name: 'vm', flavorRef: '1', networks: [{ port: idOf(port) }] } };
  expect((await api.call('POST', SERVERS, body, { project: 'a' })).status).toBe(400);
  const attached = await api.call(
    'POST',
    `${SERVERS}/${server}/os-interface`,
    { interfaceAttachment: { port_id: idOf(port) } },
    { project: 'a' },
  );
  expect(attached.status).toBe(400);
  expect((await api.get(`/ports/${idOf(port)}`)).body['port']).toMatchObject({ device_id: '' });
});

it('a port that Nova did not make or get is not the server’s, though it is the project’s and names it', async () => {
  const group = await api.group('lonely', {}, MEMBER);
  const port = idOf(await api.port(open, { device_id: server, security_groups: [group] }, MEMBER));
  const interfaces = await api.get(`${SERVERS}/${server}/os-interface`, MEMBER);
  expect(objects(interfaces, 'interfaceAttachments').map((one) => one['port_id'])).not.toContain(port);
  await api.call('DELETE', `${SERVERS}/${server}`, undefined, MEMBER);
  expect((await api.get(`/ports/${port}`, MEMBER)).status).toBe(200);
});

it('a rule of a shared group does not tell the name of a group that is not shared', async () => {
  const hidden = await api.group('hidden-name', {}, OTHER);
  const group = await api.group('shared', {}, OTHER);
  await api.rule(group, { remote_group_id: hidden }, OTHER);
  const policy = { object_type: 'security_group', object_id: group, target_tenant: 'a' };
  await api.make('/rbac-policies', 'rbac_policy', policy, OTHER);
  const shown = await api.get(`/compute/v2.1/os-security-groups/${group}`, MEMBER);
  expect(shown.status).toBe(200);
  expect(JSON.stringify(shown.body)).not.toContain('hidden-name');
});

it('who has no role that reads in a project learns nothing of it, by any service', async () => {
  const stranger: As = { project: 'a', roles: 'heat_stack_user' };
  for (const path of [
    '',
    '/detail',
    `/${server}`,
    `/${server}/os-interface`,
    `/${server}/os-security-groups`,
    `/${server}/ips`,
  ]) {
    expect([path, (await api.get(`${SERVERS}${path}`, stranger)).status]).toEqual([path, 403]);
  }
  for (const path of ['os-security-groups', 'limits', 'os-quota-sets/a', 'flavors']) {
    expect([path, (await api.get(`/compute/v2.1/${path}`, stranger)).status]).toEqual([path, 403]);
  }
  for (const { kind } of SWEPT) {
    const answer = await api.get(`/${pathOf(kind)}`, stranger);
    expect([kind, answer.status]).toEqual([kind, 403]);
  }
});

it('the owner of a network in which another project has ports changes none of them', async () => {
  const network = await api.network({ name: 'theirs' }, OTHER);
  await api.make('/subnets', 'subnet', { network_id: network, cidr: '10.3.0.0/24' }, OTHER);
  const policy = { object_type: 'network', object_id: network, target_tenant: 'a' };
  await api.make('/rbac-policies', 'rbac_policy', policy, OTHER);
  const [group] = objects(await api.get('/security-groups?name=default', OTHER), 'security_groups');
  const port = idOf(await api.port(network, {}, MEMBER));
  const before = api.database.view.get('port', port);
  for (const fields of [
    ...[{ name: 'x' }, { security_groups: [] }, { security_groups: [idOf(group ?? {})] }, { admin_state_up: false }],
    ...[{ port_security_enabled: false }, { allowed_address_pairs: [{ ip_address: '10.3.0.9' }] }, { device_id: 'x' }],
    ...[{ device_owner: 'network:dhcp' }, { mac_address: 'fa:16:3e:00:01:01' }, { fixed_ips: [] }],
  ]) {
    expect([fields, (await api.call('PUT', `/ports/${port}`, { port: fields }, OTHER)).status]).toEqual([fields, 403]);
  }
  expect((await api.call('PUT', `/ports/${port}/tags`, { tags: ['x'] }, OTHER)).status).toBe(403);
  expect((await api.call('DELETE', `/ports/${port}`, undefined, OTHER)).status).toBe(403);
  expect(api.database.view.get('port', port)).toBe(before);
});
