/** Makes the plan of a difference: reads what is loaded, and asks which live flows it would cut. */
import { countFlowsToCut, listLoaded, type LoadPlan, type Wanted } from '../../../agent/index.js';
import { isBridged, TABLE_NAME, type Compiled, type CompileOptions } from '../../../compiler/index.js';
import { readListing, readRules } from '../../../compiler/listing.js';
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
export async function planOf(difference: LoadPlan, wanted: Wanted, intent: Intent): Promise<Plan> {
  const { topology, isLocal, options, compiled } = intent;
  const judging = await readJudging(difference, wanted, options);
  const sides = sidesOf(judging, topology, compiled);
  const gone = addressesGone(sides.before, sides.after).flatMap((text) => parsePrefix(text) ?? []);
  // The rules are compared all the same where flows cannot be listed.
  const cut = await countFlowsToCut(topology, isLocal, options, gone).catch(() => undefined);
  const lines = planLines(difference, judging, sides, intent);
  return { lines, cut, unsaid: unsaidOf(judging, lines) };
}

async function readJudging({ loaded }: LoadPlan, { iptables }: Wanted, { datapath }: CompileOptions): Promise<Judging> {
  if (iptables !== undefined) return { backend: 'iptables', loaded, wanted: iptables };
  const family = isBridged(datapath) ? 'bridge' : 'inet';
  const listing = await listLoaded(family);
  if (listing === undefined) return { backend: 'nftables', loaded: undefined };
  return {
    backend: 'nftables',
    loaded: { table: readListing(family, TABLE_NAME, listing), rules: readRules(listing) },
  };
}
