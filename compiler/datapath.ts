/**
 * How ports reach the host: routed taps (table inet, and arp beside it), or taps on a Linux bridge (table bridge, and inet
 * beside it). On a bridge connections are tracked by the bridge family itself, or by br_netfilter.
 */
export const DATAPATHS = ['routed', 'bridge', 'bridge-netfilter'] as const;
export type Datapath = (typeof DATAPATHS)[number];

/** True when ports are plugged into Linux bridges. */
export function isBridged(datapath: Datapath): boolean {
  return datapath !== 'routed';
}
