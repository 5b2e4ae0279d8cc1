// `npm run lint`: format, lint, types, layers, and the lock file. Each failure is shown; exit 1 on any.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
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
process.exit(failures.length > 0 || hasAddresses ? 1 : 0);
