/** Makes the plan of a difference: reads what is loaded, and asks which live flows it would cut. */
import { countFlowsToCut, type Kernel, type LoadPlan, type Wanted } from '../../../agent/index.js';
import { isBridged, type Compiled, type CompileOptions } from '../../../compiler/index.js';
import { parsePrefix, type Port, type Topology } from '../../../compiler/model/index.js';
import type { Plan } from './line.js';
import { planLines, sidesOf, unsaidOf, type Judging } from './plan.js';
import { addressesGone } from './ports.js';

/** What is to be loaded, and what it was made of. */
export interface Intent {
  readonly topology: Topology;
  readonly isLocal: (port: Port) => boolean;
  readonly options: CompileOptions;
  readonly compiled: Compiled;
}

/** @throws KernelError */
export async function planOf(kernel: Kernel, difference: LoadPlan, wanted: Wanted, intent: Intent): Promise<Plan> {
  const { topology, isLocal, options, compiled } = intent;
  const judging = await readJudging(kernel, difference, wanted, options);
  const sides = sidesOf(judging, topology, compiled);
  const gone = addressesGone(sides.before, sides.after).flatMap((text) => parsePrefix(text) ?? []);
  // The rules are compared all the same where flows cannot be listed.
  const cut = await countFlowsToCut(topology, isLocal, options, gone).catch(() => undefined);
  const lines = planLines(difference, judging, sides, intent);
  return { lines, cut, unsaid: unsaidOf(judging, lines) };
}

async function readJudging(
  kernel: Kernel,
  { loaded }: LoadPlan,
  { iptables }: Wanted,
  { datapath }: CompileOptions,
): Promise<Judging> {
  if (iptables !== undefined) return { backend: 'iptables', loaded, wanted: iptables };
  const family = isBridged(datapath) ? 'bridge' : 'inet';
  return { backend: 'nftables', loaded: await kernel.readRules(family) };
}
