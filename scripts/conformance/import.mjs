// A real Neutron with a real Keystone, filled with what people have there, and `portcullis import` from it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { cloud, Neutron, neutronObstacle } from './neutron.mjs';

const SUITE = 'import from Neutron';
const LISTS = ['networks', 'subnets', 'security_groups', 'address_groups', 'ports', 'rbac_policies'];
/** What Neutron says of an object beside what it is: nobody's wish, or of parts that are not here. */
const NOT_KEPT = [
  ...[
    'tenant_id',
    'status',
    'availability_zone_hints',
    'availability_zones',
    'ipv4_address_scope',
    'ipv6_address_scope',
  ],
  ...[
    'l2_adjacency',
    'vlan_transparent',
    'subnets',
    'subnetpool_id',
    'shared',
    'standard_attr_id',
    'provider:network_type',
  ],
  ...['provider:physical_network', 'provider:segmentation_id', 'binding:vif_type', 'binding:vif_details', 'is_default'],
  ...['security_group_rules', 'revision_number', 'dns_name', 'dns_assignment', 'normalized_cidr'],
];

/** @returns the suite's row of the table */
export async function importing({ root }) {
  const reason = neutronObstacle();
  if (reason !== undefined) return { suite: SUITE, passed: 0, failed: 0, skipped: 0, why: `not run: ${reason}` };
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-import-'));
  const daemons = [];
  try {
    const { keystone, neutron } = await cloud(root, folder, daemons);
    const admin = new Neutron(neutron.ready, await keystone.token('admin', 'admin'));
    await fill(admin, new Neutron(neutron.ready, await keystone.token('demo', 'demo')));
    return await judge(root, folder, keystone.url, admin);
  } finally {
    for (const daemon of daemons.reverse()) await daemon.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Something of everything, and two objects that no packet filter can take. */
async function fill(admin, demo) {
  const network = await demo.make('network', { name: 'net' });
  await admin.make('network', { name: 'public', 'router:external': true, shared: true });
  const inNetwork = { network_id: network.id };
  const routes = [{ destination: '10.9.0.0/16', nexthop: '10.0.0.9' }];
  await demo.make('subnet', {
    ...inNetwork,
    ...{ ip_version: 4, cidr: '10.0.0.0/24', dns_nameservers: ['192.0.2.2', '192.0.2.1'], host_routes: routes },
  });
  const slaac = { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' };
  await demo.make('subnet', { ...inNetwork, ip_version: 6, cidr: '2001:db8::/64', ...slaac });
  const web = await demo.make('security_group', { name: 'web "1"\n😀', description: 'a\tb' });
  const fast = await demo.make('security_group', { name: 'fast', stateful: false });
  const office = await demo.make('address_group', { name: 'office', addresses: ['192.0.2.0/24', '2001:db8:5::/48'] });
  for (const rule of [
    { protocol: 'tcp', port_range_min: 80, port_range_max: 90 },
    { protocol: 'tcp', port_range_min: 443, port_range_max: 443, remote_ip_prefix: '0.0.0.0/0' },
    { protocol: 'icmp', port_range_min: 8, port_range_max: 0 },
    { protocol: 'icmp', ethertype: 'IPv6' },
    { protocol: '132', port_range_min: 5, port_range_max: 5 },
    { protocol: 'ip', remote_ip_prefix: '10.0.0.7/24' },
    { remote_group_id: fast.id },
    { protocol: 'udp', port_range_min: 53, port_range_max: 53, remote_address_group_id: office.id },
    { ethertype: 'IPv6', remote_ip_prefix: '::ffff:10.0.0.1/128' },
  ]) {
    await demo.make('security_group_rule', { direction: 'ingress', security_group_id: web.id, ...rule });
  }
  await demo.ask('PUT', `security-groups/${web.id}/tags`, { tags: ['red', 'blue'] });
  await demo.make('port', {
    ...inNetwork,
    ...{ name: 'options', security_groups: [web.id] },
    extra_dhcp_opts: [
      { opt_name: 'mtu', opt_value: '1400' },
      { opt_name: 'dns-server', opt_value: '2001:db8::1', ip_version: 6 },
    ],
    allowed_address_pairs: [
      { ip_address: '10.0.0.200' },
      { ip_address: '10.0.1.0/24', mac_address: 'FA-16-3E-00-00-AA' },
    ],
  });
  const bound = await admin.make('port', {
    ...inNetwork,
    ...{ name: 'bound', device_owner: 'compute:nova', device_id: 'server', 'binding:host_id': 'host-1' },
    'binding:profile': { migrating_to: 'host-2', nested: { list: [1, 2, null] } },
    'binding:vnic_type': 'direct',
  });
  await admin.ask('PUT', `ports/${bound.id}/tags`, { tags: ['z', 'a'] });
  await demo.make('port', { ...inNetwork, name: 'open', port_security_enabled: false, security_groups: [] });
  await demo.make('port', { ...inNetwork, name: 'without', fixed_ips: [], admin_state_up: false });
  for (let count = 0; count < 9; count++) await demo.make('port', { ...inNetwork, name: 'same' });
  await demo.make('port', { ...inNetwork, name: 'multicast', mac_address: '01:00:5e:00:00:0b' });
  await demo.make('port', { ...inNetwork, name: 'group pair', allowed_address_pairs: [{ ip_address: '224.0.0.18' }] });
  for (const [by, type, object, target] of [
    [demo, 'security_group', web.id, 'a-project'],
    [admin, 'address_group', office.id, '*'],
    [demo, 'network', network.id, 'a-project'],
  ]) {
    const policy = { object_type: type, object_id: object, action: 'access_as_shared', target_tenant: target };
    await by.make('rbac_policy', policy);
  }
  const external = { object_type: 'network', object_id: network.id, action: 'access_as_external' };
  await admin.make('rbac_policy', { ...external, target_tenant: 'a-project' });
  await admin.ask('PUT', 'quotas/a-project', { quota: { security_group: 33, port: -1, network: 7 } });
}

/** Runs the checks. */
async function judge(root, folder, keystoneUrl, admin) {
  const main = join(root, 'dist', 'src', 'cli', 'main.js');
  const login = { username: 'admin', password: 'secret', project_name: 'admin', user_domain_id: 'default' };
  const auth = { auth_url: `${keystoneUrl}v3`, ...login, project_domain_id: 'default' };
  // YAML is a superset of JSON.
  const clouds = join(folder, 'clouds.yaml');
  writeFileSync(clouds, JSON.stringify({ clouds: { real: { region_name: 'RegionOne', auth } } }), { mode: 0o600 });
  const variables = Object.fromEntries(Object.entries(auth).map(([key, value]) => [`OS_${key.toUpperCase()}`, value]));
  const around = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OS_')));
  const run = (args, env = {}) =>
    spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env: { ...around, ...env } });
  const exported = (store) => run(['export', '--store', join(folder, store)]).stdout;
  const neutron = Object.fromEntries(await Promise.all(LISTS.map(async (list) => [list, await admin.all(list)])));
  let [passed, failed] = [0, 0];
  const check = (what, why) => {
    if (why === '') passed++;
    else failed++;
    process.stdout.write(`${why === '' ? 'passed' : 'failed'}  ${what}${why === '' ? '' : `: ${why}`}\n`);
  };
  const unusable = ['::ffff:10.0.0.1/128', '224.0.0.18'];

  const refused = run(['import', '--store', join(folder, 'refused'), '--os-cloud', 'real'], {
    OS_CLIENT_CONFIG_FILE: clouds,
  });
  const isNamed = unusable.every((text) => refused.stderr.includes(text));
  check('what cannot be used is named, and nothing is imported', refused.status === 1 && isNamed ? '' : refused.stderr);
  check('nothing was written', existsSync(join(folder, 'refused')) ? 'there is a store' : '');

  const skipping = ['--skip-invalid'];
  const one = run(['import', '--store', join(folder, 'one'), '--os-cloud', 'real', ...skipping], {
    OS_CLIENT_CONFIG_FILE: clouds,
  });
  check('--os-cloud logs in as clouds.yaml says', one.status === 0 ? '' : one.stderr);
  const leftOut = one.stdout
    .split('\n')
    .concat(one.stderr.split('\n'))
    .filter((line) => line.startsWith('left out'));
  const expected = [...unusable, 'access_as_external'];
  const isExact =
    leftOut.length === expected.length && expected.every((text) => leftOut.some((line) => line.includes(text)));
  check('--skip-invalid leaves out what cannot be used, and names it', isExact ? '' : leftOut.join('\n'));

  const text = exported('one');
  const ours = JSON.parse(text);
  for (const list of LISTS) check(`${list}: nothing is lost`, lost(neutron[list], ours[list], list).join('; '));
  const rules = neutron.security_groups.flatMap((group) => group.security_group_rules);
  const ourRules = ours.security_groups.flatMap((group) => group.security_group_rules);
  // Neutron shows the tags that nobody gave to a rule.
  const untagged = rules.map(({ tags, ...rule }) => (tags?.length > 0 ? { tags, ...rule } : rule));
  check('rules: nothing is lost', lost(untagged, ourRules, 'security_group_rules').join('; '));
  const quota = ours.quotas.find((each) => each.project_id === 'a-project');
  const isQuota = quota?.security_group === 33 && quota.port === -1 && quota.network === 7;
  check('quotas: nothing is lost', isQuota ? '' : JSON.stringify(ours.quotas));

  const two = run(['import', '--store', join(folder, 'two'), '--auth', 'keystone', ...skipping], variables);
  check('--auth keystone logs in as the variables say', two.status === 0 ? '' : two.stderr);
  check('both ways give the same', withoutMade(exported('two')) === withoutMade(text) ? '' : 'exports differ');
  writeFileSync(join(folder, 'export.json'), text);
  const three = run(['import', '--store', join(folder, 'three'), '-t', join(folder, 'export.json')]);
  check('what was exported is imported', three.status === 0 ? '' : three.stderr);
  check('import, export, import, export: byte by byte the same', exported('three') === text ? '' : 'exports differ');
  const checked = run(['check', '-t', join(folder, 'export.json')]);
  check('what was exported is a topology', checked.status === 0 ? '' : checked.stdout);
  return { suite: SUITE, passed, failed, skipped: 0, why: '' };
}

/** What an import makes where a Neutron has none: templates with ids of their own (before 2024.1), times of address groups. */
function withoutMade(text) {
  const content = { ...JSON.parse(text), default_security_group_rules: [] };
  return JSON.stringify(content, (key, value) => (['created_at', 'updated_at'].includes(key) ? undefined : value));
}

/** What Neutron says of its objects and our export does not. */
function lost(theirs, ours, list) {
  const known = new Map(ours.map((one) => [one.id, one]));
  return theirs.flatMap((one) => {
    const found = known.get(one.id);
    if (found === undefined) return isLeftOut(one) ? [] : [`${list} ${one.id} (${one.name ?? ''}) is not there`];
    return Object.entries(one).flatMap(([key, value]) =>
      NOT_KEPT.includes(key) || isSame(value, found[key])
        ? []
        : [`${key} of ${one.id}: ${JSON.stringify(value)} became ${JSON.stringify(found[key])}`],
    );
  });
}

function isLeftOut(one) {
  const isPair = one.allowed_address_pairs?.some((pair) => pair.ip_address === '224.0.0.18');
  const isAddress = one.remote_ip_prefix === '::ffff:10.0.0.1/128';
  return isPair || isAddress || one.action === 'access_as_external';
}

/** Lists of names are sets. */
function isSame(theirs, ours) {
  const sorted = (value) =>
    Array.isArray(value) ? [...value].map((one) => JSON.stringify(one, sortedKeys(one))).sort() : value;
  return isDeepStrictEqual(sorted(theirs), sorted(ours));
}

const sortedKeys = (one) =>
  one !== null && typeof one === 'object' && !Array.isArray(one) ? Object.keys(one).sort() : undefined;
