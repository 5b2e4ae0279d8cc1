/** How two bits of the packet mark say what is known of a packet's connection. */
import type { PacketState } from '../ruleset/types.js';

/** No bit set is what a packet carries that table inet did not see. */
const VALUES: Readonly<Record<PacketState, number>> = { unknown: 0, established: 1, refused: 2, new: 3 };

/** Both bits. */
export function packetStateMask(bit: number): number {
  return bit * 3;
}

/** The bits of a state. */
export function packetStateValue({ bit, state }: { readonly bit: number; readonly state: PacketState }): number {
  return bit * VALUES[state];
}
