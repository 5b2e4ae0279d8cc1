// The acceptance tests that clients bring with them, from the distribution, against our API, with a real Keystone.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { obstacle, PYTHON } from './debian.mjs';
import { Keystone } from './keystone.mjs';
import { serve, start } from './processes.mjs';

const CLIENTS = [
  {
    suite: 'openstacksdk',
    package: 'python3-openstacksdk',
    module: 'openstack.tests.functional',
    modules: [
      ...['address_group', 'extension', 'network', 'port', 'quota', 'rbac_policy', 'security_group'].map(
        (name) => `network.v2.test_${name}`,
      ),
      ...['security_group_rule', 'subnet'].map((name) => `network.v2.test_${name}`),
      ...['network', 'port', 'security_groups'].map((name) => `cloud.test_${name}`),
    ],
  },
  {
    suite: 'openstack client',
    package: 'python3-openstackclient',
    module: 'openstackclient.tests.functional',
    modules: [
      ...['address_group', 'network_rbac', 'port', 'security_group', 'security_group_rule', 'subnet'].map(
        (name) => `network.v2.test_${name}`,
      ),
      // The others of its class are about a default network, which is no part of this API, about Nova's own networks, and about agents.
      ...['create', 'delete'].map((verb) => `network.v2.test_network.NetworkTests.test_network_${verb}_network`),
    ],
  },
];

/** @returns a row of the table for each client */
export async function clients({ root }) {
  const packages = ['python3-keystone', 'python3-tempest', ...CLIENTS.map((client) => client.package)];
  const why = obstacle(['keystone', 'tempest', ...CLIENTS.map(({ module }) => module)], packages);
  if (why !== undefined)
    return CLIENTS.map(({ suite }) => ({ suite, passed: 0, failed: 0, skipped: 0, why: `not run: ${why}` }));
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-clients-'));
  const daemons = [];
  try {
    const keystone = await Keystone.start(root, join(folder, 'keystone'));
    daemons.push(keystone);
    const main = join(root, 'dist', 'src', 'cli', 'main.js');
    const args = ['--listen', '127.0.0.1:0', '--store', join(folder, 'store'), '--compute-host', 'host-1'];
    const api = await serve(
      process.execPath,
      [main, 'api', ...args, '--auth', `keystone:${keystone.url}`, '--rate', '100000'],
      {
        isReady: (line) => /"address":"(http[^"]+)"/.exec(line)?.[1],
      },
    );
    daemons.push(api);
    for (const [type, path] of [
      ['network', ''],
      ['compute', '/compute/v2.1'],
      ['image', '/image'],
    ])
      await keystone.register(type, `${api.ready}${path}`);
    for (const name of ['demo', 'alt_demo']) {
      const project = await keystone.make('project', { name });
      await keystone.grant(await keystone.make('user', { name, password: 'secret' }), project, 'member');
    }
    await furnish(api.ready, await keystone.token('admin', 'admin'));
    const env = {
      ...{ OS_CLIENT_CONFIG_FILE: join(folder, 'clouds.yaml'), OS_CLOUD: 'devstack-admin', HOME: folder },
      ...{ OPENSTACKSDK_IMAGE: 'none', OPENSTACKSDK_FLAVOR: 'm1.tiny' },
    };
    writeFileSync(env.OS_CLIENT_CONFIG_FILE, JSON.stringify(cloudsOf(keystone.url)), { mode: 0o600 });
    const rows = [];
    for (const client of CLIENTS) rows.push(await run(client, env));
    if (rows.some(({ failed }) => failed > 0)) process.stdout.write(`\nthe API said last:\n${api.said()}\n`);
    return rows;
  } finally {
    for (const daemon of daemons.reverse()) await daemon.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What these tests find on a devstack: a network of an administrator's, and the world outside. */
async function furnish(url, token) {
  const make = async (kind, fields) => {
    const response = await globalThis.fetch(`${url}/v2.0/${kind}s`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Auth-Token': token },
      body: JSON.stringify({ [kind]: fields }),
    });
    if (!response.ok) throw new Error(`POST ${kind}s: ${response.status} ${await response.text()}`);
    return (await response.json())[kind];
  };
  for (const [fields, cidr] of [
    [{ name: 'private' }, '10.250.0.0/24'],
    [{ name: 'public', 'router:external': true }, '10.251.0.0/24'],
  ]) {
    const network = await make('network', fields);
    await make('subnet', { network_id: network.id, ip_version: 4, cidr });
  }
}

/** The clouds that the tests of both clients name. YAML is a superset of JSON. */
function cloudsOf(keystoneUrl) {
  const cloud = (username, project) => ({
    region_name: 'RegionOne',
    identity_api_version: '3',
    auth: {
      ...{ auth_url: `${keystoneUrl}v3`, username, password: 'secret', project_name: project },
      ...{ user_domain_id: 'default', project_domain_id: 'default' },
    },
  });
  return {
    clouds: {
      devstack: cloud('demo', 'demo'),
      'devstack-alt': cloud('alt_demo', 'alt_demo'),
      'devstack-admin': cloud('admin', 'admin'),
    },
  };
}

/** How unittest says that a test ended. What the test prints may stand before it. */
const END = /(?:^|\.\.\. )(ok|FAIL|ERROR|skipped .*|expected failure)$/;

async function run({ suite, module, modules }, env) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  let current = '';
  const rest = [];
  const names = modules.map((name) => `${module}.${name}`);
  const { ended } = start(PYTHON, ['-m', 'unittest', '-v', ...names], {
    env,
    withErrors: true,
    onLine: (line) => {
      const [, test, where] = /^(test\w+|setUpClass|tearDownClass) \(([\w.]+)\)/.exec(line) ?? [];
      if (test !== undefined) current = where.endsWith(`.${test}`) ? where : `${where}.${test}`;
      const end = END.exec(line)?.[1];
      if (end === undefined || current === '') return rest.push(line);
      const state =
        end === 'ok' || end === 'expected failure' ? 'passed' : end.startsWith('skipped') ? 'skipped' : 'failed';
      counts[state]++;
      process.stdout.write(`${state.padEnd(7)} ${current}${state === 'skipped' ? ` (${end.slice(8)})` : ''}\n`);
      current = '';
    },
  });
  const { status, isSilent } = await ended;
  const isCut = isSilent || status === undefined || counts.passed + counts.failed + counts.skipped === 0;
  if (counts.failed > 0 || isCut) process.stdout.write(`${rest.slice(-400).join('\n')}\n`);
  return { suite, ...counts, failed: counts.failed + Number(isCut), why: isCut ? `it ended with ${status}` : '' };
}
