// `npm run soak -- --seconds N`: random changes and deaths under traffic for as long as asked (ten minutes if not); needs root.
// `--backend iptables-nft` or `iptables-legacy` for the agent on these; `--seed N` for the same changes again.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const option = (name, absent) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? absent : process.argv[at + 1];
};
const seconds = Number(option('--seconds', 600));
if (!(seconds > 0)) {
  process.stderr.write('soak: --seconds needs a positive number\n');
  process.exit(64);
}
const setup = spawnSync(process.execPath, [join(ROOT, 'scripts', 'setup.mjs'), '--kernel'], { stdio: 'inherit' });
if (setup.status !== 0) process.exit(1);
const seed = option('--seed', process.env.PORTCULLIS_SEED ?? String(randomInt(2 ** 31)));
process.stdout.write(`seed: ${seed}\n`);
const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
const args = [vitest, 'run', '--config', 'vitest.kernel.config.ts', 'test/kernel/soak.test.ts'];
const env = {
  ...process.env,
  PORTCULLIS_SEED: seed,
  PORTCULLIS_SOAK_SECONDS: String(seconds),
  PORTCULLIS_SOAK_BACKEND: option('--backend', 'nftables'),
};
process.exit(spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env }).status ?? 1);
