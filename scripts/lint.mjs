// `npm run lint`: format, lint, types, layers, the lock file, lines of the docs, and the tests that they name. Each failure is shown;
// exit 1 on any.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (...path) => join(ROOT, 'node_modules', ...path);

const CHECKS = [
  ['format', [bin('prettier', 'bin', 'prettier.cjs'), '--check', '--log-level', 'warn', '.']],
  ['eslint', [bin('eslint', 'bin', 'eslint.js'), '--max-warnings', '0', '.']],
  ['types', [bin('typescript', 'bin', 'tsc'), '--noEmit', '-p', 'tsconfig.json']],
  [
    'layers',
    [
      bin('dependency-cruiser', 'bin', 'dependency-cruise.mjs'),
      '--config',
      '.dependency-cruiser.cjs',
      'src',
      'compiler',
      'agent',
      'test',
    ],
  ],
];

const failures = CHECKS.filter(([name, command]) => {
  const result = spawnSync(process.execPath, command, { cwd: ROOT, stdio: 'inherit' });
  process.stdout.write(`${name}: ${result.status === 0 ? 'ok' : 'FAILED'}\n`);
  return result.status !== 0;
});

// The lock file must work behind any registry.
const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
const hasAddresses = lock.includes('"resolved"');
process.stdout.write(`lock file: ${hasAddresses ? 'FAILED: it records download addresses' : 'ok'}\n`);

// Docs are read beside code and in terminals, too, where nobody folds them. What has no second word cannot be folded.
const WIDEST = 110;
const pages = ['.', 'bench', 'docs'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: folder === 'docs' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);
const lines = pages.flatMap((page) =>
  readFileSync(join(ROOT, page), 'utf8')
    .split('\n')
    .map((line, index) => ({ line, place: `${page}:${index + 1}`, width: [...line].length })),
);
const wide = lines.filter(
  ({ line, width }) => width > WIDEST && /\S\s+\S/.test(line.replace(/^\s*([-*>:]|\d+\.) /, '')),
);
for (const { place, width } of wide) process.stdout.write(`${place}: ${width} characters; ${WIDEST} are the most\n`);
process.stdout.write(`lines of the docs: ${wide.length === 0 ? 'ok' : 'FAILED'}\n`);

// A promise that names a test which is not there is held by nothing.
const lost = lines.flatMap(({ line, place }) =>
  [...line.matchAll(/`(?:test\/)?((?:unit|kernel|client|container|vm)\/[\w/-]+(?:\.test|-suite)\.ts)`/g)]
    .map(([, path]) => ({ path, place }))
    .filter(({ path }) => !existsSync(join(ROOT, 'test', path))),
);
for (const { path, place } of lost) process.stdout.write(`${place}: there is no test/${path}\n`);
process.stdout.write(`tests that the docs name: ${lost.length === 0 ? 'ok' : 'FAILED'}\n`);
process.exit(failures.length > 0 || hasAddresses || wide.length > 0 || lost.length > 0 ? 1 : 0);
