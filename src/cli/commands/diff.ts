/** What `portcullis diff` does: what would loading change in this kernel? */
import pico from 'picocolors';
import type { Kernel, LoadPlan, Wanted } from '../../../agent/index.js';
import { compile } from '../../../compiler/index.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import type { Plan } from '../plan/line.js';
import type { Intent } from '../plan/read.js';
import { renderPlan } from '../plan/render.js';
import { renderDifference } from '../render-difference.js';
import {
  checkBackend,
  compileOptions,
  portsOfHost,
  readTopology,
  sayCompiling,
  wantedBy,
  type BackendArguments,
  type DatapathArguments,
} from '../topology-options.js';

export interface DiffArguments extends BackendArguments, DatapathArguments {
  readonly topology: readonly string[];
  readonly host: string;
  readonly 'skip-invalid': boolean;
  readonly raw: boolean;
  readonly json: boolean;
}

/** Prints what loading would change. */
export async function diffOnce(args: DiffArguments): Promise<void> {
  checkBackend(args);
  const topology = await readTopology(args.topology, args['skip-invalid']);
  const options = compileOptions(args, args.datapath);
  const { isNoDifference, KERNEL, planLoad, readLoadedDevices, withFormerDevices } =
    await import('../../../agent/index.js');
  const loaded = await readLoadedDevices(KERNEL, args.backend);
  const local = withFormerDevices(topology, portsOfHost(topology, args.host), loaded, options);
  sayCompiling(topology);
  const compiled = compile(local.topology, local.isLocal, options);
  const wanted = wantedBy(args.backend, compiled, options);
  const difference = await planLoad(KERNEL, wanted);
  const isNothing = isNoDifference(difference);
  const plan = isNothing ? NO_PLAN : await planFor(KERNEL, args, difference, wanted, { ...local, options, compiled });
  if (args.json) {
    const raw = renderDifference(difference, pico.createColors(false));
    printLine(
      JSON.stringify({ differs: !isNothing, plan: plan?.lines ?? null, flows_cut: plan?.cut ?? null, raw }, null, 2),
    );
  } else {
    const lines = plan === undefined ? renderDifference(difference, colours) : renderPlan(plan, colours);
    for (const line of lines) printLine(line);
    if (plan?.unsaid !== undefined) say(`notice: ${plan.unsaid}`);
    if (isNothing) say('what is loaded is what the topology says');
  }
  if (!isNothing) process.exitCode = EXIT.differs;
}

const NO_PLAN: Plan = { lines: [], cut: 0, unsaid: undefined };

/** Undefined where it is told in the kernel's own words alone. */
async function planFor(
  kernel: Kernel,
  args: DiffArguments,
  difference: LoadPlan,
  wanted: Wanted,
  intent: Intent,
): Promise<Plan | undefined> {
  if (args.raw && !args.json) return undefined;
  const { planOf } = await import('../plan/read.js');
  return planOf(kernel, difference, wanted, intent);
}
