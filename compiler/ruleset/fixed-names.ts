/** Names of the fixed part, and the fields that its sets are asked by. */
import type { Field } from './types.js';

/** Sets and maps of the fixed part. What each holds is said where it is filled, in own-sets.ts and compile.ts. */
export const SETS = {
  fromPort: 'from_port',
  toPort: 'to_port',
  zones: 'zones',
  zonesOfDevices: 'zones_of_devices',
  zonesOfVlans: 'zones_of_vlans',
  sources4: 'sources4',
  sourcePrefixes4: 'source_prefixes4',
  sources6: 'sources6',
  sourcePrefixes6: 'source_prefixes6',
  macs: 'macs',
  macs4: 'macs4',
  ndTargets: 'nd_targets',
  ndTargetPrefixes: 'nd_target_prefixes',
  statefulSources4: 'stateful_sources4',
  statefulSources6: 'stateful_sources6',
  statefulPorts: 'stateful_ports',
  addresses4: 'addresses4',
  addresses6: 'addresses6',
  zonesOfSources4: 'zones_of_sources4',
  zonesOfSources6: 'zones_of_sources6',
} as const;

/** Chains of the fixed part that profile chains lead to. */
export const CHAINS = {
  egressStateful: 'egress_stateful',
  egressStateless: 'egress_stateless',
  ingressStateful: 'ingress_stateful',
  ingressStateless: 'ingress_stateless',
  linkLocalOnly: 'link_local_only',
  arpGuard: 'arp_guard',
  unfilteredOut: 'unfiltered_out',
} as const;

export const SOURCE4_FIELDS: readonly Field[] = ['iifname', 'ether saddr', 'ip saddr'];
export const SOURCE6_FIELDS: readonly Field[] = ['iifname', 'ether saddr', 'ip6 saddr'];
export const MAC_FIELDS: readonly Field[] = ['iifname', 'ether saddr'];
export const ND_TARGET_FIELDS: readonly Field[] = ['iifname', 'nd target'];
