/** What the rules and ports of a topology are called. Loaded when one is given: it brings the compiler along. */
import { DEFAULT_OPTIONS, HostCompiler, legendOf } from '../../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY } from '../../../compiler/model/index.js';
import { portsOfHost, readTopology } from '../topology-options.js';
import type { Known } from './report.js';

export async function legendOfTopology(paths: readonly string[], host: string): Promise<Known['legend']> {
  const topology = await readTopology(paths, true);
  // What groups come to does not hang on how ports reach the host.
  const compiler = new HostCompiler(portsOfHost(topology, host), DEFAULT_OPTIONS);
  compiler.update(diffTopologies(EMPTY_TOPOLOGY, topology));
  return legendOf(compiler, compiler.localPorts());
}
