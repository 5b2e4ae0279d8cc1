/** Base chains: the hooks where packets come in, the fast path, and the one look-up that leads to the port. */
import type { Direction } from '../model/index.js';
import type { CompileOptions } from '../options.js';
import { fastPath, type OwnLookup } from './admission.js';
import { ACCEPT, act, chain, dropped, inSet, rule } from './build.js';
import { CHAINS, SETS, SOURCE4_FIELDS, SOURCE6_FIELDS } from './fixed-names.js';
import { portMapField, portMapName } from './port-maps.js';
import type { Chain, Hook, Rule } from './types.js';
import { isBridged, type Datapath } from '../datapath.js';

/**
 * Base chains. They stand in prerouting and postrouting, in the filter priority; in the bridge family that priority (-200)
 * is also connection tracking's own, hence a place just behind it, and br_netfilter's is 0 (linux/netfilter_bridge.h).
 */
export function baseChains(datapath: Datapath, options: CompileOptions): readonly Chain[] {
  const { egress, ingress } = BASE_PRIORITY[datapath];
  return [
    portDispatch('egress', 'packets from ports', { hook: 'prerouting', priority: egress }, options),
    portDispatch('ingress', 'packets to ports', { hook: 'postrouting', priority: ingress }, options),
  ];
}

/** The base chains of the table that judges IP packets: with the fast path, and with what other devices may not send. */
export function policyBaseChains(datapath: Datapath, options: CompileOptions): readonly Chain[] {
  const [egress, ingress] = (['egress', 'ingress'] as const).map((direction) =>
    fastPath(direction, ownLookup(datapath), options),
  );
  const others = datapath === 'routed' ? addressesOfPorts() : [];
  return baseChains(datapath, options).map((base) =>
    base.name === 'egress'
      ? { ...base, rules: [...(egress ?? []), ...base.rules, ...others] }
      : { ...base, rules: [...(ingress ?? []), ...base.rules] },
  );
}

/** Egress when routed stands before destination translation (-100): it judges what the guest wrote. */
const BASE_PRIORITY: Readonly<Record<Datapath, Readonly<Record<Direction, number>>>> = {
  routed: { egress: -150, ingress: 0 },
  bridge: { egress: -200 + 10, ingress: -200 + 10 },
  'bridge-netfilter': { egress: 0 + 10, ingress: 0 + 10 },
};

/** Sets that the fast path asks: own sources of stateful ports, and families in which their devices have an address. */
function ownLookup(datapath: Datapath): OwnLookup {
  return {
    egress: {
      IPv4: { fields: SOURCE4_FIELDS, set: SETS.statefulSources4 },
      IPv6: { fields: SOURCE6_FIELDS, set: SETS.statefulSources6 },
    },
    // A bridge floods: what is for several stations, or for one that it does not know, is judged for each of them.
    ingress: {
      fields: isBridged(datapath) ? ['oifname', 'ether daddr', 'ether type'] : ['oifname', 'meta protocol'],
      set: SETS.statefulPorts,
    },
  };
}

/** Where the host routes, an address of a port comes from that port alone: it was let through before this. */
function addressesOfPorts(): readonly Rule[] {
  return [
    ...dropped('egress', [inSet(['ip saddr'], SETS.addresses4)], 'address of a port from another device'),
    ...dropped('egress', [inSet(['ip6 saddr'], SETS.addresses6)], 'address of a port from another device'),
  ];
}

/** The chain that ports without port security lead to, where the host routes. */
export function unfiltered(): Chain {
  return chain(CHAINS.unfilteredOut, 'from ports without port security', [
    ...addressesOfPorts(),
    rule([], ACCEPT, 'not filtered'),
  ]);
}

/** The base chain of the arp table: ARP that the host receives. */
export function arpBaseChain(options: CompileOptions): Chain {
  return portDispatch('egress', 'ARP from ports', { hook: 'input', priority: 0 }, options);
}

function portDispatch(direction: Direction, comment: string, hook: Hook, options: CompileOptions): Chain {
  const field = portMapField(direction);
  return chain(
    direction,
    comment,
    [
      act({ kind: 'verdict-map', fields: [field], map: portMapName(direction) }, 'one lookup, however many ports'),
      ...options.devicePrefixes.flatMap((prefix) =>
        dropped(direction, [{ kind: 'device-prefix', field, prefix }], 'device of no known port'),
      ),
    ],
    hook,
  );
}
