/** Service traffic (ruleset/service-traffic.ts) as rules of iptables. Noise ends where all ends that no rule lets pass. */
import type { Direction, Family } from '../model/index.js';
import { DHCP, serviceTraffic, type ServiceMatch, type ServiceVerdict } from '../ruleset/service-traffic.js';
import { PASS } from './names.js';

/** What asks for a packet of a match, apart from its protocol: a rule for each. */
export function serviceTests(match: ServiceMatch): readonly string[] {
  switch (match.kind) {
    case 'udp':
      return [`-m udp --sport ${match.from.toString()} --dport ${match.to.toString()}`];
    case 'icmpv6':
      return match.types.map((type) => `-m icmp6 --icmpv6-type ${type.toString()}`);
    case 'protocol':
    case 'from-host':
      return [];
  }
}

/**
 * Where a rule leads what it judges.
 * @param targets where the target of neighbour discovery is judged.
 */
export function serviceTarget(verdict: ServiceVerdict, targets: string): string {
  switch (verdict) {
    case 'pass':
      return PASS;
    case 'own-target':
      return `-g ${targets}`;
    case 'never':
    case 'noise':
      return '-j DROP';
  }
}

/** From a client to a DHCP server of the family. */
export function toDhcpServer(family: Family): string {
  const { client, server } = DHCP[family];
  return `-p udp ${serviceTests({ kind: 'udp', from: client, to: server }).join(' ')}`;
}

/** What passes without a rule and what never does, of one family, behind the checks of sources and targets. */
export function serviceRules(direction: Direction, family: Family): readonly string[] {
  return serviceTraffic({ direction, family }).flatMap(({ source, match, verdict }) => {
    // Who has no address was judged before, and so was what depends on the target (port.ts).
    if (source === 'none' || verdict === 'own-target' || verdict === 'noise') return [];
    const protocol = match.kind === 'udp' ? 'udp' : 'ipv6-icmp';
    return serviceTests(match).map((test) => `-p ${protocol} ${test} ${verdict === 'pass' ? PASS : '-j DROP'}`);
  });
}
