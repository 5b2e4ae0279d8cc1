/** Live flows, as connection tracking lists them. */
import type { Flow, FlowTuple } from '../../agent/netlink/conntrack.js';
import { exact } from './world.js';

/** Of UDP, in zone 0. */
export function flow(
  from: string,
  to: string,
  mark: number,
  [sourcePort, destinationPort]: readonly [number, number],
): Flow {
  const tuple = (source: string, destination: string, ports: readonly [number, number]): FlowTuple => ({
    source: exact(source),
    destination: exact(destination),
    protocol: 17,
    sourcePort: ports[0],
    destinationPort: ports[1],
    icmp: undefined,
  });
  return {
    family: exact(from).family,
    zone: 0,
    mark,
    original: tuple(from, to, [sourcePort, destinationPort]),
    reply: tuple(to, from, [destinationPort, sourcePort]),
    isExpected: false,
    identity: Buffer.from(`${from} ${to} ${sourcePort.toString()} ${destinationPort.toString()}`),
  };
}
