// `npm test`: set-up, then every tier that this machine can run; one line why for a tier that it cannot.
// `npm test -- --tier unit [vitest arguments]` runs one tier.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { containerObstacle, withEngine } from './container.mjs';
import { runInVm, vmObstacle } from './vm.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
/** What is slow to fetch and the same for every run. */
const CACHE = join(ROOT, 'node_modules', '.cache', 'portcullis');
const args = process.argv.slice(2);
/** Software emulation is some twenty times slower than the machine; in milliseconds. */
const VM_TIMEOUT = 900_000;
const tierAt = args.indexOf('--tier');
const onlyTier = tierAt < 0 ? undefined : args.splice(tierAt, 2)[1];

const setup = spawnSync(
  process.execPath,
  [join(ROOT, 'scripts', 'setup.mjs'), '--kernel', '--client', '--container', '--vm'],
  {
    stdio: 'inherit',
  },
);
if (setup.status !== 0) process.exit(1);

const seed = process.env.PORTCULLIS_SEED ?? String(randomInt(2 ** 31));
process.stdout.write(`seed: ${seed} (the same run again: PORTCULLIS_SEED=${seed} npm test)\n`);

function missingPrograms(names) {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const missing = names.filter((name) => !folders.some((at) => existsSync(join(at, name))));
  return missing.length > 0 ? `missing programs: ${missing.join(', ')}` : undefined;
}

const KERNEL_PROGRAMS = ['nft', 'ip', 'conntrack', 'python3', 'faketime'];

const TIERS = [
  { name: 'unit', config: 'vitest.config.ts', obstacle: () => undefined },
  { name: 'kernel', config: 'vitest.kernel.config.ts', obstacle: () => missingPrograms(KERNEL_PROGRAMS) },
  {
    name: 'client',
    config: 'vitest.client.config.ts',
    obstacle: () => missingPrograms([...KERNEL_PROGRAMS, 'openstack']),
  },
  {
    name: 'container',
    config: 'vitest.container.config.ts',
    obstacle: containerObstacle,
    run: runVitestWithEngine,
  },
  { name: 'vm', config: 'vitest.vm.config.ts', obstacle: vmObstacle, run: runVitestInVm },
];

function vitest(config, report) {
  return [
    process.execPath,
    join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--config',
    config,
    '--allowOnly=false',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...args,
  ];
}

/** Returns the exit code. */
function runVitest(config, report, more = {}) {
  const [program, ...rest] = vitest(config, report);
  const env = { ...process.env, PORTCULLIS_SEED: seed, ...more };
  return spawnSync(program, rest, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], env }).status;
}

async function runVitestWithEngine(config, report) {
  return withEngine({ root: ROOT, cache: CACHE }, (env) => runVitest(config, report, env));
}

function runVitestInVm(config, report) {
  return runInVm({
    command: vitest(config, report),
    env: {
      PATH: process.env.PATH ?? '/usr/bin',
      HOME: '/root',
      PORTCULLIS_SEED: seed,
      PORTCULLIS_SETTLE_SECONDS: '0.5',
      CI: 'true',
    },
    cwd: ROOT,
    share: dirname(report),
    cache: CACHE,
    timeout: VM_TIMEOUT,
  });
}

let passed = 0;
let failed = 0;
let skipped = 0;
for (const tier of TIERS) {
  if (onlyTier !== undefined && onlyTier !== tier.name) continue;
  const obstacle = tier.obstacle();
  if (obstacle !== undefined) {
    process.stdout.write(`${tier.name}: not run: ${obstacle}\n`);
    continue;
  }
  process.stdout.write(`${tier.name}:\n`);
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  const report = join(folder, 'report.json');
  let status = 1;
  try {
    status = await (tier.run ?? runVitest)(tier.config, report);
  } catch (error) {
    process.stdout.write(`${tier.name}: ${error.message}\n`);
  }
  if (existsSync(report)) {
    const counts = JSON.parse(readFileSync(report, 'utf8'));
    passed += counts.numPassedTests;
    failed += counts.numFailedTests;
    skipped += counts.numPendingTests + counts.numTodoTests;
    if (counts.numTotalTests === 0) failed += 1;
    if (status !== 0 && counts.numFailedTests === 0) failed += 1;
  } else {
    failed += 1;
  }
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
