import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import { Lab, withoutPackets } from './lab/lab.js';

const EXAMPLE = ['-t', 'examples/web-and-database.yaml', '--host', 'compute-1'];

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.create([]);
});
afterAll(async () => {
  await lab.destroy();
});
beforeEach(async () => {
  await portcullis('', 'flush');
});

async function portcullis(
  input: string,
  ...args: readonly string[]
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  return lab.exec(process.execPath, ['dist/bin/portcullis.js', ...args], input);
}

async function listing(): Promise<string> {
  const tables = await Promise.all(
    ['inet', 'arp', 'bridge'].map((family) => lab.exec('nft', ['-s', 'list', 'table', family, 'portcullis'])),
  );
  return withoutPackets(tables.map(({ stdout }) => stdout).join('\n'));
}

/** Handles count up with every object that is made: a table that is written again has others. */
async function handles(): Promise<string> {
  return lab.listing('-a', 'list', 'ruleset');
}

it('diff, compile, diff: differs, loaded, the same; loading twice changes nothing', async () => {
  expect((await portcullis('', 'diff', ...EXAMPLE)).exitCode).toBe(2);
  expect(await portcullis('', 'compile', ...EXAMPLE)).toMatchObject({ exitCode: 0, stderr: 'loaded' });
  expect((await portcullis('', 'diff', ...EXAMPLE)).exitCode).toBe(0);
  const before = await handles();
  expect(await portcullis('', 'compile', ...EXAMPLE)).toMatchObject({
    exitCode: 0,
    stdout: '',
    stderr: 'nothing to change: this is what is loaded',
  });
  expect(await handles()).toBe(before);
});

it('compile leaves foreign tables alone, and flush removes ours only', async () => {
  await lab.load('table ip somebody {\n chain c { type filter hook forward priority 5; ip saddr 1.2.3.4 drop; }\n}');
  const foreign = (await lab.exec('nft', ['list', 'table', 'ip', 'somebody'])).stdout;
  await portcullis('', 'compile', ...EXAMPLE);
  await portcullis('', 'flush');
  expect((await lab.exec('nft', ['list', 'table', 'ip', 'somebody'])).stdout).toBe(foreign);
  expect((await lab.exec('nft', ['list', 'tables'])).stdout).not.toContain('portcullis');
});

it('a rule that somebody put among ours, or took away, is found and mended', async () => {
  await portcullis('', 'compile', ...EXAMPLE);
  const before = await listing();
  await lab.load('insert rule inet portcullis egress_stateful accept');
  await lab.load('flush chain inet portcullis sg_c0b92b20_in');
  await lab.load('delete element inet portcullis sg_c0b92b20_addresses4 { 10.0.0.11 }');
  const { exitCode, stdout } = await portcullis('', 'diff', ...EXAMPLE);
  expect(exitCode).toBe(2);
  expect(stdout.split('\n')).toEqual([
    '~ group web: + tcp 80 from anywhere (IPv4) (3 ports)',
    '~ group web: + tcp 443 from anywhere (IPv4) (3 ports)',
    '~ group web: + tcp 80 from anywhere (IPv6) (3 ports)',
    '~ group web: + tcp 443 from anywhere (IPv6) (3 ports)',
    '~ group web: 1 member more',
    '~ table inet portcullis: chain egress_stateful',
    'Plan: 6 changed; no live flow would be cut',
  ]);
  expect((await portcullis('', 'diff', ...EXAMPLE, '--raw')).stdout).toContain('~ chain egress_stateful');
  await portcullis('', 'compile', ...EXAMPLE);
  expect(await listing()).toBe(before);
});

it('baseline closes where nothing is loaded, and changes nothing where something is', async () => {
  await portcullis('', 'baseline');
  expect(await listing()).toContain('iifname "tap*" counter drop');
  await portcullis('', 'compile', ...EXAMPLE);
  const before = await listing();
  expect((await portcullis('', 'baseline')).stderr).toContain('nothing was changed');
  expect(await listing()).toBe(before);
});

it('compile --confirm keeps the new rules when told so', async () => {
  expect(await portcullis('yes\n', 'compile', ...EXAMPLE, '--confirm', '20')).toMatchObject({ exitCode: 0 });
  expect(await listing()).toContain('sg_c0b92b20_in');
});

it('compile --confirm brings the former rules back, byte for byte, when nobody answers', async () => {
  await portcullis('', 'compile', ...EXAMPLE, '--skip-invalid');
  await lab.load('add element inet portcullis sg_c0b92b20_addresses4 { 10.9.9.9 }');
  const before = await listing();
  expect(await portcullis('', 'compile', ...EXAMPLE, '--confirm', '1')).toMatchObject({ exitCode: 2 });
  expect(await listing()).toBe(before);
});

it('compile --confirm brings the former rules back when its terminal dies', async () => {
  await portcullis('', 'baseline');
  const before = await listing();
  const child = execa(
    'ip',
    ['netns', 'exec', lab.host, process.execPath, 'dist/bin/portcullis.js', 'compile', ...EXAMPLE, '--confirm', '60'],
    { reject: false },
  );
  await eventually(async () => (await listing()).includes('sg_c0b92b20_in'));
  child.kill('SIGKILL');
  await eventually(async () => (await listing()) === before);
});

it('the kernel refuses what it cannot load, and the former rules stand', async () => {
  await portcullis('', 'compile', ...EXAMPLE);
  const before = await listing();
  // In front of the real one: a line more that no kernel takes.
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-nft-'));
  const script = `case "$*" in *"-f -"*) { cat; echo 'add rule inet portcullis no_such_chain accept'; } | /usr/sbin/nft "$@"; exit $?;; esac
exec /usr/sbin/nft "$@"`;
  writeFileSync(join(folder, 'nft'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await lab.must('nft', ['flush table inet portcullis']);
  const emptied = await listing();
  const path = `PATH=${folder}${delimiter}${process.env['PATH'] ?? ''}`;
  const { exitCode, stderr } = await lab.exec('env', [
    path,
    process.execPath,
    'dist/bin/portcullis.js',
    'compile',
    ...EXAMPLE,
  ]);
  rmSync(folder, { recursive: true });
  expect(exitCode).toBe(4);
  expect(stderr).toMatch(/^error: nft -f -: .*No such file or directory/);
  expect(await listing()).toBe(emptied);
  expect(emptied).not.toBe(before);
});
