// `npm run conformance`: suites from outside. One line why for a suite that cannot run here; a table at the end.
//   --suite NAME    only tempest, clients, import, source, replays or lab (more than once for more)
//   --only REGEX    of tempest, only the tests whose names it matches
//   --write          put what was driven by which client, and how it ended, into docs/api.md
//   --lab FOLDER    also the scripts of that folder (or PORTCULLIS_LAB)
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { clients } from './conformance/clients.mjs';
import { importing } from './conformance/import.mjs';
import { lab } from './conformance/lab.mjs';
import { writeClients } from './conformance/client-table.mjs';
import { source } from './conformance/source.mjs';
import { replays } from './conformance/replays.mjs';
import { tempest } from './conformance/tempest.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const SUITES = {
  tempest: async (options) => [await tempest(options)],
  clients,
  import: async (options) => [await importing(options)],
  source: async (options) => [await source(options)],
  replays,
  lab,
};

function fail(line) {
  process.stderr.write(`conformance: ${line}\n`);
  process.exit(64);
}

function optionsOf(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        suite: { type: 'string', multiple: true, default: Object.keys(SUITES) },
        only: { type: 'string', default: '' },
        write: { type: 'boolean', default: false },
        lab: { type: 'string', default: process.env.PORTCULLIS_LAB },
      },
    });
    const unknown = values.suite.find((name) => !Object.hasOwn(SUITES, name));
    if (unknown !== undefined) fail(`--suite ${unknown}: valid is one of ${Object.keys(SUITES).join(', ')}`);
    new RegExp(values.only);
    return values;
  } catch (error) {
    return fail(error.message);
  }
}

/** One row for each suite: how many of its tests passed, failed, were skipped, and why. */
function table(rows) {
  const HEAD = { suite: 'suite', passed: 'passed', failed: 'failed', skipped: 'skipped', why: 'why' };
  const widest = (key) => Math.max(...[HEAD, ...rows].map((row) => String(row[key]).length));
  const line = ({ suite, passed, failed, skipped, why }) =>
    [
      suite.padEnd(widest('suite')),
      ...Object.entries({ passed, failed, skipped }).map(([key, value]) => String(value).padStart(widest(key))),
      why,
    ]
      .join('  ')
      .trimEnd();
  return [HEAD, ...rows].map(line).join('\n');
}

const options = optionsOf(process.argv.slice(2));
const setup = spawnSync(process.execPath, [join(ROOT, 'scripts', 'setup.mjs'), '--kernel'], { stdio: 'inherit' });
if (setup.status !== 0) process.exit(1);

const rows = [];
for (const [name, run] of Object.entries(SUITES)) {
  if (!options.suite.includes(name)) continue;
  process.stdout.write(`\n${name}:\n`);
  try {
    rows.push(...(await run({ root: ROOT, only: options.only, folder: options.lab })));
  } catch (error) {
    process.stdout.write(`${error.stack}\n`);
    rows.push({ suite: name, passed: 0, failed: 1, skipped: 0, why: error.message.split('\n')[0] });
  }
}
if (options.write) writeClients(ROOT, rows);
const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
process.stdout.write(`\n${table(rows)}\n\n`);
process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`);
process.exit(sum('failed') > 0 || sum('passed') === 0 ? 1 : 0);
