/** What the kernel can do, by trying it: each as nft text that is checked and never loaded. */
import { BRIDGE_TRACKING, KERNEL } from '../../../agent/index.js';
import { compile, printTable, type CompileOptions, type Datapath } from '../../../compiler/index.js';
import { EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';
import { failed, named, ok, type Finding } from './finding.js';

export interface Feature {
  readonly name: string;
  /** Datapaths that cannot do without; none for what nothing of ours uses today. */
  readonly neededBy: readonly Datapath[];
  /** Of the kernel's configuration, and the module that has it. */
  readonly module: string;
  readonly text: string;
}

const ALL: readonly Datapath[] = ['routed', 'bridge', 'bridge-netfilter'];
/** Even for the instant of a check no hook is to be registered. */
const table = (family: string, body: string): string =>
  `table ${family} portcullis_probe {\nflags dormant\n${body}\n}\n`;
const chain = (rules: string): string => `chain probe {\n${rules}\n}`;
const hook = (name: string, priority: number): string =>
  chain(`type filter hook ${name} priority ${priority.toString()}`);

const FEATURES: readonly Feature[] = [
  { name: 'table inet', neededBy: ALL, module: 'nf_tables', text: table('inet', hook('prerouting', -150)) },
  { name: 'table arp', neededBy: ALL, module: 'nf_tables (NF_TABLES_ARP)', text: table('arp', hook('input', 0)) },
  {
    name: 'table bridge',
    neededBy: ALL,
    module: 'nf_tables (NF_TABLES_BRIDGE)',
    text: table('bridge', hook('prerouting', -190)),
  },
  {
    name: 'connection tracking',
    neededBy: ['routed', 'bridge-netfilter'],
    module: 'nft_ct',
    text: table('inet', chain('ct state established accept\nct mark set ct mark | 0x1\nct zone set 1')),
  },
  {
    name: 'connection tracking on bridges',
    neededBy: ['bridge'],
    module: 'nf_conntrack_bridge',
    text: BRIDGE_TRACKING,
  },
  {
    name: 'sets of prefixes with devices',
    neededBy: ALL,
    module: 'nf_tables',
    text: table(
      'inet',
      'set probe {\ntypeof iifname . ip saddr\nflags interval\nelements = { "tap0" . 10.0.0.0/24 }\n}',
    ),
  },
  {
    name: 'sets that packets fill',
    neededBy: ALL,
    module: 'nf_tables',
    text: table(
      'inet',
      `set tally {\ntypeof iifname\nflags dynamic,timeout\nsize 16\ntimeout 1d\n}\n${chain('update @tally { iifname counter }')}`,
    ),
  },
  {
    name: 'tables with an owner',
    neededBy: [],
    module: 'nf_tables',
    text: 'table inet portcullis_probe {\nflags owner\n}\n',
  },
  { name: 'log groups', neededBy: [], module: 'nfnetlink_log', text: table('inet', chain('log group 1')) },
];

export interface TriedFeature extends Omit<Feature, 'text'> {
  readonly isThere: boolean;
}

/** Rejects with KernelError where nft cannot be asked. */
export async function tryFeatures(options: CompileOptions): Promise<readonly TriedFeature[]> {
  return Promise.all(
    [...FEATURES, everything(options)].map(async ({ text, ...feature }) => ({
      ...feature,
      isThere: await KERNEL.wouldApply(text),
    })),
  );
}

/** The fixed part of what we load: whatever it takes that has no line of its own. */
function everything(options: CompileOptions): Feature {
  const { tables } = compile(EMPTY_TOPOLOGY, () => false, options).ruleset;
  const text = tables
    .map((one) => printTable({ ...one, name: 'portcullis_probe' }).replace('{\n', '{\n\tflags dormant\n'))
    .join('');
  return { name: 'our rules as a whole', neededBy: [options.datapath], module: 'nf_tables', text };
}

export function judgeFeatures(features: readonly TriedFeature[], datapath: Datapath): readonly Finding[] {
  const lacking = features.filter(({ isThere }) => !isThere);
  const needed = lacking.filter(({ neededBy }) => neededBy.includes(datapath));
  const elsewhere = lacking.filter(({ neededBy }) => !neededBy.includes(datapath)).map(({ name }) => name);
  if (needed.length === 0) {
    const there = `nft and the kernel take all that --datapath ${datapath} needs`;
    return [ok(elsewhere.length === 0 ? there : `${there}; not there, and not needed for it: ${named(elsewhere)}`)];
  }
  return needed.map(({ name, module }) =>
    failed(
      `the kernel lacks ${name}, which --datapath ${datapath} needs`,
      module === 'nf_conntrack_bridge'
        ? 'modprobe nf_conntrack_bridge, or --datapath bridge-netfilter'
        : `a kernel with ${module}`,
    ),
  );
}
