// `npm run soak -- --seconds N`: random changes and deaths under traffic for as long as asked (ten minutes if not); needs root.
// `--backend iptables-nft` or `iptables-legacy` for the agent on these; `--seed N` for the same changes again.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TEST = join(dirname(fileURLToPath(import.meta.url)), 'test.mjs');
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    backend: { type: 'string', default: 'nftables' },
    seed: { type: 'string' },
  },
});
if (!(Number(values.seconds) > 0)) {
  process.stderr.write('soak: --seconds needs a positive number\n');
  process.exit(64);
}
const seed = values.seed === undefined ? [] : ['--seed', values.seed];
const env = { ...process.env, PORTCULLIS_SOAK_SECONDS: values.seconds, PORTCULLIS_SOAK_BACKEND: values.backend };
const args = [TEST, '--tier', 'kernel', ...seed, '--only', 'soak.test.ts'];
process.exit(spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1);
