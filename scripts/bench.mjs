// `npm run bench`: every benchmark one after the other, and a report of them in bench/results, as Markdown and as data. bench/README.md.
//   --quick        fewer sizes and runs, in three minutes; its report is called quick
//   --part NAME    this one alone (compile, agent, flows, api, etcd, memory, neutron or dataplane); may be repeated; no report
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { obstacle } from './conformance/debian.mjs';

const SCRIPTS = dirname(fileURLToPath(import.meta.url));
const ROOT = join(SCRIPTS, '..');
const RESULTS = join(ROOT, 'bench', 'results');
/** In their order, with what each is about. That of etcd fills stores with 100 000 ports: it is none of the quick ones. */
const PARTS = {
  compile: 'The compiler',
  agent: 'The agent',
  flows: 'Revoked flows',
  api: 'The control API',
  etcd: 'An agent that follows etcd',
  memory: 'What a member costs an agent',
  neutron: "Beside Neutron's own driver",
  dataplane: 'What a packet costs',
};
const QUICK = ['compile', 'agent', 'flows', 'api', 'memory', 'neutron', 'dataplane'];
/** Those that run Neutron's driver, too. */
const BESIDE_NEUTRON = ['neutron', 'dataplane'];

const { values: asked } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, part: { type: 'string', multiple: true, default: [] } },
});
const unknown = asked.part.find((name) => !(name in PARTS));
if (unknown !== undefined) {
  process.stderr.write(`bench: --part "${unknown}" is none of ${Object.keys(PARTS).join(', ')}\n`);
  process.exit(64);
}
const parts = asked.part.length > 0 ? asked.part : asked.quick ? QUICK : Object.keys(PARTS);

const setup = spawnSync(process.execPath, [join(SCRIPTS, 'setup.mjs'), '--kernel'], { stdio: 'inherit' });
if (setup.status !== 0) process.exit(1);

const neutron = parts.some((name) => BESIDE_NEUTRON.includes(name))
  ? obstacle(['neutron', 'eventlet'], ['python3-neutron'])
  : undefined;

const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Runs one, and gives what it printed and its rows; ends everything where it fails. */
async function run(name) {
  const rows = join(folder, name);
  const child = spawn(
    process.execPath,
    [join(ROOT, 'dist', 'bench', `${name}.js`), ...(asked.quick ? ['--quick'] : [])],
    {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PORTCULLIS_BENCH_ROWS: rows, PORTCULLIS_BENCH_NO_NEUTRON: neutron ?? '' },
    },
  );
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
    process.stdout.write(chunk);
  });
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) {
    process.stderr.write(`bench: ${name} ended with ${status}\n`);
    process.exit(1);
  }
  const lines = existsSync(rows) ? readFileSync(rows, 'utf8').trim().split('\n') : [];
  return { text, rows: lines.map((line) => JSON.parse(line)) };
}

/** What a program says of its version; `-` where there is none. */
function said(program, ...args) {
  try {
    return execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '-';
  }
}

const startedAt = performance.now();
const machine = {
  date: new Date().toISOString().slice(0, 10),
  commit: said('git', 'describe', '--always', '--dirty'),
  processors: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
  memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
  kernel: release(),
  node: process.versions.node,
  nft: said('nft', '--version'),
  iptables: said('iptables', '--version'),
  ipset: said('ipset', '--version').split('\n')[0],
  neutron: said('dpkg-query', '-W', '-f', '${Version}', 'python3-neutron'),
};
const done = [];
/** After each part, so that one that fails, or is ended, does not cost what was measured before it. */
function writeReport() {
  const name = asked.quick ? 'quick' : 'report';
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const missing = parts.slice(done.length);
  const facts = { ...machine, seconds, ...(missing.length === 0 ? {} : { 'not yet': missing.join(', ') }) };
  const head = Object.entries(facts).map(([what, value]) => `| ${what} | ${value} |`);
  const sections = done.map(({ name: part, text }) => `## ${PARTS[part]}\n\n${text.trim()}\n`);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(
    join(RESULTS, `${name}.md`),
    `# Bench: ${name}\n\nMade by \`npm run bench${asked.quick ? ' -- --quick' : ''}\`; ../README.md says what is measured.\n\n| | |\n| --- | --- |\n${head.join('\n')}\n\n${sections.join('\n')}`,
  );
  const data = { ...facts, parts: done.map(({ name: part, rows }) => ({ part, rows })) };
  writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify(data, null, 2)}\n`);
  if (missing.length === 0)
    process.stdout.write(`\nbench/results/${name}.md and ${name}.json were written, after ${seconds} s\n`);
}
for (const name of parts) {
  process.stdout.write(`\n## ${PARTS[name]}\n`);
  done.push({ name, ...(await run(name)) });
  if (asked.part.length === 0) writeReport();
}
