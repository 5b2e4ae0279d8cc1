/**
 * `npm run bench`: time and memory of the compiler beside `nft -f` of the text that it makes. See bench/README.md.
 */
import { spawnSync } from 'node:child_process';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../compiler/index.js';
import { parseTopology } from '../compiler/model/index.js';
import { document, median } from './document.js';
import { IS_QUICK, Table } from './report.js';

const RUNS = 5;

function time(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** Loads text in a throw-away network namespace; undefined where that is not possible. */
function loadTime(text: string): number | undefined {
  const script = 'start=$(date +%s%N); nft -f - || exit 1; end=$(date +%s%N); echo $((end - start))';
  const { status, stdout } = spawnSync('unshare', ['-n', 'sh', '-c', script], { input: text, encoding: 'utf8' });
  return status === 0 ? Number(stdout) / 1e6 : undefined;
}

const table = new Table('the compiler beside nft', [
  { name: 'local ports' },
  { name: 'ports' },
  { name: 'parse', unit: 'ms' },
  { name: 'compile and print', unit: 'ms' },
  { name: 'nft -f', unit: 'ms' },
  { name: 'compile / nft', digits: 2 },
  { name: 'peak memory', unit: 'MiB' },
]);
const SIZES = [
  [100, 100],
  [1000, 1000],
  ...(IS_QUICK
    ? []
    : ([
        [10_000, 10_000],
        [1000, 100_000],
      ] as const)),
] as const;
for (const [local, total] of SIZES) {
  const content = document(local, total);
  let text = '';
  const parsed = parseTopology([{ file: 'bench', content }]);
  const parse = median(Array.from({ length: RUNS }, () => time(() => parseTopology([{ file: 'bench', content }]))));
  const pairs = Array.from({ length: RUNS }, () => {
    const compiled = time(() => {
      text = printRuleset(compile(parsed.topology, ({ host }) => host === 'here', DEFAULT_OPTIONS).ruleset);
    });
    return { compiled, loaded: loadTime(text) };
  });
  const compiled = median(pairs.map((pair) => pair.compiled));
  const loads = pairs.flatMap((pair) => pair.loaded ?? []);
  const loaded = loads.length === RUNS ? median(loads) : undefined;
  const ratio = loaded === undefined ? undefined : median(pairs.map((pair) => pair.compiled / (pair.loaded ?? NaN)));
  table.row(local, total, parse, compiled, loaded, ratio, process.resourceUsage().maxRSS / 1024);
}
