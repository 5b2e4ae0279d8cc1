// Runs a command with a Docker engine and the base image of the container tier at hand.
// Usage: in-engine.mjs ROOT CACHE PROGRAM [ARGUMENT ...]
import { spawn } from 'node:child_process';
import { withEngine } from '../container.mjs';

const [root, cache, program, ...args] = process.argv.slice(2);
// Whoever ends us ends the command, too; the engine is stopped when that is gone.
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => undefined);
try {
  process.exitCode = await withEngine({ root, cache }, async (env) => {
    const child = spawn(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  });
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
