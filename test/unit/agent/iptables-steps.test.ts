/** How a plan of iptables and ipset ends when one of the programs does not do its step. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { carryOut } from '../../../agent/kernel/iptables.js';
import type { IptablesStep } from '../../../compiler/index.js';

/** Where a friend may ask port 22, and goes as others come who may ask port 80. */
const STEPS: readonly IptablesStep[] = [
  { kind: 'sets', text: 'del pc-friends 10.0.0.1 -exist\n', undo: 'add pc-friends 10.0.0.1 -exist\n' },
  { kind: 'rules', family: 'IPv4', text: '*mangle\nCOMMIT\n' },
  { kind: 'rules', family: 'IPv6', text: '*mangle\nCOMMIT\n' },
  { kind: 'sets', text: 'add pc-friends 10.0.0.2 -exist\n', undo: '' },
];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-'));
  vi.stubEnv('PATH', `${folder}:${process.env['PATH'] ?? ''}`);
  program('ipset', `cat >> ${folder}/sets`);
  for (const name of ['iptables-restore', 'ip6tables-restore']) program(name, 'cat > /dev/null');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function program(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, name), 0o755);
}

/** What sets were told. */
async function told(): Promise<readonly string[]> {
  await carryOut({ steps: STEPS }).catch(() => undefined);
  const path = join(folder, 'sets');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

const GOES = 'del pc-friends 10.0.0.1 -exist';
const BACK = 'add pc-friends 10.0.0.1 -exist';

it('sets lose what goes, and then get what comes', async () => {
  expect(await told()).toEqual([GOES, 'add pc-friends 10.0.0.2 -exist']);
});

it.each([
  ['sets', 'in doubt: what stands before the refused line was done', 'ipset', 'interrupted'],
  ['rules', 'refused', 'iptables-restore', 'refused'],
])('%s that are refused are %s', async (_what, _how, name, code) => {
  program(name, 'cat > /dev/null; echo Error in line 7 >&2; exit 1');
  await expect(carryOut({ steps: STEPS })).rejects.toMatchObject({ code });
});

it('what went comes back when the first rules are refused: the former policy stands', async () => {
  program('iptables-restore', 'cat > /dev/null; echo refused >&2; exit 1');
  expect(await told()).toEqual([GOES, BACK]);
});

it.each([
  ['the other family’s rules are refused', 'ip6tables-restore', 'cat > /dev/null; echo refused >&2; exit 1'],
  ['it is not known whether the rules are others', 'iptables-restore', 'cat > /dev/null; kill -9 $$'],
])('what went stays away when %s: no former member meets a new rule', async (_what, name, script) => {
  program(name, script);
  expect(await told()).toEqual([GOES]);
});
