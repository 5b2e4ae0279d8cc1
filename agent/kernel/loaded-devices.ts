/** Devices that what is loaded knows as ports': what an agent that starts knows of the time before it. */
import { EMPTY_PROGRAM, type IptablesProgram, type TableState } from '../../compiler/index.js';
import type { BackendName } from '../backends/backend.js';
import { readLoadedIptables } from './iptables.js';
import { readLoadedTables } from './nft.js';

/** The map of the dispatch by the device that a packet comes from. */
const FROM_PORT = 'from_port';

/** @throws KernelError */
export async function readLoadedDevices(backend: BackendName): Promise<ReadonlySet<string>> {
  const tables = await readLoadedTables();
  const program = backend === 'iptables' ? await readLoadedIptables() : EMPTY_PROGRAM;
  return new Set([...devicesOfTables(tables), ...devicesOfIptables(program)]);
}

/** Of tables of nftables. */
export function devicesOfTables(tables: readonly TableState[]): readonly string[] {
  return tables.flatMap(({ sets }) =>
    [...(sets.get(FROM_PORT)?.elements.keys() ?? [])].map((key) => key.replaceAll('"', '')),
  );
}

function devicesOfIptables({ families }: IptablesProgram): readonly string[] {
  const rules = Object.values(families).flatMap(({ mangle }) => mangle.flatMap((chain) => chain.rules));
  // A name with a plus at its end stands for all that begin so.
  return rules.flatMap((rule) => /(?:^| )(?:-i|--physdev-in) ([^ +]+)(?: |$)/.exec(rule)?.[1] ?? []);
}
