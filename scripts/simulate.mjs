// `npm run simulate -- --hosts N --ports N --agents N ...`: a cloud by numbers, predicted and, with agents, run; docs/scale.md has the options.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const run = (file, ...args) =>
  spawnSync(process.execPath, [join(ROOT, file), ...args], { cwd: ROOT, stdio: 'inherit' }).status ?? 1;

process.exit(run('scripts/setup.mjs') || run('dist/bench/simulate.js', ...process.argv.slice(2)));
