/** The maps that lead from a port's device to what judges its packets. */
import type { Direction, Port } from '../model/index.js';
import { ACCEPT, DROP, goTo, namedSet } from './build.js';
import { CHAINS, SETS } from './fixed-names.js';
import type { MapElement, NamedSet, Verdict } from './types.js';
import type { Datapath } from '../datapath.js';

/** The map of a direction, with every port of the host. */
export function portMap(
  ports: readonly Port[],
  direction: Direction,
  filtered: (port: Port) => Verdict,
  unfiltered: Verdict = ACCEPT,
): NamedSet {
  const elements: readonly MapElement<Verdict>[] = ports.map((port) => ({
    key: [port.device],
    data: portVerdict(port, filtered, unfiltered),
  }));
  return namedSet(portMapName(direction), [portMapField(direction)], false, { data: 'verdict', elements });
}

/** The map that leads from a device to its port's profile. */
export function portMapName(direction: Direction): string {
  return direction === 'egress' ? SETS.fromPort : SETS.toPort;
}

export function portMapField(direction: Direction): 'iifname' | 'oifname' {
  return direction === 'egress' ? 'iifname' : 'oifname';
}

/** Where the host routes, who is not filtered may not send as another port all the same. */
export function unfilteredVerdict(datapath: Datapath, direction: Direction): Verdict {
  return datapath === 'routed' && direction === 'egress' ? goTo(CHAINS.unfilteredOut) : ACCEPT;
}

/** What a port's device leads to; `filtered` says it for ports that are filtered, `unfiltered` is for those without port security. */
export function portVerdict(port: Port, filtered: (port: Port) => Verdict, unfiltered: Verdict = ACCEPT): Verdict {
  switch (port.filtering) {
    case 'filtered':
      return filtered(port);
    case 'port-security-off':
      return unfiltered;
    case 'trusted':
      return ACCEPT;
    case 'down':
    case 'closed':
      return DROP;
  }
}
