import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CommandError } from '../../../src/cli/errors.js';
import { parse } from '../../../src/cli/run.js';

const EXAMPLE = 'examples/web-and-database.yaml';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-cli-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function portcullis(
  ...args: readonly string[]
): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, ['dist/bin/portcullis.js', ...args], {
    reject: false,
  });
  return { exitCode, stdout, stderr };
}

it('compile --dry-run prints the rules and nothing else', async () => {
  const { exitCode, stdout, stderr } = await portcullis('compile', '--dry-run', '-t', EXAMPLE);
  expect([exitCode, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^table inet portcullis\ndelete table inet portcullis\ntable inet portcullis \{\n/);
});

it('compile --dry-run --format json prints the same rules as libnftables JSON', async () => {
  const { exitCode, stdout } = await portcullis('compile', '--dry-run', '-t', EXAMPLE, '--format', 'json');
  expect(exitCode).toBe(0);
  const { nftables } = JSON.parse(stdout) as { readonly nftables: readonly Readonly<Record<string, unknown>>[] };
  expect(nftables[0]).toEqual({ metainfo: { json_schema_version: 1 } });
  expect(nftables.filter((command) => 'add' in command).length).toBeGreaterThan(50);
});

it('compile --dry-run --port prints the rules of that port alone', async () => {
  const { stdout } = await portcullis('compile', '--dry-run', '-t', EXAMPLE, '--port', 'database-1');
  expect(stdout).toContain('tapb2000001-40');
  expect(stdout).not.toContain('tapa1000001-40');
});

it('compile --dry-run --backend iptables prints each program its part, together or alone', async () => {
  const iptables = ['compile', '--dry-run', '-t', EXAMPLE, '--backend', 'iptables'];
  const { stdout } = await portcullis(...iptables);
  const parts = await Promise.all(
    ['ipset', 'nft', 'iptables', 'ip6tables'].map(async (part) => portcullis(...iptables, '--part', part)),
  );
  expect(
    stdout
      .split('\n')
      .filter((line) => !line.startsWith('# '))
      .join('\n'),
  ).toBe(parts.map((part) => part.stdout).join('\n'));
  expect(parts[0]?.stdout).toContain('add pc-sg_c0b92b20_addresses4 10.0.0.11');
  expect(parts[2]?.stdout).toMatch(/^\*mangle\n[^]*\nCOMMIT$/);
});

it.each<[string, readonly string[], string]>([
  [
    'no host to load for',
    ['compile', '-t', EXAMPLE],
    '--host: name the host whose ports are to be loaded, or use --dry-run',
  ],
  [
    'one port to load',
    ['compile', '-t', EXAMPLE, '--host', 'compute-1', '--port', 'web-1'],
    '--port: only with --dry-run',
  ],
  [
    'a bridge on which iptables sees nothing',
    ['compile', '--dry-run', '-t', EXAMPLE, '--backend', 'iptables', '--datapath', 'bridge'],
    '--backend iptables: iptables sees packets of bridges by br_netfilter alone: use --datapath bridge-netfilter',
  ],
  [
    'a part of one whole',
    ['compile', '--dry-run', '-t', EXAMPLE, '--part', 'ipset'],
    '--part: only with --dry-run --backend iptables',
  ],
  [
    'two bits for a mark',
    ['compile', '--dry-run', '-t', EXAMPLE, '--state-mark', '0x3'],
    '--state-mark: "0x3" is not one bit, from 0x1 to 0x20000000',
  ],
  [
    'a device prefix that is syntax',
    ['baseline', '--dry-run', '--device-prefix', 'a"b'],
    '--device-prefix: "a\\"b" is not the start of a device name',
  ],
  ...['', 'tap*', 'tap+', 'longer-than-ifname'].map((prefix): [string, string[], string] => [
    `a device prefix that is ${JSON.stringify(prefix)}`,
    ['baseline', '--dry-run', '--device-prefix', 'vnet', '--device-prefix', prefix],
    `--device-prefix: ${JSON.stringify(prefix)} is not the start of a device name`,
  ]),
  [
    'a device prefix that another one covers',
    ['baseline', '--dry-run', '--device-prefix', 'tap1', '--device-prefix', 'vnet', '--device-prefix', 'tap'],
    '--device-prefix: "tap1" begins with "tap", which covers it: leave out one of them',
  ],
  [
    'a device prefix that is there twice',
    ['diff', '-t', EXAMPLE, '--host', 'compute-1', '--device-prefix', 'tap', '--device-prefix', 'tap'],
    '--device-prefix: "tap" is there twice: once is enough',
  ],
])('%s is a usage error, in one line', async (_what, args, message) => {
  const error: unknown = await parse(args).catch((why: unknown) => why);
  expect(error).toBeInstanceOf(CommandError);
  expect(error).toMatchObject({ exitCode: 64, message: expect.stringContaining(message) as string });
  expect(String(error).split('\n')).toHaveLength(1);
});

it('a usage error names the help that says more, and nothing is printed', async () => {
  const { exitCode, stdout, stderr } = await portcullis('compile', '-t', EXAMPLE);
  const message =
    'error: --host: name the host whose ports are to be loaded, or use --dry-run (portcullis compile --help)';
  expect([exitCode, stdout, stderr]).toEqual([64, '', message]);
});

it('device prefixes are all managed, in nftables and in iptables, in whatever order they are given', async () => {
  const prefixes = (...names: readonly string[]): readonly string[] =>
    names.flatMap((name) => ['--device-prefix', name]);
  const { stdout } = await portcullis('baseline', '--dry-run', ...prefixes('vnet', 'tap'));
  for (const name of ['tap', 'vnet']) {
    expect(stdout.match(new RegExp(`iifname "${name}\\*" counter drop`, 'g'))).toHaveLength(3);
    expect(stdout.match(new RegExp(`oifname "${name}\\*" counter drop`, 'g'))).toHaveLength(2);
  }
  expect((await portcullis('baseline', '--dry-run', ...prefixes('tap', 'vnet'))).stdout).toBe(stdout);
  expect((await portcullis('baseline', '--dry-run', ...prefixes('tap'))).stdout).toBe(
    (await portcullis('baseline', '--dry-run')).stdout,
  );
  const args = ['compile', '--dry-run', '-t', EXAMPLE, '--backend', 'iptables'];
  const iptables = (await portcullis(...args, ...prefixes('vnet', 'tap'))).stdout;
  for (const name of ['tap', 'vnet']) {
    expect(iptables.match(new RegExp(`-i ${name}\\+ -j DROP`, 'g'))).toHaveLength(2);
    expect(iptables.match(new RegExp(`-o ${name}\\+ -j DROP`, 'g'))).toHaveLength(2);
  }
});

it('of an option that is given twice the last counts, of one that may be repeated all do', async () => {
  const of = async (...args: readonly string[]): Promise<string> =>
    (await portcullis('compile', '--dry-run', '-t', EXAMPLE, '--format', 'json', '--format', 'text', ...args)).stdout;
  const both = await of('--port', 'web-1', '--port', 'database-1');
  expect([both.includes('"tapa1000001-40"'), both.includes('"tapb2000001-40"')]).toEqual([true, true]);
  const ethertypes = ['--ethertype', '0x888e', '--ethertype', '0x88b5'];
  expect(await of('--datapath', 'routed', '--datapath', 'bridge', ...ethertypes)).toContain('{ 0x888e, 0x88b5 }');
});

it('a host that no port is bound to is refused: a mistyped name must not close every port', async () => {
  const { exitCode, stderr } = await portcullis('compile', '-t', EXAMPLE, '--host', 'compute-l');
  expect([exitCode, stderr]).toEqual([
    1,
    'error: --host: no port is bound to "compute-l": ports are bound to compute-1',
  ]);
});

it('check reads standard input for a - among its paths', async () => {
  const { stderr } = await execa(process.execPath, ['dist/bin/portcullis.js', 'check', EXAMPLE, '-'], {
    reject: false,
    input: '{"security_groups": [{"id": 7}]}',
  });
  expect(stderr).toMatch(/^error: standard input:1:23: security_groups\[0\]\.id: /m);
});

it('check passes the example and a dump of Neutron, by option and as arguments', async () => {
  expect((await portcullis('check', '-t', EXAMPLE)).exitCode).toBe(0);
  const { exitCode, stderr } = await portcullis('check', EXAMPLE, 'examples/neutron-dump');
  expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/^\d+ ports, .*: valid$/)]);
});

it('several topologies are one, as the documents of a folder are, and what both have is said in one line', async () => {
  const [groups, ports] = [join(folder, 'groups.json'), join(folder, 'ports.json')];
  writeFileSync(groups, JSON.stringify({ security_groups: [{ id: 'g' }] }));
  const port = { id: 'p1', network_id: 'n', mac_address: 'fa:16:3e:00:00:01', security_groups: ['g'] };
  writeFileSync(ports, JSON.stringify({ ports: [port] }));
  const both = await portcullis('compile', '--dry-run', '-t', groups, '-t', ports);
  expect([both.exitCode, both.stderr, both.stdout]).toEqual([0, '', expect.stringContaining('"tapp1"')]);
  const twice = await portcullis('compile', '--dry-run', '-t', groups, '-t', ports, '-t', ports);
  expect([twice.exitCode, twice.stdout]).toEqual([1, '']);
  expect(twice.stderr.split('\n')).toHaveLength(2);
  expect(twice.stderr).toContain('p1');
});

it('an invalid topology is refused, unless what is invalid is to be skipped', async () => {
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, 'security_groups:\n  - id: g\n    security_group_rules: [{ id: r, direction: up }]\nports: []\n');
  const path = 'security_groups[0].security_group_rules[0].direction';
  const line = `error: ${file}:3:48: ${path}: "up" is not "ingress" or "egress" (in "r")`;
  const refused = await portcullis('compile', '--dry-run', '-t', file);
  expect([refused.exitCode, refused.stdout]).toEqual([1, '']);
  expect(refused.stderr.split('\n')).toEqual([line, `error: 1 error(s) in ${file}: nothing was done`]);
  const skipped = await portcullis('compile', '--dry-run', '-t', file, '--skip-invalid');
  const isolated = 'isolated: security group rule r of group g: it allows nothing';
  expect([skipped.exitCode, skipped.stderr]).toEqual([0, `${line}\n${isolated}`]);
});

it('a bad port is a closed device, and what is wrong with a document as a whole is never skipped', async () => {
  const file = join(folder, 'bad-port.json');
  const port = { id: 'bad-port', device: 'vnet7', network_id: 'n', mac_address: 'x', 'binding:host_id': 'h1' };
  writeFileSync(file, JSON.stringify({ ports: [port] }));
  const skipped = await portcullis('compile', '--dry-run', '-t', file, '--skip-invalid', '--host', 'h1');
  expect([skipped.exitCode, skipped.stdout]).toEqual([0, expect.stringMatching(/"vnet7" : drop/)]);
  const ends = ['--from', '192.0.2.1', '--to', 'bad-port', '--protocol', 'tcp', '--dst-port', '80'];
  expect((await portcullis('explain', '-t', file, '--skip-invalid', ...ends)).exitCode).toBe(3);
  writeFileSync(file, JSON.stringify({ ports: [port], security_group: [] }));
  for (const command of [
    ['compile', '--dry-run'],
    ['explain', ...ends],
  ]) {
    const refused = await portcullis(...command, '-t', file, '--skip-invalid');
    expect([refused.exitCode, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toContain('not all of them within an object');
  }
});

it('a folder of 1 000 files with one broken gives one error, which names that file', async () => {
  const many = mkdtempSync(join(folder, 'many-'));
  for (let number = 0; number < 1000; number++) {
    const broken = number === 500;
    writeFileSync(
      join(many, `port-${String(number)}.json`),
      broken ? '{"ports": [' : `{"security_groups":[{"id":"g${String(number)}"}]}`,
    );
  }
  const { exitCode, stderr } = await portcullis('check', '-t', many);
  expect(exitCode).toBe(1);
  const [error = '', summary] = stderr.split('\n');
  expect(error).toMatch(/^error: .*port-500\.json: is not JSON: /);
  expect(summary).toBe('0 ports, 999 security groups, 0 address groups: 1 problem(s)');
});

it('explain names the deciding rule, and exits 0 or 3', async () => {
  const args = ['explain', '-t', EXAMPLE, '--to', 'database-1', '--protocol', 'tcp', '--dst-port', '3306'];
  const allowed = await portcullis(...args, '--from', 'web-1', '--json');
  expect(allowed.exitCode).toBe(0);
  const [ipv4] = JSON.parse(allowed.stdout) as readonly {
    readonly halves: readonly { readonly rule: { readonly ruleId: string } }[];
  }[];
  expect(ipv4?.halves[1]?.rule.ruleId).toBe('9a3f1c7e-2b1d-4f0a-8c55-1f2e3d4c5b03');
  const dropped = await portcullis(...args, '--from', 'outsider');
  expect(dropped.exitCode).toBe(3);
  expect(dropped.stdout).toContain('but source 10.0.0.99 is no member of group "web" (3 IPv4 members)');
});

it('explain judges many packets at once, and says which part passes', async () => {
  const args = ['explain', '-t', EXAMPLE, '--from', '10.0.0.0/24', '--to', 'database-1', '--protocol', 'tcp'];
  const some = await portcullis(...args, '--dst-port', 'mysql,22', '--json');
  expect([some.exitCode, some.stderr]).toEqual([3, '']);
  const [{ verdict, services, parts } = { verdict: '', services: '', parts: [] }] = JSON.parse(
    some.stdout,
  ) as readonly {
    readonly verdict: string;
    readonly services: string;
    readonly parts: readonly { readonly verdict: string; readonly packets: unknown }[];
  }[];
  expect([verdict, services]).toEqual(['partial', 'tcp 22,3306']);
  expect(parts.filter((part) => part.verdict === 'accept').map(({ packets }) => packets)).toEqual([
    [{ from: ['10.0.0.11-10.0.0.13'], to: ['10.0.0.21'], services: ['tcp 3306'] }],
  ]);
  const all = await portcullis(
    'explain',
    '-t',
    EXAMPLE,
    '--from',
    'any',
    '--to',
    'web-1',
    '--protocol',
    'tcp',
    '--dst-port',
    'http,https',
  );
  expect([all.exitCode, all.stdout.split('\n').filter((line) => line.startsWith('IPv'))]).toEqual([
    0,
    ['IPv4 any -> 10.0.0.11, tcp 80,443: all allowed', 'IPv6 any -> fd00:0:0:1::11, tcp 80,443: all allowed'],
  ]);
});

it.each([
  ['a second address of a port is used as it is given', '10.0.0.2', 0, '10.0.0.2 is port "a" (aaaaaaaa-1111)'],
  ['so is an address pair', '10.0.0.200', 3, '10.0.0.200 is port "a" (aaaaaaaa-1111)'],
  ['and a port by name stands for its first', 'a', 3, ''],
])('explain: %s', async (_what, from, exitCode, note) => {
  const file = join(folder, 'two.yaml');
  const ports = [
    {
      id: 'aaaaaaaa-1111',
      name: 'a',
      mac_address: 'fa:16:3e:00:00:01',
      network_id: 'n',
      fixed_ips: [{ ip_address: '10.0.0.1' }, { ip_address: '10.0.0.2' }],
      allowed_address_pairs: [{ ip_address: '10.0.0.200' }],
      security_groups: ['g'],
    },
    {
      id: 'bbbbbbbb-1111',
      name: 'b',
      mac_address: 'fa:16:3e:00:00:02',
      network_id: 'n',
      fixed_ips: [{ ip_address: '10.0.0.3' }],
      security_groups: ['g'],
    },
  ];
  const rules = [
    { id: 'e', direction: 'egress' },
    { id: 'i', direction: 'ingress', protocol: 'tcp', remote_ip_prefix: '10.0.0.2' },
  ];
  writeFileSync(file, JSON.stringify({ ports, security_groups: [{ id: 'g', security_group_rules: rules }] }));
  const args = ['explain', '-t', file, '--to', 'b', '--protocol', 'tcp', '--dst-port', '1'];
  const result = await portcullis(...args, '--from', from);
  expect(result.exitCode).toBe(exitCode);
  expect(result.stderr).toBe(note === '' ? '' : `--from: ${note}`);
});
