// OpenStack's own tests of Neutron's API: tempest and its neutron plugin, from the distribution, against our API, with a real Keystone.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { obstacle, PYTHON } from './debian.mjs';
import { Keystone } from './keystone.mjs';
import { serve, start } from './processes.mjs';

const MODULES = ['tempest', 'neutron_tempest_plugin', 'keystone'];
const PACKAGES = ['python3-tempest', 'neutron-tempest-plugin', 'python3-keystone'];
/** At a time. Classes of tests have projects of their own; more than these keep two cores no busier. */
const PARTS = 2;

/** What an API of security groups has to offer. Fixed: an API that leaves one out fails its tests, it does not skip them. */
const EXTENSIONS = [
  ...[
    'security-group',
    'stateful-security-group',
    'security-groups-normalized-cidr',
    'security-groups-shared-filtering',
  ],
  ...['security-groups-remote-address-group', 'address-group', 'port-security', 'port-security-groups-filtering'],
  ...['allowed-address-pairs', 'rbac-policies', 'rbac-security-groups', 'rbac-address-group'],
  ...['quotas', 'quota_details', 'quota-check-limit', 'pagination', 'sorting', 'project-id', 'filter-validation'],
  ...['empty-string-filtering', 'ip-substring-filtering', 'binding', 'extra_dhcp_opt', 'net-mtu', 'net-mtu-writable'],
  ...['port-mac-address-regenerate', 'provider', 'external-net', 'revision-if-match', 'standard-attr-description'],
  ...['standard-attr-revisions', 'standard-attr-tag', 'standard-attr-timestamp'],
];

const configuration = (folder, keystone) => `[DEFAULT]
log_file = ${folder}/tempest.log
use_stderr = false
[oslo_concurrency]
lock_path = ${folder}/lock
[auth]
admin_username = admin
admin_password = secret
admin_project_name = admin
admin_domain_name = Default
tempest_roles = member
create_isolated_networks = false
[identity]
uri_v3 = ${keystone}v3
auth_version = v3
region = RegionOne
[identity-feature-enabled]
api_v2 = false
[service_available]
neutron = true
nova = false
glance = false
cinder = false
swift = false
horizon = false
[network]
build_interval = 1
project_network_cidr = 10.100.0.0/16
project_network_mask_bits = 28
[network-feature-enabled]
ipv6 = true
port_security = true
api_extensions = ${EXTENSIONS.join(',')}
[neutron_plugin_options]
available_type_drivers = local
`;

/**
 * Runs the selected tests in several processes.
 * @returns by name, how each one ended: { state, why }; one that never did is failed
 */
async function runTests(root, folder, only) {
  const program = join(root, 'test', 'conformance', 'run-tempest.py');
  const env = { TEMPEST_CONFIG: join(folder, 'tempest.conf'), TEMPEST_CONFIG_DIR: folder };
  const list = execFileSync(PYTHON, [program, '--list', '--only', only], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ends = new Map(list.split('\n').flatMap((name) => (name === '' ? [] : [[name, undefined]])));
  const part = async (number) => {
    let current = 'nothing yet';
    const noise = [];
    const { ended } = start(PYTHON, [program, '--only', only, '--part', `${number}/${PARTS}`], {
      env,
      withErrors: true,
      onLine: (line) => {
        if (!line.startsWith('{"test"')) return noise.push(line);
        const { test, state, why } = JSON.parse(line);
        if (state === 'started') return (current = test);
        // A test that failed does not pass any more, whatever its class says afterwards.
        if (ends.get(test)?.state !== 'failed') ends.set(test, { state, why });
        process.stdout.write(`${state.padEnd(7)} ${test}${state === 'skipped' ? ` (${why.split('\n')[0]})` : ''}\n`);
      },
    });
    const { status, isSilent } = await ended;
    if (status === 0) return;
    const reason = isSilent ? 'said nothing any more and was ended' : `ended with ${status}`;
    const last = noise.slice(-5).join('\n');
    process.stdout.write(`the runner of part ${number + 1} ${reason}; it was at ${current}\n${last}\n`);
  };
  await Promise.all(Array.from({ length: PARTS }, (_, number) => part(number)));
  return new Map([...ends].map(([name, end]) => [name, end ?? { state: 'failed', why: 'it did not run' }]));
}

/**
 * @param options.root the project, built
 * @param options.only a regular expression: those tests whose names it matches
 * @returns the suite's row of the table
 */
export async function tempest({ root, only }) {
  const suite = 'tempest';
  const why = obstacle(MODULES, PACKAGES);
  if (why !== undefined) return { suite, passed: 0, failed: 0, skipped: 0, why: `not run: ${why}` };
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-conformance-'));
  const daemons = [];
  try {
    mkdirSync(join(folder, 'lock'));
    const keystone = await Keystone.start(root, join(folder, 'keystone'));
    daemons.push(keystone);
    const listen = ['--listen', '127.0.0.1:0', '--store', join(folder, 'store')];
    const main = join(root, 'dist', 'src', 'cli', 'main.js');
    // One client that asks as fast as it can is what a suite is.
    const args = [main, 'api', ...listen, '--auth', `keystone:${keystone.url}`, '--rate', '100000'];
    const api = await serve(process.execPath, args, {
      isReady: (line) => /"address":"(http[^"]+)"/.exec(line)?.[1],
    });
    daemons.push(api);
    await keystone.register('network', api.ready);
    writeFileSync(join(folder, 'tempest.conf'), configuration(folder, keystone.url));
    const ends = await runTests(root, folder, only);
    return summary(suite, ends, api.said());
  } finally {
    for (const daemon of daemons) await daemon.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Says of each test that did not pass why. */
function summary(suite, ends, said) {
  const of = (state) => [...ends].filter(([, end]) => end.state === state);
  const failed = of('failed');
  for (const [name, { why }] of failed) {
    const lines = why.split('\n').filter((line) => line.trim() !== '');
    process.stdout.write(`\nfailed: ${name}\n${lines.slice(-3).join('\n').slice(0, 1200)}\n`);
  }
  if (failed.length > 0) process.stdout.write(`\nthe API said last:\n${said}\n`);
  const skipped = of('skipped').length;
  return {
    suite,
    passed: of('passed').length,
    failed: failed.length,
    skipped,
    why: skipped > 0 ? 'a selected test that skips itself did not pass' : '',
  };
}
