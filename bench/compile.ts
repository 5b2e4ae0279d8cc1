/**
 * `npm run bench`: time and memory of the compiler beside `nft -f` of the text that it makes. See bench/README.md.
 */
import { spawnSync } from 'node:child_process';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../compiler/index.js';
import { parseTopology } from '../compiler/model/index.js';
import { document, median } from './document.js';

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

const milliseconds = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(0)} ms`);

process.stdout.write(
  '| local ports | ports | parse | compile and print | nft -f | compile / nft | peak memory |\n| --- | --- | --- | --- | --- | --- | --- |\n',
);
for (const [local, total] of [
  [100, 100],
  [1000, 1000],
  [10_000, 10_000],
  [1000, 100_000],
] as const) {
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
  const ratio =
    loaded === undefined ? '-' : median(pairs.map((pair) => pair.compiled / (pair.loaded ?? NaN))).toFixed(2);
  const memory = (process.resourceUsage().maxRSS / 1024).toFixed(0);
  process.stdout.write(
    `| ${String(local)} | ${String(total)} | ${milliseconds(parse)} | ${milliseconds(compiled)} | ${milliseconds(loaded)} | ${ratio} | ${memory} MiB |\n`,
  );
}
