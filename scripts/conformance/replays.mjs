// Those of the project's own tests that replay what users of other firewalls reported, and what attackers try.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { start } from './processes.mjs';

/** Each says at its top where its cases are from. */
const SUITES = [
  {
    suite: 'reports: rules',
    tier: 'unit',
    files: ['test/unit/compiler/history.test.ts'],
    programs: [],
  },
  {
    suite: 'reports: the agent',
    tier: 'kernel',
    files: ['test/kernel/agent-history.test.ts', 'test/kernel/revocation.test.ts'],
    programs: ['nft', 'ip', 'conntrack', 'python3'],
  },
  {
    suite: 'openstack, as typed',
    tier: 'client',
    files: [
      ...['recorded-commands', 'worked-example', 'keystone', 'agent-beside-api'].map(
        (name) => `test/client/${name}.test.ts`,
      ),
    ],
    programs: ['nft', 'ip', 'openstack'],
  },
  {
    suite: 'attacks: names, requests, walls',
    tier: 'unit',
    files: ['test/unit/compiler/hostile.test.ts', 'test/unit/api/fuzz.test.ts', 'test/unit/api/walls.test.ts'],
    programs: [],
  },
];

function obstacle(programs) {
  if (programs.length === 0) return undefined;
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const missing = programs.filter((name) => !folders.some((at) => existsSync(join(at, name))));
  return missing.length > 0 ? `missing programs: ${missing.join(', ')}` : undefined;
}

/** @returns a row of the table for each suite */
export async function replays({ root }) {
  const rows = [];
  for (const { suite, tier, files, programs } of SUITES) {
    const why = obstacle(programs);
    process.stdout.write(`\n${suite}: ${why === undefined ? files.join(', ') : `not run: ${why}`}\n`);
    rows.push(why === undefined ? await run(root, suite, tier, files) : { suite, ...NOTHING, why: `not run: ${why}` });
  }
  return rows;
}

const NOTHING = { passed: 0, failed: 0, skipped: 0 };

async function run(root, suite, tier, files) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-replays-'));
  const report = join(folder, 'report.json');
  try {
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const options = ['--allowOnly=false', '--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`];
    const { ended } = start(process.execPath, [vitest, 'run', '--mode', tier, ...options, ...files], {
      cwd: root,
      withErrors: true,
      onLine: (line) => process.stdout.write(`${line}\n`),
    });
    const { status, isSilent } = await ended;
    if (!existsSync(report)) {
      return { suite, ...NOTHING, failed: 1, why: isSilent ? 'it said nothing any more' : `it ended with ${status}` };
    }
    const counts = JSON.parse(readFileSync(report, 'utf8'));
    const hasOther = status !== 0 && counts.numFailedTests === 0;
    return {
      suite,
      passed: counts.numPassedTests,
      failed: counts.numFailedTests + (hasOther ? 1 : 0),
      skipped: counts.numPendingTests + counts.numTodoTests,
      why: hasOther ? 'a file failed outside of its tests' : '',
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
