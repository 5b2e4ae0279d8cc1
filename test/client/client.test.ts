/**
 * The stock `openstack` client against API, store and agent in one process, and what it does to real packets: the worked example of
 * OpenStack's user guide, each of its sections, and every command that was recorded against a real Neutron.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { execa } from 'execa';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseTopology, type Port } from '../../src/model/index.js';
import { Guests } from '../../src/cli/demo/guests.js';
import { Network } from '../../src/cli/demo/network.js';
import { NO_AUTH_COMMANDS, PASSWORD_COMMANDS, type Command } from './commands.js';

const MAIN = 'dist/src/cli/main.js';
const URL = 'http://127.0.0.1:9696';
const HOST = 'compute-1';

/** A host with an agent that serves the API, and a client on it. */
class Cloud {
  readonly network = new Network('pctest-');
  readonly guests = new Guests([22, 80, 443, 3306], 'dist/src/cli/demo/guest.js');
  readonly folder = mkdtempSync(join(tmpdir(), 'portcullis-client-'));
  #agent: ChildProcess | undefined;
  #api: ChildProcess | undefined;
  output = '';

  async start(...args: readonly string[]): Promise<void> {
    this.output = '';
    await execa('ip', ['-n', this.network.host, 'link', 'set', 'lo', 'up']);
    const api = ['--api', '127.0.0.1:9696', '--store', join(this.folder, 'store')];
    this.#agent = this.#spawn('agent', ...api, '--host', HOST, '--socket', join(this.folder, 'agent.sock'), ...args);
    await this.#listening();
  }

  /** API and agent as two processes; the agent has a token of its own. */
  async startApart(): Promise<void> {
    writeFileSync(join(this.folder, 'agent-token'), 'the-token-of-agents\n', { mode: 0o600 });
    await execa('ip', ['-n', this.network.host, 'link', 'set', 'lo', 'up']);
    await this.startApi();
    const args = ['agent', '--source', `api:${URL}`, '--source-token', join(this.folder, 'agent-token')];
    this.#agent = this.#spawn(...args, '--host', HOST, '--socket', join(this.folder, 'agent.sock'));
  }

  async startApi(): Promise<void> {
    this.output = '';
    const store = join(this.folder, 'store');
    this.#api = this.#spawn('api', '--store', store, '--agent-token', join(this.folder, 'agent-token'));
    await this.#listening();
  }

  async killApi(): Promise<void> {
    const api = this.#api;
    const ended = new Promise((resolve) => api?.once('exit', resolve));
    api?.kill('SIGKILL');
    await ended;
    this.#api = undefined;
  }

  #spawn(...args: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.network.host, process.execPath, MAIN, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.output += chunk.toString();
    });
    return child;
  }

  async #listening(): Promise<void> {
    await vi.waitFor(
      () => {
        expect(this.output).toContain('the API listens');
      },
      { timeout: 15_000, interval: 50 },
    );
  }

  /** Runs the client as somebody types it. */
  async openstack(
    line: string,
    env: Readonly<Record<string, string>>,
  ): Promise<{ exit: number; out: string; err: string }> {
    const command = `ip netns exec ${this.network.host} ${line}`;
    const { exitCode, stdout, stderr } = await execa('bash', ['-c', command], { reject: false, env, timeout: 60_000 });
    return { exit: exitCode ?? -1, out: stdout, err: stderr };
  }

  async portcullis(...args: readonly string[]): Promise<string> {
    return (await execa('ip', ['netns', 'exec', this.network.host, process.execPath, MAIN, ...args])).stdout;
  }

  async ports(...more: readonly string[]): Promise<readonly Port[]> {
    const content: unknown = JSON.parse(await this.portcullis('export', '--api', URL, ...more));
    return [...parseTopology([{ file: 'export', content }]).topology.ports.values()];
  }

  async stop(): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (agent === undefined) return;
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill('SIGTERM');
    await ended;
  }

  async end(): Promise<void> {
    await this.stop();
    if (this.#api !== undefined) await this.killApi();
    this.guests.end();
    this.network.remove();
    rmSync(this.folder, { recursive: true });
  }
}

/** The columns of a table that the client prints: `| a | b |`. */
function cells(table: string): readonly (readonly string[])[] {
  return table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

async function runAll(
  cloud: Cloud,
  commands: readonly Command[],
  envOf: (command: Command) => Readonly<Record<string, string>>,
): Promise<void> {
  const kept = new Map<string, string>();
  for (const command of commands) {
    const line = command.line.replace(/\$([A-Z]+)/g, (_all, name: string) => kept.get(name) ?? '');
    const { exit, out, err } = await cloud.openstack(line, envOf(command));
    expect([command.line, exit, exit === (command.exit ?? 0) ? '' : err]).toEqual([
      command.line,
      command.exit ?? 0,
      '',
    ]);
    if (command.keep !== undefined) kept.set(command.keep, (JSON.parse(out) as { readonly id: string }).id);
    if (command.says !== undefined) expect(`${out}${err}`).toContain(command.says);
    if (command.columns !== undefined) expect(cells(out)[0]).toEqual(command.columns);
    if (command.fields !== undefined)
      expect(cells(out).map(([name]) => name)).toEqual(expect.arrayContaining([...command.fields]));
  }
}

describe('without authentication', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = new Cloud();
    await cloud.start();
  });
  afterAll(async () => cloud.end());

  it('every recorded command ends as it did against Neutron', { timeout: 240_000 }, async () => {
    await runAll(cloud, NO_AUTH_COMMANDS, () => ({ OS_AUTH_TYPE: 'none', OS_ENDPOINT: URL }));
  });
});

const USERS = `
projects: [{ id: 8ea9e93328d2476bb46ff0ff81a9d1da, name: demo }, { id: c95084935bac4f878697988235623fd4, name: other }]
users:
  - { id: u1, name: demo, password: secret, roles: { demo: [member] } }
  - { id: u2, name: admin, password: top, roles: { demo: [admin] } }
tokens:
  - { token: 0123456789abcdef0123, user: u2, project: 8ea9e93328d2476bb46ff0ff81a9d1da }
`;

const login = (name: string, password: string): Readonly<Record<string, string>> => ({
  OS_AUTH_URL: `${URL}/identity`,
  OS_PROJECT_NAME: 'demo',
  OS_USERNAME: name,
  OS_PASSWORD: password,
  OS_PROJECT_DOMAIN_ID: 'default',
  OS_USER_DOMAIN_ID: 'default',
});
const DEMO = login('demo', 'secret');

describe('with passwords', () => {
  let cloud: Cloud;
  let token: string;
  beforeAll(async () => {
    cloud = new Cloud();
    writeFileSync(join(cloud.folder, 'users.yaml'), USERS, { mode: 0o600 });
    token = join(cloud.folder, 'token');
    writeFileSync(token, '0123456789abcdef0123\n');
    await cloud.start('--auth', `tokens:${join(cloud.folder, 'users.yaml')}`);
  });
  afterAll(async () => cloud.end());

  const as = async (line: string): Promise<string> => {
    const { exit, out, err } = await cloud.openstack(line, DEMO);
    expect([line, exit, exit === 0 ? '' : err]).toEqual([line, 0, '']);
    return out;
  };

  /** Who reaches whom: `from>to:service`, of all pairs. */
  async function reached(): Promise<readonly string[]> {
    const ports = await cloud.ports('--token-file', token);
    const nameOf = await names();
    const services = [22, 80, 3306];
    const found: string[] = [];
    for (const from of ports) {
      const targets = ports
        .filter((to) => to !== from)
        .flatMap((to) =>
          services.map((port) => ({ address: to.fixedIps[0]?.text ?? '', port, name: nameOf.get(to.id) })),
        );
      const answers = await cloud.guests.connect(from.id, targets);
      targets.forEach(({ port, name }, index) => {
        if (answers[index] === true) found.push(`${nameOf.get(from.id) ?? ''}>${name ?? ''}:${port.toString()}`);
      });
    }
    return found.sort();
  }

  /** Servers' names by their ports' ids. */
  async function names(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const server of ['web1', 'web2', 'db1', 'outsider']) {
      for (const { ID: id } of JSON.parse(await as(`openstack port list --server ${server} -f json`)) as {
        readonly ID: string;
      }[]) {
        found.set(id, server);
      }
    }
    return found;
  }

  it(
    'the worked example: web servers reach MySQL and nobody else does, until they lose their group',
    { timeout: 240_000 },
    async () => {
      await as('openstack network create net');
      await as('openstack subnet create --network net --subnet-range 10.9.0.0/24 sub4');
      const created = cells(
        await as('openstack security group create --description "Allows Web traffic anywhere on the Internet." web'),
      );
      expect(created.find(([field]) => field === 'description')?.[1]).toBe(
        'Allows Web traffic anywhere on the Internet.',
      );
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
      for (const port of await cloud.ports('--token-file', token)) {
        await cloud.guests.start(port.id, cloud.network.plug(port));
      }
      const toWeb = (from: string): readonly string[] =>
        ['web1', 'web2'].filter((to) => to !== from).map((to) => `${from}>${to}:80`);
      const open = ['web1', 'web2', 'db1', 'outsider'].flatMap(toWeb);
      await expect.poll(reached, { timeout: 60_000 }).toEqual([...open, 'web1>db1:3306', 'web2>db1:3306'].sort());

      await as('openstack server remove security group web1 web');
      const without = open.filter((one) => !one.endsWith('>web1:80'));
      await expect
        .poll(reached, { timeout: 30_000 })
        .toEqual([...without.filter((one) => !one.startsWith('web1>')), 'web2>db1:3306'].sort());
      // Nova shows no groups at all where there are none.
      expect(JSON.parse(await as('openstack server show -f json web1'))).not.toHaveProperty('security_groups');
      await as('openstack server add security group web1 web');
      await expect.poll(reached, { timeout: 30_000 }).toEqual([...open, 'web1>db1:3306', 'web2>db1:3306'].sort());
      expect(await as('openstack server show -f value -c security_groups web1')).toContain('web');

      // What was acknowledged is there, and enforced, after the process is gone and has come back.
      await cloud.stop();
      await cloud.start('--auth', `tokens:${join(cloud.folder, 'users.yaml')}`);
      await expect.poll(reached, { timeout: 30_000 }).toEqual([...open, 'web1>db1:3306', 'web2>db1:3306'].sort());
    },
  );

  it('each section of the guide', { timeout: 120_000 }, async () => {
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
});

describe('with passwords, recorded', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = new Cloud();
    writeFileSync(join(cloud.folder, 'users.yaml'), USERS, { mode: 0o600 });
    await cloud.start('--auth', `tokens:${join(cloud.folder, 'users.yaml')}`);
  });
  afterAll(async () => cloud.end());

  it('every recorded command ends as it did', { timeout: 120_000 }, async () => {
    await runAll(cloud, PASSWORD_COMMANDS, ({ isAdmin }) => (isAdmin === true ? login('admin', 'top') : DEMO));
  });
});

describe('an agent beside the API', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = new Cloud();
    await cloud.startApart();
  });
  afterAll(async () => cloud.end());

  it('follows it, stays as it is while it is gone, and goes on when it is back', { timeout: 60_000 }, async () => {
    const env = { OS_AUTH_TYPE: 'none', OS_ENDPOINT: URL };
    const as = async (line: string): Promise<void> => {
      const { exit, err } = await cloud.openstack(line, env);
      expect([line, exit, exit === 0 ? '' : err]).toEqual([line, 0, '']);
    };
    const status = async (): Promise<string> =>
      cloud.portcullis('status', '--socket', join(cloud.folder, 'agent.sock')).catch(() => '');
    await as('openstack network create net');
    await as(`openstack port create --network net --host ${HOST} p1`);
    await expect.poll(status, { timeout: 15_000 }).toMatch(/absent +enforced +p1/);
    await cloud.killApi();
    await expect.poll(status, { timeout: 15_000 }).toMatch(/STALE/);
    expect(await status()).toMatch(/^enforced/);
    await cloud.startApi();
    await as(`openstack port create --network net --host ${HOST} p2`);
    await expect.poll(status, { timeout: 15_000 }).toMatch(/enforced +p2/);
    expect(await status()).not.toMatch(/STALE/);
  });
});
