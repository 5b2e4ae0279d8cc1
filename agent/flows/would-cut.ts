/** How many live flows a topology would cut, by the judgement that the sweeper cuts by. Nothing is marked. */
import { flowBits, HostCompiler, type CompileOptions } from '../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, type Port, type Prefix, type Topology } from '../../compiler/model/index.js';
import { Conntrack } from '../netlink/conntrack.js';
import { flowsToCut } from './sweeper.js';

/**
 * @param gone addresses of ports that go.
 * @returns flows that are not cut yet. Rejects with NetlinkError.
 */
export async function countFlowsToCut(
  topology: Topology,
  isLocal: (port: Port) => boolean,
  options: CompileOptions,
  gone: readonly Prefix[],
): Promise<number> {
  const makeCompiler = (): HostCompiler => {
    const compiler = new HostCompiler(isLocal, options);
    compiler.update(diffTopologies(EMPTY_TOPOLOGY, topology));
    return compiler;
  };
  const how = { bits: flowBits(options), widestPairLength: options.widestPairLength };
  const ports = [...topology.ports.values()].filter(isLocal);
  const conntrack = new Conntrack();
  try {
    return (await flowsToCut(conntrack, how, ports, gone, makeCompiler)).length;
  } finally {
    conntrack.close();
  }
}
