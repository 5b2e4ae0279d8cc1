/** `npm run bench`: how fast flows are found, judged and marked that a change revokes, in a network namespace of its own. See bench/README.md. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdmissionCheck } from '../agent/flows/admission.js';
import { Conntrack } from '../agent/netlink/conntrack.js';
import { DEFAULT_OPTIONS, flowBits, HostCompiler } from '../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY } from '../compiler/model/index.js';
import { document } from './document.js';
import { IS_QUICK, say } from './report.js';
import { here, ms, parsed, time } from './subject.js';

const FLOWS = IS_QUICK ? 20_000 : 200_000;

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
  say(
    `\n${flows.length.toString()} live flows: listed for one port in ${ms(one)}, all of them in ${ms(all)} and judged in ${ms(judged)}; 1 000 marked in ${ms(marked)}. By \`conntrack -L\` alone: ${ms(await time(listed))}.`,
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

if (process.argv[2] === 'inside') {
  await sweep();
  process.exit(0);
} else if (process.getuid?.() !== 0) say('flows: not run: it needs root, for a network namespace');
else {
  const args = ['-n', process.execPath, fileURLToPath(import.meta.url), 'inside', ...process.argv.slice(2)];
  process.exit(spawnSync('unshare', args, { stdio: 'inherit' }).status ?? 1);
}
