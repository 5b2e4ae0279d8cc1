/**
 * `npm run bench`: time and memory of the compiler beside `nft -f` of the text that it makes. See bench/README.md.
 */
import { spawnSync } from 'node:child_process';
import { compile, DEFAULT_OPTIONS, printRuleset } from '../compiler/index.js';
import { parseTopology } from '../src/model/index.js';

const GROUPS = 100;
const RULES = 8;
const RUNS = 5;

type Fields = Readonly<Record<string, unknown>>;

/** `total` ports, `local` of them on this host, 100 groups of 8 rules; the same for the same numbers. */
function document(local: number, total: number): Fields {
  const groups = Array.from({ length: GROUPS }, (_, group) => ({
    id: `group${String(group).padStart(3, '0')}`,
    security_group_rules: Array.from({ length: RULES }, (__, rule) => ({
      id: `rule-${String(group)}-${String(rule)}`,
      direction: rule < 2 ? 'egress' : 'ingress',
      ethertype: rule % 2 === 0 ? 'IPv4' : 'IPv6',
      ...(rule < 2
        ? {}
        : { protocol: 'tcp', port_range_min: 1000 + rule * 10, port_range_max: 1000 + rule * 10 + rule }),
      ...(rule >= 6 ? { remote_group_id: `group${String((group + rule) % GROUPS).padStart(3, '0')}` } : {}),
    })),
  }));
  const ports = Array.from({ length: total }, (_, port) => ({
    id: `${port.toString(16).padStart(8, '0')}-port`,
    mac_address: `fa:16:3e:${[16, 8, 0].map((shift) => ((port >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`,
    network_id: 'network',
    fixed_ips: [
      { ip_address: `10.${[16, 8, 0].map((shift) => String((port >> shift) & 255)).join('.')}` },
      { ip_address: `fd00::1:${(port >> 16).toString(16)}:${(port & 0xffff).toString(16)}` },
    ],
    security_groups: [
      `group${String(port % GROUPS).padStart(3, '0')}`,
      `group${String((port * 7 + 1) % GROUPS).padStart(3, '0')}`,
    ],
    'binding:host_id': port < local ? 'here' : 'elsewhere',
  }));
  return { security_groups: groups, ports };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

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
