/** Flows that are there before the rules. */
import {
  flowBits,
  HostCompiler,
  holdsAdmission,
  iptablesHoldsAdmission,
  type CompileOptions,
} from '../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, type Port, type Topology } from '../../compiler/model/index.js';
import type { Kernel } from '../kernel/driver.js';
import { Conntrack } from '../netlink/conntrack.js';
import { seedFlows } from './sweeper.js';

/**
 * Before the first load on a host: gives live flows the bits that the rules would have given them. Does nothing where rules
 * are loaded that give them.
 * @returns how many flows got some.
 */
export async function takeOverFlows(
  kernel: Kernel,
  topology: Topology,
  isLocal: (port: Port) => boolean,
  options: CompileOptions,
): Promise<number> {
  const loaded = [...(await kernel.iptables.left()).values()];
  if (holdsAdmission(await kernel.readTables()) || loaded.some(iptablesHoldsAdmission)) return 0;
  const compiler = new HostCompiler(isLocal, options);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, topology));
  const conntrack = new Conntrack();
  try {
    const { widestPairLength } = options;
    return await seedFlows({ conntrack, compiler, bits: flowBits(options), widestPairLength });
  } finally {
    conntrack.close();
  }
}
