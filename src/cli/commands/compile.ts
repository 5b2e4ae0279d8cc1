/** What `portcullis compile` does: prints the rules of a topology, or loads them. */
import {
  besideIptables,
  compile,
  overlapText,
  iptablesProgram,
  printIpsets,
  printIptables,
  printRuleset,
  printRulesetJson,
  printTables,
  summarise,
  type CompileOptions,
  type Compiled,
} from '../../../compiler/index.js';
import type { Difference, Kernel, LoadPlan, Wanted } from '../../../agent/index.js';
import type { Port, Topology } from '../../../compiler/model/index.js';
import { besideNoAgent } from '../agent-lock.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import type { Intent } from '../plan/read.js';
import { renderPlan } from '../plan/render.js';
import { renderDifference } from '../render-difference.js';
import {
  checkBackend,
  compileOptions,
  portsNamed,
  portsOfHost,
  readTopology,
  sayCompiling,
  wantedBy,
  type BackendArguments,
  type DatapathArguments,
} from '../topology-options.js';

export interface CompileArguments extends BackendArguments, DatapathArguments {
  readonly topology: readonly string[];
  readonly host: string | undefined;
  readonly 'dry-run': boolean;
  readonly port: readonly string[];
  readonly part: IptablesPart | undefined;
  readonly format: 'text' | 'json';
  readonly confirm: number | undefined;
  readonly 'skip-invalid': boolean;
  readonly raw: boolean;
}

/** Prints the rules of a topology, or loads them. */
export async function compileOnce(args: CompileArguments): Promise<void> {
  checkBackend(args);
  refuseWhatDoesNotFit(args);
  const topology = await readTopology(args.topology, args['skip-invalid']);
  const options = compileOptions(args, args.datapath);
  sayCompiling(topology);
  const intent = await intentOf(args, topology, options);
  const { compiled } = intent;
  for (const overlap of compiled.policy.zones.overlaps) say(`notice: ${overlapText(overlap)}`);
  if (!args['dry-run']) {
    const instead = 'change what its source says, or stop it (systemctl stop portcullis-agent)';
    await besideNoAgent(instead, async (lock) => loadOnce(args, topology, intent, lock));
  } else if (args.backend === 'iptables') printForIptables(compiled, options, args.part);
  else dryRun(compiled, options, args.format);
}

/** What is loaded keeps devices closed that were ports' once; what is only printed knows of none. */
async function intentOf(args: CompileArguments, topology: Topology, options: CompileOptions): Promise<Intent> {
  const isLocal = localPorts(topology, args);
  if (args['dry-run']) return { topology, isLocal, options, compiled: compile(topology, isLocal, options) };
  const { KERNEL, readLoadedDevices, withFormerDevices } = await import('../../../agent/index.js');
  const loaded = await readLoadedDevices(KERNEL, args.backend);
  const local = withFormerDevices(topology, isLocal, loaded, options);
  return { ...local, options, compiled: compile(local.topology, local.isLocal, options) };
}

function refuseWhatDoesNotFit(args: CompileArguments): void {
  const refuse = (message: string): never => {
    throw new CommandError(EXIT.usage, message);
  };
  if (args.part !== undefined && !(args.backend === 'iptables' && args['dry-run'])) {
    refuse('--part: only with --dry-run --backend iptables');
  }
  if (args.backend === 'iptables') {
    if (args.format === 'json') refuse('--format json: not with --backend iptables; valid: text');
  }
  if (args['dry-run']) {
    if (args.confirm !== undefined) refuse('--confirm: there is nothing to confirm with --dry-run');
    return;
  }
  if (args.host === undefined) refuse('--host: name the host whose ports are to be loaded, or use --dry-run');
  if (args.port.length > 0) refuse('--port: only with --dry-run; loading some ports would close all others');
  if (args.format === 'json') refuse('--format json: only with --dry-run');
  if (args.confirm !== undefined && !(args.confirm >= 1 && args.confirm <= 86_400)) {
    refuse(`--confirm: ${args.confirm.toString()} is not a number of seconds (1-86400)`);
  }
}

function localPorts(topology: Topology, args: CompileArguments): (port: Port) => boolean {
  const ofHost = args.host === undefined ? () => true : portsOfHost(topology, args.host);
  if (args.port.length === 0) return ofHost;
  const named = portsNamed(topology, args.port);
  return (port) => ofHost(port) && named(port);
}

function dryRun(compiled: Compiled, options: CompileOptions, format: 'text' | 'json'): void {
  const { ruleset, policy } = compiled;
  printLine(format === 'json' ? JSON.stringify(printRulesetJson(ruleset), null, 1) : printRuleset(ruleset).trimEnd());
  if (process.stdout.isTTY) {
    const numbers = summarise(policy, ruleset);
    say(
      `${options.datapath}: ${numbers.ports.toString()} ports (${numbers.filteredPorts.toString()} filtered), ` +
        `${numbers.groups.toString()} groups, ${numbers.profiles.toString()} profiles, ${numbers.sets.toString()} sets, ` +
        `${numbers.elements.toString()} elements, ${numbers.chains.toString()} chains; ` +
        `${numbers.groupRules.toString()} group rules merged into ${numbers.compiledGroupRules.toString()}`,
    );
  }
}

/** The programs that load the parts, in the order in which they are to be loaded. */
const IPTABLES_PARTS = {
  ipset: 'ipset restore',
  nft: 'nft -f - (ARP and what else is not IP)',
  iptables: 'iptables-restore --noflush',
  ip6tables: 'ip6tables-restore --noflush',
} as const;
type IptablesPart = keyof typeof IPTABLES_PARTS;

function printForIptables({ policy }: Compiled, options: CompileOptions, only: IptablesPart | undefined): void {
  const program = iptablesProgram(policy, options);
  const texts: Readonly<Record<IptablesPart, () => string>> = {
    ipset: () => printIpsets(program),
    nft: () => printTables(besideIptables(policy, options)),
    iptables: () => printIptables(program, 'IPv4'),
    ip6tables: () => printIptables(program, 'IPv6'),
  };
  if (only !== undefined) {
    printLine(texts[only]().trimEnd());
    return;
  }
  for (const part of ['ipset', 'nft', 'iptables', 'ip6tables'] as const) {
    printLine(`# ${IPTABLES_PARTS[part]}\n${texts[part]().trimEnd()}`);
  }
}

async function loadOnce(args: CompileArguments, topology: Topology, intent: Intent, lock: number): Promise<void> {
  const { compiled, options } = intent;
  const { isNoDifference, KERNEL, planLoad, probeDatapath, startConfirmation, takeOverFlows } =
    await import('../../../agent/index.js');
  const { backend, confirm } = args;
  await probeDatapath(KERNEL, options.datapath, backend);
  try {
    await takeOverFlows(KERNEL, topology, localPorts(topology, args), options);
  } catch (error) {
    // The host is enforced all the same; what answers in such flows must begin anew.
    say(`live flows cannot be taken over: ${error instanceof Error ? error.message : String(error)}`);
  }
  const wanted = wantedBy(backend, compiled, options);
  const isPlanShown = process.stdout.isTTY && !args.raw;
  const plan = await planLoad(KERNEL, wanted);
  if (isPlanShown) await showPlan(KERNEL, plan, wanted, intent);
  const report = isPlanShown ? sayLoaded : reportLoaded;
  if (confirm === undefined) {
    await plan.apply();
    report(plan);
    return;
  }
  const pending = await startConfirmation(KERNEL, confirm * 1000, lock);
  try {
    await plan.apply();
  } catch (error) {
    pending.keep();
    throw error;
  }
  report(plan);
  if (isNoDifference(plan)) {
    pending.keep();
    return;
  }
  await askToKeep(pending, confirm);
}

/** For a person, before anything is loaded. */
async function showPlan(kernel: Kernel, difference: LoadPlan, wanted: Wanted, intent: Intent): Promise<void> {
  const { planOf } = await import('../plan/read.js');
  const plan = await planOf(kernel, difference, wanted, intent);
  for (const line of renderPlan(plan, colours)) printLine(line);
  if (plan.unsaid !== undefined) say(`notice: ${plan.unsaid}`);
}

function reportLoaded(difference: Difference): void {
  for (const line of renderDifference(difference, colours)) printLine(line);
  sayLoaded(difference);
}

function sayLoaded({ transaction, iptables }: Difference): void {
  say(transaction.length + iptables.length === 0 ? 'nothing to change: this is what is loaded' : 'loaded');
}

async function askToKeep(
  pending: { keep(): void; restore(): void; outcome(): Promise<'kept' | 'restored' | 'failed'> },
  seconds: number,
): Promise<void> {
  const { createInterface } = await import('node:readline');
  say(`type "yes" within ${seconds.toString()} seconds to keep these rules; the former ones come back otherwise`);
  const answers = createInterface({ input: process.stdin });
  answers.on('line', (line) => {
    if (/^y(es)?$/i.test(line.trim())) pending.keep();
    else say('only "yes" keeps them');
  });
  const outcome = await pending.outcome();
  answers.close();
  process.stdin.destroy();
  switch (outcome) {
    case 'kept':
      say('kept');
      return;
    case 'restored':
      throw new CommandError(EXIT.differs, 'not confirmed: the former rules are back');
    case 'failed':
      throw new CommandError(
        EXIT.kernelRefused,
        'not confirmed, and the former rules could not be restored: see nft list ruleset',
      );
  }
}
