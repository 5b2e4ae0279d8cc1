/** The worked example of OpenStack's user guide and each of its sections, typed into the stock client, and what it does to packets. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Port } from '../../compiler/model/index.js';
import { cells, Cloud, DEMO, USERS } from './cloud.js';

let cloud: Cloud;
let token: string;
beforeAll(async () => {
  cloud = new Cloud();
  writeFileSync(join(cloud.folder, 'users.yaml'), USERS, { mode: 0o600 });
  token = join(cloud.folder, 'token');
  writeFileSync(token, '0123456789abcdef0123\n');
  await start();
}, 0);
afterAll(async () => cloud.end(), 0);

const start = async (): Promise<void> => cloud.start('--auth', `tokens:${join(cloud.folder, 'users.yaml')}`);
const as = async (line: string): Promise<string> => cloud.as(DEMO, line);
const ports = async (): Promise<readonly Port[]> =>
  (await cloud.ports('--token-file', token)).toSorted((a, b) => (a.id < b.id ? -1 : 1));

const SERVICES = [22, 80, 3306];

/** Who reaches whom: `from>to:service`, of all pairs. Servers by name. */
async function reached(servers: ReadonlyMap<string, Port>): Promise<readonly string[]> {
  const of = async ([from, { id }]: readonly [string, Port]): Promise<readonly string[]> => {
    const targets = [...servers]
      .filter(([to]) => to !== from)
      .flatMap(([name, { fixedIps }]) =>
        SERVICES.map((port) => ({ address: fixedIps[0]?.text ?? '', port, line: `${from}>${name}:${port}` })),
      );
    const answers = await cloud.guests.connect(id, targets);
    return targets.filter((_target, index) => answers[index] === true).map(({ line }) => line);
  };
  return (await Promise.all([...servers].map(of))).flat().sort();
}

/** The ports of the servers, by the servers' names. */
async function serverPorts(): Promise<ReadonlyMap<string, Port>> {
  const all = await ports();
  const found = new Map<string, Port>();
  for (const server of ['web1', 'web2', 'db1', 'outsider']) {
    const [id] = (await as(`openstack port list --server ${server} -f value -c ID`)).split('\n');
    const port = all.find((one) => one.id === id);
    if (port === undefined) throw new Error(`no port of server ${server}`);
    found.set(server, port);
  }
  return found;
}

it('the worked example: web servers reach MySQL and nobody else does, until they lose their group', async () => {
  await as('openstack network create net');
  await as('openstack subnet create --network net --subnet-range 10.9.0.0/24 sub4');
  const created = cells(
    await as('openstack security group create --description "Allows Web traffic anywhere on the Internet." web'),
  );
  expect(created.find(([field]) => field === 'description')?.[1]).toBe('Allows Web traffic anywhere on the Internet.');
  expect(created.filter(([, value]) => value?.includes("direction='egress'")).length).toBe(2);
  for (const port of [80, 443]) {
    const rule = cells(
      await as(
        `openstack security group rule create --protocol tcp --dst-port ${port.toString()}:${port.toString()} --remote-ip 0.0.0.0/0 web`,
      ),
    );
    const fields = new Map(rule.map(([field = '', value = '']) => [field, value]));
    expect(Object.fromEntries(fields)).toMatchObject({
      direction: 'ingress',
      ether_type: 'IPv4',
      port_range_max: port.toString(),
      port_range_min: port.toString(),
      protocol: 'tcp',
      remote_group_id: 'None',
      remote_ip_prefix: '0.0.0.0/0',
    });
  }
  await as('openstack security group create database');
  await as('openstack security group rule create --protocol tcp --dst-port 3306 --remote-group web database');
  expect(cells(await as('openstack security group list -c Name -c Description')).toSorted()).toEqual([
    ['Name', 'Description'],
    ['database', 'database'],
    ['default', 'Default security group'],
    ['web', 'Allows Web traffic anywhere on the Internet.'],
  ]);
  expect(
    cells(
      await as('openstack security group rule list web --ingress -c "IP Protocol" -c "IP Range" -c "Port Range"'),
    ).toSorted(),
  ).toEqual([
    ['IP Protocol', 'IP Range', 'Port Range'],
    ['tcp', '0.0.0.0/0', '443:443'],
    ['tcp', '0.0.0.0/0', '80:80'],
  ]);
  for (const [name, groups] of [
    ['web1', '--security-group web'],
    ['web2', '--security-group web'],
    ['db1', '--security-group database'],
    ['outsider', ''],
  ]) {
    await as(`openstack server create --flavor m1.tiny --image any --network net ${groups ?? ''} ${name ?? ''}`);
  }
  const servers = await serverPorts();
  for (const port of servers.values()) await cloud.guests.start(port.id, cloud.network.plug(port));
  const untilReached = async (what: string, expected: readonly string[]): Promise<readonly string[]> =>
    cloud.until({
      what,
      probe: async () => reached(servers),
      check: (answer) => expect(answer).toEqual(expected.toSorted()),
    });
  const toWeb = (from: string): readonly string[] =>
    ['web1', 'web2'].filter((to) => to !== from).map((to) => `${from}>${to}:80`);
  const open = ['web1', 'web2', 'db1', 'outsider'].flatMap(toWeb);
  const all = [...open, 'web1>db1:3306', 'web2>db1:3306'];
  await untilReached('the example to be enforced', all);

  await as('openstack server remove security group web1 web');
  const without = open.filter((one) => !one.endsWith('>web1:80'));
  await untilReached('web1 to have lost its group', [
    ...without.filter((one) => !one.startsWith('web1>')),
    'web2>db1:3306',
  ]);
  // Nova shows no groups at all where there are none.
  expect(JSON.parse(await as('openstack server show -f json web1'))).not.toHaveProperty('security_groups');
  await as('openstack server add security group web1 web');
  await untilReached('web1 to have its group again', all);
  expect(await as('openstack server show -f value -c security_groups web1')).toContain('web');

  // What was acknowledged is there, and enforced, after the process is gone and has come back.
  const before = await ports();
  await cloud.stop();
  await start();
  expect(await ports()).toEqual(before);
  await untilReached('the example to be enforced after a restart', all);
});

it('each section of the guide', async () => {
  await as('openstack security group create --description "guide" guide');
  const rule = JSON.parse(
    await as(
      'openstack security group rule create --protocol tcp --dst-port 22 --remote-ip 192.0.2.0/24 guide -f json',
    ),
  ) as { readonly id: string };
  expect(await as('openstack security group show guide -f value -c description')).toBe('guide');
  expect(await as(`openstack security group rule show ${rule.id} -f value -c port_range_min`)).toBe('22');
  await as('openstack port create --network net --no-security-group p');
  const groups = async (): Promise<number> =>
    (JSON.parse(await as('openstack port show p -f json')) as { readonly security_group_ids: readonly string[] })
      .security_group_ids.length;
  expect(await groups()).toBe(0);
  await as('openstack port create --network net --security-group guide p2');
  await as('openstack port set --security-group guide p');
  await as('openstack port set --security-group database p');
  expect(await groups()).toBe(2);
  await as('openstack port unset --security-group guide p');
  expect(await groups()).toBe(1);
  await as('openstack port set --no-security-group p');
  expect(await groups()).toBe(0);
  await as('openstack port delete p p2');
  await as(`openstack security group rule delete ${rule.id}`);
  await as('openstack security group delete guide');
  expect((await cloud.openstack('openstack security group show guide', DEMO)).exit).toBe(1);
});
