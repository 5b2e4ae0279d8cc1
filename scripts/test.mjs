// `npm test`: set-up, then every tier that this machine can run, some at a time; one line why for a tier that it cannot.
// `npm test -- --help` says what else it does.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { clearInterval, setInterval } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { makeMemoryFolder, removeMemoryFolder } from './test/memory.mjs';
import { parseOptions, USAGE, UsageError } from './test/options.mjs';
import { failureBlock, mergedJunit, Results, WHOLE } from './test/results.mjs';
import { measureSlowness } from './test/slowness.mjs';
import { endAll, supervise } from './test/supervise.mjs';
import { EXAMPLE, testFiles, TIERS } from './test/tiers.mjs';

const SCRIPTS = dirname(fileURLToPath(import.meta.url));
const ROOT = join(SCRIPTS, '..');
/** What is slow to fetch and the same for every run. */
const CACHE = join(ROOT, 'node_modules', '.cache', 'portcullis');
const REPORTS = join(ROOT, 'test-results');
/** Without output, an event or a step for as long, a tier is ended; in milliseconds on a quiet machine. */
const NO_PROGRESS = 180_000;
const MINUTE = 60_000;

const say = (line) => process.stdout.write(`${line}\n`);

/** vitest's command for a tier. */
function vitest(tier, { only, rest }, folder) {
  const files = only === undefined ? [] : testFiles(ROOT, tier).filter((file) => file.includes(only));
  const isName = only !== undefined && files.length === 0;
  return [
    process.execPath,
    join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
    ...['run', '--mode', tier, '--allowOnly=false', '--passWithNoTests', '--no-color'],
    ...['--reporter=default', `--reporter=${join(SCRIPTS, 'test', 'reporter.mjs')}`],
    ...['--reporter=junit', `--outputFile.junit=${join(folder, 'junit.xml')}`],
    ...(isName
      ? ['-t', only.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')]
      : files.map((file) => file.replace(/\.ts$/, ''))),
    ...rest,
  ];
}

/**
 * The environment of a tier's programs. Node reads NODE_EXTRA_CA_CERTS at each start, whether or not it is asked for: with a system's own list
 * that is a third of the start. Only what fetches something needs it.
 */
function environment({ fetches }) {
  const all = { ...process.env };
  if (!fetches) delete all.NODE_EXTRA_CA_CERTS;
  return all;
}

/** Runs one tier, whose temporary files are in the folder `memory`, if there is one; never throws. */
async function run(tier, options, slowness, memory) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  const results = new Results(join(folder, 'events'));
  const startedAt = performance.now();
  const show = (line) => say(`${tier.name.padEnd(9)} | ${line}`);
  const timer = setInterval(() => {
    results.take();
    const minutes = Math.round((performance.now() - startedAt) / MINUTE);
    show(
      `${minutes} min: ${results.passed} passed, ${results.failed} failed; now: ${results.running.join('; ') || 'no test'}`,
    );
  }, MINUTE);
  try {
    const code = await supervise({
      command: tier.command({
        root: ROOT,
        scripts: SCRIPTS,
        cache: CACHE,
        share: folder,
        command: vitest(tier.name, options, folder),
      }),
      cwd: ROOT,
      env: {
        ...environment(tier),
        ...(memory === undefined ? {} : { TMPDIR: memory }),
        PORTCULLIS_SEED: options.seed,
        PORTCULLIS_SLOWNESS: String(slowness * tier.slowness),
        PORTCULLIS_EVENTS: results.path,
        PORTCULLIS_PROGRESS: folder,
      },
      // An emulated machine is slower than it is silent: each of its tests says something on the way.
      patience: NO_PROGRESS * slowness * Math.sqrt(tier.slowness),
      progress: folder,
      show,
    });
    results.take();
    if (tier === EXAMPLE && code === 0) results.passed++;
    else if (code !== 0 && results.failed === 0) results.fail(WHOLE, `it ended with ${code}`);
  } catch (error) {
    results.take();
    results.fail(results.running.join('; ') || WHOLE, error.message);
  } finally {
    clearInterval(timer);
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  show(`done: ${results.passed} passed, ${results.failed} failed, ${results.skipped.length} skipped, ${seconds} s`);
  const junit = join(folder, 'junit.xml');
  const report = existsSync(junit) ? readFileSync(junit, 'utf8') : '';
  rmSync(folder, { recursive: true, force: true });
  return { tier, results, report };
}

/**
 * Runs tiers, two at a time: beside the longest one the others, one after the other. A third takes more than it gives: what plays traffic or
 * looks for a state takes time of the processors for as long as a test lasts.
 */
async function runAll(tiers, options, slowness, memory) {
  const waiting = [...tiers];
  const done = [];
  const lane = async () => {
    for (let tier = waiting.shift(); tier !== undefined; tier = waiting.shift())
      done.push(await run(tier, options, slowness, memory));
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, lane));
  return done;
}

function chosenTiers({ tiers, isQuick, only }) {
  if (isQuick) return [...TIERS.filter(({ name }) => name === 'unit'), EXAMPLE];
  if (tiers.length > 0) return TIERS.filter(({ name }) => tiers.includes(name));
  const withFile = TIERS.filter(
    ({ name }) => only !== undefined && testFiles(ROOT, name).some((file) => file.includes(only)),
  );
  return withFile.length > 0 ? withFile : TIERS;
}

async function main() {
  const options = parseOptions(
    process.argv.slice(2),
    TIERS.map(({ name }) => name),
  );
  const tiers = chosenTiers(options);
  const flags = new Set(tiers.flatMap(({ setup }) => setup));
  const setup = spawnSync(process.execPath, [join(SCRIPTS, 'setup.mjs'), ...flags], { stdio: 'inherit' });
  if (setup.status !== 0) return 1;

  const slowness = measureSlowness();
  say(`seed: ${options.seed} (the same run again: npm test -- --seed ${options.seed})`);
  say(
    `this machine is ${slowness.toFixed(1)} times as slow as a quiet one: what does not move is waited for as much longer`,
  );
  const possible = tiers.filter((tier) => {
    const obstacle = tier.obstacle(CACHE);
    if (obstacle !== undefined) say(`${tier.name}: not run: ${obstacle}`);
    return obstacle === undefined;
  });
  for (const name of ['SIGINT', 'SIGTERM']) {
    process.once(name, () => {
      void endAll().then(() => process.exit(1));
    });
  }
  const memory = makeMemoryFolder();
  const remove = () => {
    if (memory !== undefined) removeMemoryFolder(memory);
  };
  process.once('exit', remove);
  const done = await runAll(possible, options, slowness, memory);

  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(join(REPORTS, 'junit.xml'), mergedJunit(done.map(({ report }) => report)));
  for (const { tier, results } of done) {
    for (const name of options.only === undefined ? results.skipped : []) say(`skipped: ${tier.name}: ${name}`);
  }
  for (const { tier, results } of done) {
    for (const failure of results.failures) say(`\n${failureBlock(failure, tier.name, options.seed)}`);
  }
  const sum = (count) => done.reduce((total, { results }) => total + count(results), 0);
  const passed = sum((results) => results.passed);
  const failed = sum((results) => results.failed);
  const skipped = options.only === undefined ? sum((results) => results.skipped.length) : 0;
  if (passed + failed === 0)
    say(`no test was run${options.only === undefined ? '' : `: none has "${options.only}" in its path or name`}`);
  say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message === '' ? '' : `npm test: ${error.message}\n`}${USAGE}`);
  process.exitCode = error.message === '' ? 0 : 64;
}
