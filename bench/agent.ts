/**
 * `npm run bench`, second part: from a change to the kernel, and the cut of revoked flows, in a network namespace of its own.
 * See bench/README.md.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Conntrack } from '../agent/netlink/conntrack.js';
import { Enforcer } from '../agent/enforcer.js';
import type { Applied, LoopEvent } from '../agent/events.js';
import type { CommitOrder } from '../agent/watch/events.js';
import { AdmissionCheck } from '../agent/flows/admission.js';
import { thisMachine } from '../agent/ground.js';
import { carryOutStep, removeIptables } from '../agent/kernel/iptables.js';
import { applyText } from '../agent/kernel/nft.js';
import { Watcher } from '../agent/watch/watcher.js';
import type { BackendName } from '../agent/index.js';
import {
  compile,
  DEFAULT_OPTIONS,
  flowBits,
  HostCompiler,
  hostPolicy,
  iptablesProgram,
  printIpsets,
  printIptables,
  printRuleset,
} from '../compiler/index.js';
import {
  diffTopologies,
  EMPTY_TOPOLOGY,
  FAMILIES,
  parseTopology,
  type Port,
  type Topology,
} from '../compiler/model/index.js';
import { document, median, type Fields } from './document.js';

const SIZES: Readonly<Record<BackendName, readonly number[]>> = {
  nftables: [100, 1000, 10_000],
  iptables: [100, 1000, 10_000],
};
const RUNS = 21;
const FLOWS = 200_000;

interface Document {
  readonly security_groups: readonly Fields[];
  readonly ports: readonly Fields[];
}

const here = ({ host }: Port): boolean => host === 'here';

function parsed(content: Fields): Topology {
  return parseTopology([{ file: 'bench', content }]).topology;
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

/** Resolves with the next transaction that an enforcer reports. */
class Reports {
  #resolve: (applied: Applied) => void = () => undefined;
  enforcer: Enforcer | undefined;

  readonly listener = {
    tell: (event: LoopEvent): void => {
      if (event.kind === 'applied') this.#resolve(event);
      if (event.kind === 'not-applied') throw event.error;
    },
    onFirstLoad: async (): Promise<void> => Promise.resolve(),
    onTouched: (): void => undefined,
    onClosing: (): void => undefined,
    // As the watching process tells of it.
    onOwnCommit: (order: CommitOrder): void => {
      if (order.kind !== 'own-over' || !order.isMade) return;
      const { portId, after: generation } = order;
      const by = { pid: process.pid, program: 'bench', opened: [], isClosing: false, mayBeOurs: false };
      this.enforcer?.tableChanged({ ...by, portId, generation });
    },
  };

  async next(): Promise<Applied> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;
const print = (...cells: readonly string[]): void => {
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
};

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
    oneElement: async () => applyText('add element inet portcullis macs { "floor" . 02:00:00:00:00:01 }\n'),
    back: async () => applyText('delete element inet portcullis macs { "floor" . 02:00:00:00:00:01 }\n'),
  },
  iptables: {
    everything: async (topology) => {
      const program = iptablesProgram(hostPolicy(topology, here, DEFAULT_OPTIONS), DEFAULT_OPTIONS);
      await carryOutStep({ kind: 'sets', text: printIpsets(program), undo: '' });
      for (const family of FAMILIES) {
        await carryOutStep({ kind: 'rules', family, text: printIptables(program, family) });
      }
    },
    oneElement: async () => carryOutStep({ kind: 'sets', text: `add ${MEMBER_SET} 192.0.2.1\n`, undo: '' }),
    back: async () => carryOutStep({ kind: 'sets', text: `del ${MEMBER_SET} 192.0.2.1\n`, undo: '' }),
  },
};
const MEMBER_SET = 'pc-sg_group000_addresses4';

async function latencies(backend: BackendName): Promise<void> {
  const { everything, oneElement, back } = FLOORS[backend];
  process.stdout.write(`\n${backend}\n\n`);
  print('ports', 'change', 'change to kernel', 'of it our own', 'one element', 'everything');
  print('---', '---', '---', '---', '---', '---');
  for (const size of SIZES[backend]) {
    const base = document(size, size) as unknown as Document;
    const topology = parsed({ ...base });
    const reports = new Reports();
    const enforcer = new Enforcer(here, DEFAULT_OPTIONS, thisMachine(backend), reports.listener);
    reports.enforcer = enforcer;
    const started = reports.next();
    enforcer.setTopology(topology);
    enforcer.watchBegins();
    await started;
    const whole = median([await time(async () => everything(topology)), await time(async () => everything(topology))]);
    for (const { what, change } of CHANGES) {
      const [totals, own, floors]: [number[], number[], number[]] = [[], [], []];
      for (let run = 0; run < RUNS; run++) {
        const after = parsed({ ...change(base, run) });
        const applied = reports.next();
        enforcer.setTopology(after);
        const { latency, milliseconds } = await applied;
        totals.push(latency);
        own.push(latency - milliseconds);
        // Side by side: what one element costs, whoever sends it.
        floors.push(await time(oneElement));
        await back();
        const restored = reports.next();
        enforcer.setTopology(topology);
        await restored;
      }
      print(size.toString(), what, ms(median(totals)), ms(median(own)), ms(median(floors)), ms(whole));
    }
    await enforcer.stop();
  }
}

/** From `ip link add` to the rules of the port whose alias the link has, as the kernel's notice and our transaction make it. */
async function linkLatency(): Promise<void> {
  const id = 'aaaaaaaa-0000-4000-8000-000000000000';
  const { security_groups: groups, ports } = document(1000, 1000) as unknown as Document;
  const topology = parsed({ security_groups: groups, ports: [...ports, { ...ports[0], id }] });
  const reports = new Reports();
  const enforcer = new Enforcer(here, DEFAULT_OPTIONS, thisMachine('nftables'), reports.listener);
  reports.enforcer = enforcer;
  const watcher = new Watcher({
    onEvent: (event) => {
      if (event.kind === 'table-changed' || event.kind === 'closed' || event.kind === 'withdrawn') return;
      if (event.kind === 'iptables-changed') return;
      enforcer.setLinks(event);
      if (event.kind === 'links') enforcer.watchBegins();
    },
    onLoss: () => undefined,
  });
  const started = reports.next();
  enforcer.setTopology(topology);
  watcher.start();
  await started;
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const device = `tapx${run.toString()}`;
    spawnSync('ip', ['link', 'add', device, 'type', 'veth']);
    spawnSync('ip', ['link', 'set', device, 'alias', `port:${id}`]);
    const applied = reports.next();
    const start = performance.now();
    spawnSync('ip', ['link', 'set', device, 'up']);
    await applied;
    times.push(performance.now() - start);
    const gone = reports.next();
    spawnSync('ip', ['link', 'delete', device]);
    await gone;
  }
  watcher.stop();
  await enforcer.stop();
  process.stdout.write(
    `\nA device that comes up with the alias of a port, at 1 000 ports: its rules are in ${ms(median(times))} after the start of \`ip link set up\`, a program's start included.\n`,
  );
}

/** Fills connection tracking with flows of the host's ports, and lists, judges and marks them as a revocation does. */
async function sweep(): Promise<void> {
  spawnSync('sysctl', ['-qw', 'net.netfilter.nf_conntrack_max=1000000']);
  const topology = parsed(document(1000, 1000));
  const compiler = new HostCompiler(here, DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, topology));
  fill();
  const conntrack = new Conntrack();
  const ports = [...compiler.localPorts()];
  const few = new Set(ports.slice(0, 1).flatMap(({ fixedIps }) => fixedIps.map(({ network }) => Number(network))));
  const one = await time(async () => conntrack.flows((address) => few.has(Number(address))));
  let flows: Awaited<ReturnType<Conntrack['flows']>> = [];
  const all = await time(async () => {
    flows = await conntrack.flows(() => true);
  });
  const bits = flowBits(DEFAULT_OPTIONS);
  const check = new AdmissionCheck(compiler, bits, DEFAULT_OPTIONS.widestPairLength);
  const judged = await time(() => {
    // As flows that both ends let in.
    for (const flow of flows) check.judge({ ...flow, mark: bits.originator | bits.responder });
    return Promise.resolve();
  });
  const marked = await time(async () => conntrack.mark(flows.slice(0, 1000), DEFAULT_OPTIONS.revokedMark, true));
  conntrack.close();
  process.stdout.write(
    `\n${flows.length.toString()} live flows: listed for one port in ${ms(one)}, all of them in ${ms(all)} and judged in ${ms(judged)}; 1 000 marked in ${ms(marked)}. By \`conntrack -L\` alone: ${ms(await time(listed))}.\n`,
  );
}

function listed(): Promise<void> {
  spawnSync('sh', ['-c', 'conntrack -L > /dev/null 2>&1']);
  return Promise.resolve();
}

/** UDP flows between ports and the outside, put in as conntrack(8) loads them. */
function fill(): void {
  const lines = Array.from({ length: FLOWS }, (_none, flow) => {
    const port = flow % 1000;
    const [from, to] = [
      `10.0.${(port >> 8).toString()}.${(port & 255).toString()}`,
      `192.0.2.${(1 + (flow % 250)).toString()}`,
    ];
    const source = (1024 + Math.floor(flow / 1000)).toString();
    return `-I -p udp -s ${from} -d ${to} --sport ${source} --dport 53 -t 600`;
  });
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  try {
    writeFileSync(join(folder, 'flows'), `${lines.join('\n')}\n`);
    const { status, stderr } = spawnSync('conntrack', ['-R', join(folder, 'flows')], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`conntrack: ${stderr.slice(0, 200)}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function inside(): Promise<void> {
  await latencies('nftables');
  await latencies('iptables');
  // What follows is of nftables alone.
  await removeIptables();
  await linkLatency();
  await sweep();
  process.exit(0);
}

if (process.argv[2] === 'inside') await inside();
else if (process.getuid?.() !== 0) process.stdout.write('agent: not run: it needs root, for a network namespace\n');
else {
  const args = ['-n', process.execPath, fileURLToPath(import.meta.url), 'inside'];
  process.exit(spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1);
}
