// `npm start`: set-up, then the worked example with real packets (as root on Linux) or on paper.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
for (const args of [
  [join(ROOT, 'scripts', 'setup.mjs'), '--kernel'],
  [join(ROOT, 'dist', 'src', 'cli', 'demo', 'main.js')],
]) {
  // The demo cleans up on Ctrl-C; until it has, this process must not end.
  process.on('SIGINT', () => undefined);
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
