/** `portcullis diff`: what would loading change in this kernel? */
import pico from 'picocolors';
import type { CommandModule } from 'yargs';
import type { Difference } from '../../../agent/index.js';
import { compile } from '../../../compiler/index.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import type { Plan } from '../plan/line.js';
import type { Intent } from '../plan/read.js';
import { renderPlan } from '../plan/render.js';
import { renderDifference } from '../render-difference.js';
import {
  backendOption,
  checkBackend,
  compileOptions,
  datapathOption,
  hostOption,
  portsOfHost,
  readTopology,
  skipInvalidOption,
  topologyOption,
  wantedBy,
  type BackendArguments,
  type DatapathArguments,
} from '../topology-options.js';

interface DiffArguments extends BackendArguments, DatapathArguments {
  readonly topology: string;
  readonly host: string;
  readonly 'skip-invalid': boolean;
  readonly raw: boolean;
  readonly json: boolean;
}

export const diffCommand: CommandModule<object, DiffArguments> = {
  command: 'diff',
  describe: 'print what loading would change in this kernel; exit 2 if anything',
  builder: (yargs) =>
    yargs
      .options({
        ...topologyOption,
        host: { ...hostOption.host, demandOption: true },
        ...backendOption,
        ...datapathOption,
        ...skipInvalidOption,
        raw: { type: 'boolean', default: false, describe: 'what changes in the kernel: sets, chains and rules' },
        json: { type: 'boolean', default: false, describe: 'both as JSON' },
      })
      .example('$0 diff -t topology.yaml --host compute-1', 'before compile: - goes, + comes, ~ is rewritten')
      .example('$0 diff -t topology.yaml --host compute-1 --raw', 'the same, in the kernel’s words'),
  handler: async (args) => {
    checkBackend(args);
    const topology = await readTopology(args.topology, args['skip-invalid']);
    const options = compileOptions(args, args.datapath);
    const { isNoDifference, planLoad, readLoadedDevices, withFormerDevices } = await import('../../../agent/index.js');
    const loaded = await readLoadedDevices(args.backend);
    const local = withFormerDevices(topology, portsOfHost(topology, args.host), loaded, options);
    const compiled = compile(local.topology, local.isLocal, options);
    const difference = await planLoad(wantedBy(args.backend, compiled, options));
    const isNothing = isNoDifference(difference);
    const plan = isNothing ? NO_PLAN : await planFor(args, difference, { ...local, options, compiled });
    if (args.json) {
      const raw = renderDifference(difference, pico.createColors(false));
      printLine(
        JSON.stringify({ differs: !isNothing, plan: plan?.lines ?? null, flows_cut: plan?.cut ?? null, raw }, null, 2),
      );
    } else {
      const lines = plan === undefined ? renderDifference(difference, colours) : renderPlan(plan, colours);
      for (const line of lines) printLine(line);
      if (isNothing) say('what is loaded is what the topology says');
    }
    if (!isNothing) process.exitCode = EXIT.differs;
  },
};

const NO_PLAN: Plan = { lines: [], cut: 0 };

/** Undefined where it is told in the kernel's own words alone, as what iptables holds always is. */
async function planFor(args: DiffArguments, difference: Difference, intent: Intent): Promise<Plan | undefined> {
  if (args.backend === 'iptables' || (args.raw && !args.json)) return undefined;
  const { planOf } = await import('../plan/read.js');
  return planOf(difference, intent);
}
