/** The Debian package: installed, at work, upgraded under traffic, removed and purged, on a machine with systemd. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { Network, type StartedNetwork } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatsReport } from '../../src/cli/stats/report.js';
import { FIRST_HOST } from '../support/first-host.js';
import { until } from '../support/waiting.js';
import { Machine } from './lab/machine.js';

/** How those end that do not end with 0, by how they begin. */
const EXITS: readonly (readonly [string, number])[] = [
  // Something differs.
  ['portcullis diff ', 2],
];
/** Counts what gets to a guest, by port. */
const WITNESS =
  'add table ip seen; add chain ip seen in { type filter hook input priority 0; }; ' +
  'add rule ip seen in tcp dport 3306 counter; add rule ip seen in tcp dport 80 counter';
/** A port of the example that README does not plug, as `examples/plug` wants it: name, id, MAC, address. */
const OUTSIDER = 'outsider c3000001-4000-4000-8000-000000000001 fa:16:3e:00:00:63 10.0.0.99';
const DOC = '/usr/share/doc/portcullis';
/** Without what packets write. */
const RULES = `nft --stateless list table inet portcullis | sed '/set dropped_/,/^\t}/d' | sha256sum`;
const ALLOWED = connecting('web-1', '10.0.0.21/3306', 60);
const FORBIDDEN = connecting('outsider', '10.0.0.21/3306', 1);

let folder: string;
let network: StartedNetwork | undefined;
let started: Machine | undefined;
/** When the first of README's commands was typed; in milliseconds. */
let beganAt = 0;

const machine = {
  run: async (command: string): Promise<string> => theMachine().run(command),
  tell: async (command: string) => theMachine().tell(command),
};

function theMachine(): Machine {
  if (started === undefined) throw new Error('no machine');
  return started;
}

/** A shell command that ends well when that connects. */
function connecting(from: string, to: string, seconds: number): string {
  return `ip netns exec guest-${from} timeout ${seconds.toString()} bash -c '</dev/tcp/${to}' 2> /dev/null`;
}

beforeAll(async () => {
  const image = process.env['PORTCULLIS_BASE_IMAGE'];
  if (image === undefined) throw new Error('PORTCULLIS_BASE_IMAGE is not set: run `npm test -- --tier container`');
  folder = mkdtempSync(join(tmpdir(), 'portcullis-package-test-'));
  const own = await new Network().start();
  network = own;
  const start = (async () => {
    started = await Machine.start(image, own, 'compute-1');
  })();
  const builds = Promise.all([build('1'), build('2', '--no-check', '--with-node'), nodeOfTheImage()]);
  // Whatever fails first, what is started is known by then.
  await Promise.allSettled([start, builds]);
  await start;
  // README's reader has one package before him.
  const [first, next, node] = await builds;
  const packages = [
    { source: first, target: `/root/${basename(first)}` },
    { source: next, target: `/root/next/${basename(next)}` },
    { source: node, target: '/root/nodejs/nodejs.deb' },
  ];
  await theMachine().container.copyFilesToContainer(packages);
}, 0);

afterAll(async () => {
  await started?.stop();
  await network?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 0);

/** How well it is compressed is nothing to the test. */
const QUICKLY = { DPKG_DEB_COMPRESSOR_TYPE: 'gzip', DPKG_DEB_COMPRESSOR_LEVEL: '1' };

/** @returns the package. Fails where lintian finds an error in it. */
async function build(revision: string, ...more: readonly string[]): Promise<string> {
  const options = ['scripts/package.mjs', '--revision', revision, '--output', folder, ...more];
  const { stdout } = await execa(process.execPath, options, { env: QUICKLY });
  const [file = '', checked = ''] = stdout.split('\n');
  expect(checked).toBe(more.includes('--no-check') ? '' : 'lintian: no errors');
  return file;
}

/** The image has Node as a file, and there is no network to get another from: a package that says so. */
async function nodeOfTheImage(): Promise<string> {
  const tree = join(folder, 'nodejs');
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  const control = `Package: nodejs\nVersion: ${process.versions.node}\nArchitecture: all\nMaintainer: test <test@portcullis.invalid>\nDescription: Node\n`;
  writeFileSync(join(tree, 'DEBIAN', 'control'), control);
  await execa('dpkg-deb', ['--build', '--root-owner-group', tree, `${tree}.deb`]);
  return `${tree}.deb`;
}

async function install(...packages: readonly string[]): Promise<string> {
  const files = packages.map((name) => `/root/${name}.deb`).join(' ');
  return machine.run(`DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${files}`);
}

/** As README's reader types it, in the folder of the package; fails where it does not end as it should. @returns what it printed */
async function type(command: string | undefined): Promise<string> {
  if (command === undefined) throw new Error('README has no such command');
  const { exit, output } = await machine.tell(`cd /root; ${command}`);
  const expected = EXITS.find(([begin]) => command.startsWith(begin))?.[1] ?? 0;
  expect([command, exit, output]).toEqual([command, expected, output]);
  return output;
}

async function isDropped(): Promise<boolean> {
  return (await machine.tell(FORBIDDEN)).exit !== 0;
}

describe('the Debian package', () => {
  it('is installed without a network by what README says first, and enables and starts nothing', async () => {
    // In place of what README asks for, a Debian whose Node is new enough.
    await install('nodejs/nodejs');
    beganAt = performance.now();
    await type(FIRST_HOST[0]);
    expect(await machine.run('portcullis --version')).toMatch(/^\d+\.\d+\.\d+/);
    const units = 'portcullis-baseline portcullis-agent portcullis-api';
    expect(await machine.run(`systemctl is-enabled ${units} || true`)).toBe('disabled\n'.repeat(3));
    expect(await machine.run(`systemctl is-active ${units} || true`)).toBe('inactive\n'.repeat(3));
    expect(await machine.run('nft list tables | grep portcullis || true')).toBe('');
    const files = [
      '/usr/share/man/man1/portcullis-check.1.gz',
      '/usr/share/man/man5/portcullis.yaml.5.gz',
      '/usr/share/man/man8/portcullis-agent.8.gz',
      '/usr/share/bash-completion/completions/portcullis',
      `${DOC}/copyright`,
    ];
    expect(
      (await machine.run(`dpkg -L portcullis | grep -Fx ${files.map((name) => `-e ${name}`).join(' ')}`))
        .split('\n')
        .sort(),
    ).toEqual(['', ...files].sort());
    expect(await machine.run('dpkg --verify portcullis')).toBe('');
  });

  it('is a first host that enforces by the ten commands of README, of which the doctor is one', async () => {
    expect(FIRST_HOST[0]).toMatch(/^apt-get install /);
    expect(FIRST_HOST[1]).toMatch(/^portcullis doctor\b/);
    expect(FIRST_HOST.length).toBeLessThanOrEqual(10);
    const [connect = ''] = FIRST_HOST.slice(-1);
    // Nothing is wrong with a clean Debian, and what is said of it is so.
    const doctor = await type(FIRST_HOST[1]);
    expect(doctor).toContain('nothing stands in the way');
    expect(doctor.match(/^(warning|failed|cannot tell) .*$/gm)).toBeNull();
    const [node = '', nft = ''] = (await machine.run('node --version; nft --version')).split('\n');
    expect(doctor).toContain(`Node ${node.slice(1)}\n`);
    expect(doctor).toContain(`nft ${/v(\S+)/.exec(nft)?.[1] ?? '?'}, and it does what it says\n`);

    for (const command of FIRST_HOST.slice(2, -1)) await type(command);
    await machine.run(`ip netns exec guest-db nft '${WITNESS}'`);
    expect(await type(connect)).toBe('let in\n');
    const seconds = ((performance.now() - beganAt) / 1000).toFixed(1);
    process.stdout.write(`the first host: ${FIRST_HOST.length.toString()} commands, ${seconds} s\n${doctor}`);

    // What README says of another port. That it was judged is known by its being counted.
    const elsewhere = connect.replace('/3306', '/80').replace('bash', 'timeout 1 bash');
    await until({
      what: 'what no rule allows to be counted as dropped',
      probe: async () => machine.tell(`${elsewhere}; portcullis stats --json`),
      check: ({ output }) => {
        const { drops } = JSON.parse(output) as StatsReport;
        expect(drops.map(({ direction, port }) => `${direction} ${port?.name ?? ''}`)).toContain('ingress database-1');
      },
      said: () => '',
    });
    const arrived = await machine.run('ip netns exec guest-db nft list table ip seen');
    expect(arrived).toMatch(/dport 3306 counter packets [1-9]/);
    expect(arrived).toMatch(/dport 80 counter packets 0/);
  });

  it('enforces, with its file of options alone', async () => {
    await machine.run(`${DOC}/examples/plug ${OUTSIDER}`);
    expect(await machine.run('portcullis status')).toMatch(/^enforced/);
    await until({
      what: 'what policy allows to connect',
      probe: async () => machine.tell(ALLOWED),
      check: ({ exit }) => expect(exit).toBe(0),
      said: () => '',
    });
    expect(await isDropped()).toBe(true);
    // What the doctor finds here is mended by what it says.
    const { exit, output } = await machine.tell('systemctl stop portcullis-agent; portcullis doctor');
    expect(output).toMatch(
      /^warning +agent +no agent answers.*\n +to mend it: systemctl enable --now portcullis-agent$/m,
    );
    expect(exit).toBe(16);
    const { output: mended } = await machine.tell('systemctl enable --now portcullis-agent && portcullis doctor');
    expect(mended).toMatch(/^ok +agent +version \S+, process \d+, enforced$/m);
    // The other ports of the example.
    expect(mended.match(/^(warning|failed|cannot tell) .*$/gm)).toEqual([
      expect.stringMatching(
        /^warning +devices +ports without a device: web-2 \(\S+\), web-3 \(\S+\), database-2 \(\S+\)$/,
      ),
    ]);
    // The API's modules are others than the agent's.
    await machine.run(
      `sed -i 's|# store: /|store: /|' /etc/portcullis/portcullis.yaml && systemctl start portcullis-api`,
    );
    expect(await machine.run('curl -sS --fail http://127.0.0.1:9696/health')).toMatch(/^\{/);
  });

  it('is upgraded under traffic: nothing is lost, nothing gets through, and the new program is at work', async () => {
    const pid = 'systemctl show portcullis-agent -p MainPID --value';
    const before = await machine.run(pid);
    const traffic = `until [ -e /root/end ]; do if ${ALLOWED}; then echo passed; else echo lost; fi; if ${FORBIDDEN}; then echo leaked; fi; done > /root/seen`;
    await theMachine().container.copyContentToContainer([{ content: traffic, target: '/root/traffic' }]);
    await machine.run('systemd-run --quiet --unit=traffic bash /root/traffic');
    await install('next/portcullis_*-2+node*');
    await until({
      what: 'another agent to enforce, and traffic to have gone on',
      probe: async () => machine.tell(`${pid}; portcullis status --health; [ $(grep -c passed /root/seen) -gt 5 ]`),
      check: ({ exit, output }) => {
        expect(exit).toBe(0);
        expect(output).toMatch(/^[1-9]\d*\nenforced\n$/);
        expect(output.startsWith(before)).toBe(false);
      },
      said: () => '',
    });
    await machine.run('touch /root/end && while systemctl -q is-active traffic; do sleep 0.1; done');
    expect(await machine.run('sort -u /root/seen')).toBe('passed\n');
    expect(await machine.run(`dpkg-query -W -f '\${Version}' portcullis`)).toMatch(/-2\+node/);
  });

  it('a file of options that is wrong keeps it from starting, in one line, and what is loaded stays', async () => {
    const rules = await machine.run(RULES);
    await machine.run(
      `cp -p /etc/portcullis/portcullis.yaml /root/ && echo '  colour: red' >> /etc/portcullis/portcullis.yaml`,
    );
    expect((await machine.tell('systemctl restart portcullis-agent')).exit).not.toBe(0);
    expect(await machine.run('systemctl show portcullis-agent -p ExecMainStatus --value')).toBe('64\n');
    expect(await machine.run('journalctl -u portcullis-agent -o cat -n 20 --no-pager')).toMatch(
      /^error: \/etc\/portcullis\/portcullis\.yaml:\d+:3: api: "colour" is no option of api/m,
    );
    expect(await machine.run(RULES)).toBe(rules);
    await machine.run('cp -p /root/portcullis.yaml /etc/portcullis/ && systemctl restart portcullis-agent');
  });

  it('removed and purged, it says what stays loaded, which is everything', async () => {
    const rules = await machine.run(RULES);
    const removed = await machine.run('apt-get remove -y portcullis');
    expect(removed).toMatch(/^portcullis: the rules stay loaded/m);
    expect(removed).toMatch(/^portcullis: {3}nft delete table inet portcullis$/m);
    expect(await machine.run(`${RULES}; systemctl is-active portcullis-agent || true`)).toBe(`${rules}inactive\n`);
    expect(await isDropped()).toBe(true);
    expect((await machine.tell(ALLOWED)).exit).toBe(0);
    expect(await machine.run('apt-get purge -y portcullis')).toMatch(/^portcullis: \/etc\/portcullis stays/m);
    expect(
      await machine.run(`${RULES}; ls /etc/portcullis; ls /etc/systemd/system/*.wants | grep -c portcullis || true`),
    ).toBe(`${rules}topology\n0\n`);
  });

  it('purged by somebody who asks for it in so many words, it takes the rules along; with a Node of its own it needs no other', async () => {
    await machine.run('apt-get purge -y nodejs && rm /usr/bin/node');
    await install('next/portcullis_*-2+node*');
    expect(await machine.run('portcullis --version')).toMatch(/^\d/);
    const purged = await machine.run('PORTCULLIS_PURGE_RULES=yes apt-get purge -y portcullis');
    expect(purged).not.toMatch(/rules stay loaded/);
    expect(await machine.run('nft list tables | grep portcullis || true')).toBe('');
    expect(await isDropped()).toBe(false);
  });
});
