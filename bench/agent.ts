/**
 * `npm run bench`, second part: from a change to the kernel, in a network namespace of its own.
 * See bench/README.md.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { carryOutStep, removeIptables } from '../agent/kernel/iptables.js';
import { applyText } from '../agent/kernel/nft.js';
import type { BackendName } from '../agent/index.js';
import {
  compile,
  DEFAULT_OPTIONS,
  hostPolicy,
  iptablesProgram,
  printIpsets,
  printIptables,
  printRuleset,
} from '../compiler/index.js';
import { FAMILIES, type Topology } from '../compiler/model/index.js';
import { document, median, type Fields } from './document.js';
import { IS_QUICK, say, Table } from './report.js';
import { here, ms, parsed, Subject, time } from './subject.js';

const SIZES: Readonly<Record<BackendName, readonly number[]>> = {
  nftables: IS_QUICK ? [100, 1000] : [100, 1000, 10_000],
  iptables: IS_QUICK ? [100] : [100, 1000, 10_000],
};
const RUNS = IS_QUICK ? 7 : 21;
const LOADS = IS_QUICK ? 3 : 5;

interface Document {
  readonly security_groups: readonly Fields[];
  readonly ports: readonly Fields[];
}

/** Every kind of change that happens all day; each one is made and taken back. */
const CHANGES: readonly { readonly what: string; readonly change: (before: Document, run: number) => Document }[] = [
  {
    what: 'port joins a remote group',
    change: (before, run) =>
      withPort(before, 50 + run, (port) => ({ ...port, security_groups: ['group000', 'group051'] })),
  },
  {
    what: 'port added',
    change: (before, run) => ({
      ...before,
      ports: [
        ...before.ports,
        {
          ...before.ports[0],
          id: `new${run.toString()}-port`,
          mac_address: 'fa:16:3f:00:00:01',
          fixed_ips: [{ ip_address: '10.255.0.1' }],
        },
      ],
    }),
  },
  {
    what: 'port removed',
    change: (before, run) => ({ ...before, ports: before.ports.filter((_port, index) => index !== 50 + run) }),
  },
  {
    what: 'address pair added',
    change: (before, run) =>
      withPort(before, 50 + run, (port) => ({ ...port, allowed_address_pairs: [{ ip_address: '10.254.0.1' }] })),
  },
  {
    what: 'rule added',
    change: (before, run) => ({
      ...before,
      security_groups: before.security_groups.map((group, index) =>
        index === 10 + run
          ? {
              ...group,
              security_group_rules: [
                ...(group['security_group_rules'] as readonly Fields[]),
                { id: 'new', direction: 'ingress', protocol: 'tcp', port_range_min: 7, port_range_max: 7 },
              ],
            }
          : group,
      ),
    }),
  },
];

function withPort(before: Document, at: number, change: (port: Fields) => Fields): Document {
  return { ...before, ports: before.ports.map((port, index) => (index === at ? change(port) : port)) };
}

/** What a packet filter's own programs need, beside which a change is measured. */
interface Floor {
  /** Loads everything, as an agent without incremental changes would. */
  readonly everything: (topology: Topology) => Promise<void>;
  /** Adds one element or entry; the second takes it back. */
  readonly oneElement: () => Promise<void>;
  readonly back: () => Promise<void>;
}

const FLOORS: Readonly<Record<BackendName, Floor>> = {
  nftables: {
    everything: async (topology) => applyText(printRuleset(compile(topology, here, DEFAULT_OPTIONS).ruleset)),
    oneElement: async () => applyText('add element inet floor macs { "floor" . 02:00:00:00:00:01 }\n'),
    back: async () => applyText('delete element inet floor macs { "floor" . 02:00:00:00:00:01 }\n'),
  },
  iptables: {
    everything: async (topology) => {
      const program = iptablesProgram(hostPolicy(topology, here, DEFAULT_OPTIONS), DEFAULT_OPTIONS);
      await carryOutStep({ kind: 'sets', text: printIpsets(program), undo: '' });
      for (const family of FAMILIES) {
        await carryOutStep({ kind: 'rules', family, text: printIptables(program, family) });
      }
    },
    oneElement: async () => carryOutStep({ kind: 'sets', text: `add ${FLOOR_SET} 192.0.2.1\n`, undo: '' }),
    back: async () => carryOutStep({ kind: 'sets', text: `del ${FLOOR_SET} 192.0.2.1\n`, undo: '' }),
  },
};
/** Sets of nobody: what another program does to ours is put right. */
const FLOOR_SET = 'floor';
const FLOOR = 'table inet floor {\n set macs {\n typeof iifname . ether saddr\n }\n}\n';

/** Who makes the transactions of nf_tables: the agent itself, or nft(8). */
type Way = 'direct' | 'nft';

/** As `PORTCULLIS_TRANSACTIONS` says it (docs/man/portcullis-agent.md). */
function go(way: Way): void {
  if (way === 'nft') process.env['PORTCULLIS_TRANSACTIONS'] = 'nft';
  else delete process.env['PORTCULLIS_TRANSACTIONS'];
}

async function latencies(backend: BackendName): Promise<void> {
  const { everything, oneElement, back } = FLOORS[backend];
  const isNft = backend === 'nftables';
  const table = new Table(`a change with ${backend}`, [
    { name: 'ports' },
    { name: 'change' },
    { name: 'change to kernel', unit: 'ms', digits: 2 },
    { name: 'of it our own', unit: 'ms', digits: 2 },
    ...(isNft
      ? ([
          { name: 'made by nft', unit: 'ms', digits: 2 },
          { name: 'nft / direct', digits: 1 },
        ] as const)
      : []),
    { name: 'one element by the program', unit: 'ms', digits: 1 },
    { name: 'everything by the program', unit: 'ms' },
  ]);
  for (const size of SIZES[backend]) {
    const base = document(size, size) as unknown as Document;
    const topology = parsed({ ...base });
    const whole = median([await time(async () => everything(topology)), await time(async () => everything(topology))]);
    const subject = new Subject(backend);
    await subject.begin(topology);
    for (const { what, change } of CHANGES) {
      const runs: { total: number; own: number; byNft: number; floor: number }[] = [];
      for (let run = 0; run < RUNS; run++) {
        const after = parsed({ ...change(base, run) });
        // Side by side: by nft, by ourselves, and what one element costs, whoever sends it.
        let byNft = NaN;
        if (isNft) {
          go('nft');
          byNft = (await subject.change(after)).total;
          await subject.change(topology);
        }
        go('direct');
        const { total, own } = await subject.change(after);
        await subject.change(topology);
        const floor = await time(oneElement);
        await back();
        runs.push({ total, own, byNft, floor });
      }
      const of = (pick: (run: (typeof runs)[number]) => number): number => median(runs.map(pick));
      const ways = isNft ? [of(({ byNft }) => byNft), of(({ byNft, total }) => byNft / total)] : [];
      const program = of(({ floor }) => floor);
      table.row(
        size,
        what,
        of(({ total }) => total),
        of(({ own }) => own),
        ...ways,
        program,
        whole,
      );
    }
    await subject.end();
  }
}

/** A whole host: from a topology in memory to rules in force, beside nft with a text that is there. */
async function fullLoads(): Promise<void> {
  const table = new Table('a full load with nftables', [
    { name: 'ports' },
    { name: 'topology to rules in force', unit: 'ms' },
    { name: 'nft -f of the same text', unit: 'ms' },
    { name: 'load / nft', digits: 2 },
    { name: 'again, nothing changed', unit: 'ms' },
  ]);
  for (const size of SIZES.nftables) {
    const topology = parsed(document(size, size));
    const text = printRuleset(compile(topology, here, DEFAULT_OPTIONS).ruleset);
    const runs: { load: number; byNft: number; again: number }[] = [];
    for (let run = 0; run < LOADS; run++) {
      await removeOurs();
      const byNft = await time(async () => applyText(text));
      await removeOurs();
      const first = new Subject('nftables');
      const load = await first.begin(topology);
      await first.end();
      const second = new Subject('nftables');
      const again = await second.begin(topology);
      await second.end();
      runs.push({ load, byNft, again });
    }
    const of = (pick: (run: (typeof runs)[number]) => number): number => median(runs.map(pick));
    const ratio = of(({ load, byNft }) => load / byNft);
    table.row(
      size,
      of(({ load }) => load),
      of(({ byNft }) => byNft),
      ratio,
      of(({ again }) => again),
    );
  }
}

async function removeOurs(): Promise<void> {
  const tables = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout.trim().split('\n');
  await applyText(
    tables.flatMap((line) => (line === '' || line.endsWith(' floor') ? [] : [`delete ${line}\n`])).join(''),
  );
}

/** What somebody does to our tables. */
const FOREIGN: readonly { readonly what: string; readonly text: string }[] = [
  { what: 'an element is deleted', text: 'delete element inet portcullis addresses4 { 10.0.0.1 }' },
  { what: 'a rule that drops is inserted', text: 'insert rule inet portcullis sg_group000_out drop' },
  { what: 'our table is deleted', text: 'delete table inet portcullis' },
];

function somebodySays(text: string): void {
  const { status, stderr } = spawnSync('nft', [text], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`nft ${text}: ${stderr}`);
}

/** Until what somebody did is mended, by what is read back without nft and by nft, in turn. */
async function drift(): Promise<void> {
  const table = new Table('what somebody else did, mended', [
    { name: 'ports' },
    { name: 'what' },
    { name: 'mended in', unit: 'ms' },
    { name: 'by nft', unit: 'ms' },
    { name: 'nft / direct', digits: 1 },
  ]);
  for (const size of SIZES.nftables) {
    const subject = new Subject('nftables');
    await subject.begin(parsed(document(size, size)));
    for (const { what, text } of FOREIGN) {
      const runs: Record<Way, number[]> = { direct: [], nft: [] };
      for (let run = 0; run < LOADS; run++) {
        for (const way of ['nft', 'direct'] as const) {
          go(way);
          runs[way].push(await subject.mended(() => somebodySays(text)));
        }
      }
      const [direct, byNft] = [median(runs.direct), median(runs.nft)];
      table.row(size, what, direct, byNft, byNft / direct);
    }
    await subject.end();
  }
}

/** From `ip link add` to the rules of the port whose alias the link has, as the kernel's notice and our transaction make it. */
async function linkLatency(): Promise<void> {
  const id = 'aaaaaaaa-0000-4000-8000-000000000000';
  const { security_groups: groups, ports } = document(1000, 1000) as unknown as Document;
  const topology = parsed({ security_groups: groups, ports: [...ports, { ...ports[0], id }] });
  const subject = new Subject('nftables');
  await subject.begin(topology);
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const device = `tapx${run.toString()}`;
    spawnSync('ip', ['link', 'add', device, 'type', 'veth']);
    spawnSync('ip', ['link', 'set', device, 'alias', `port:${id}`]);
    const applied = subject.applied();
    const start = performance.now();
    spawnSync('ip', ['link', 'set', device, 'up']);
    await applied;
    times.push(performance.now() - start);
    const gone = subject.applied();
    spawnSync('ip', ['link', 'delete', device]);
    await gone;
  }
  await subject.end();
  say(
    `\nA device that comes up with the alias of a port, at 1 000 ports: its rules are in ${ms(median(times))} after the start of \`ip link set up\`, a program's start included.`,
  );
}

async function inside(): Promise<void> {
  await applyText(FLOOR);
  await carryOutStep({ kind: 'sets', text: `create ${FLOOR_SET} hash:ip\n`, undo: '' });
  await fullLoads();
  await latencies('nftables');
  await drift();
  await latencies('iptables');
  // What follows is of nftables alone.
  await removeIptables();
  await linkLatency();
  process.exit(0);
}

if (process.argv[2] === 'inside') await inside();
else if (process.getuid?.() !== 0) say('agent: not run: it needs root, for a network namespace');
else {
  const args = ['-n', process.execPath, fileURLToPath(import.meta.url), 'inside', ...process.argv.slice(2)];
  process.exit(spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1);
}
