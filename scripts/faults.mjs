// `npm run faults -- --rounds N`: the long form of what can happen to a cloud on etcd: N rounds of every fault (three if not), a host that is cut
// off for a minute each time (`--partition SECONDS`); `--seed N` for the same changes again. Needs root.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TEST = join(dirname(fileURLToPath(import.meta.url)), 'test.mjs');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    partition: { type: 'string', default: '60' },
    seed: { type: 'string' },
  },
});
for (const name of ['rounds', 'partition']) {
  if (Number(values[name]) >= 1) continue;
  process.stderr.write(`faults: --${name} needs a number of 1 or more\n`);
  process.exit(64);
}
const seed = values.seed === undefined ? [] : ['--seed', values.seed];
const env = {
  ...process.env,
  PORTCULLIS_FAULT_ROUNDS: values.rounds,
  PORTCULLIS_FAULT_PARTITION: values.partition,
};
const args = [TEST, '--tier', 'client', ...seed, '--only', 'cluster-faults.test.ts'];
process.exit(spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1);
