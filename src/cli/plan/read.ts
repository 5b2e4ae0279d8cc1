/** Makes the plan of a difference: reads what is loaded, and asks which live flows it would cut. */
import { countFlowsToCut, listLoaded, type Difference } from '../../../agent/index.js';
import { isBridged, stateOf, TABLE_NAME, type Compiled, type CompileOptions } from '../../../compiler/index.js';
import { readListing, readRules } from '../../../compiler/listing.js';
import { parsePrefix, type Port, type Topology } from '../../model/index.js';
import type { Plan, PlanLine } from './line.js';
import { planLines } from './plan.js';
import { addressesGone } from './ports.js';

/** What is to be loaded, and what it was made of. */
export interface Intent {
  readonly topology: Topology;
  readonly isLocal: (port: Port) => boolean;
  readonly options: CompileOptions;
  readonly compiled: Compiled;
}

/** @param difference of the backend nftables. @throws KernelError */
export async function planOf(difference: Difference, intent: Intent): Promise<Plan> {
  const { topology, isLocal, options, compiled } = intent;
  const family = isBridged(options.datapath) ? 'bridge' : 'inet';
  const listing = await listLoaded(family);
  const loaded =
    listing === undefined ? undefined : { table: readListing(family, TABLE_NAME, listing), rules: readRules(listing) };
  const wanted = compiled.ruleset.tables.find((table) => table.family === family);
  const gone =
    loaded === undefined || wanted === undefined
      ? []
      : addressesGone(loaded.table, stateOf(wanted)).flatMap((text) => parsePrefix(text) ?? []);
  // The rules are compared all the same where flows cannot be listed.
  const cut = await countFlowsToCut(topology, isLocal, options, gone).catch(() => undefined);
  const former: readonly PlanLine[] =
    difference.iptables.length === 0
      ? []
      : [{ sign: '-', kind: 'rest', subject: '', text: 'rules of ours in iptables' }];
  return { lines: [...planLines(difference.transaction, topology, compiled, loaded), ...former], cut };
}
