/** Service traffic (ruleset/service-traffic.ts) as rules of iptables. Noise ends where all ends that no rule lets pass. */
import { ICMPV6, type Direction, type Family } from '../model/index.js';
import { DHCP, serviceTraffic, type ServiceMatch, type ServiceVerdict } from '../ruleset/service-traffic.js';
import { DROP, PASS, type IptablesRule, type Match, type Target } from './rule.js';

/** IANA protocol number. */
export const UDP = 17;

/** What asks for a packet of a match, apart from its protocol: a rule for each. */
export function serviceTests(match: ServiceMatch): readonly Match[] {
  switch (match.kind) {
    case 'udp':
      return [match];
    case 'icmpv6':
      return match.types.map((type) => ({ kind: 'icmpv6', type }));
    case 'protocol':
    case 'from-host':
      return [];
  }
}

/**
 * Where a rule leads what it judges.
 * @param targets where the target of neighbour discovery is judged.
 */
export function serviceTarget(verdict: ServiceVerdict, targets: Target): Target {
  switch (verdict) {
    case 'pass':
      return PASS;
    case 'own-target':
      return targets;
    case 'never':
    case 'noise':
      return DROP;
  }
}

/** From a client to a DHCP server of the family. */
export function toDhcpServer(family: Family): IptablesRule {
  const { client, server } = DHCP[family];
  return { protocol: UDP, matches: [{ kind: 'udp', from: client, to: server }] };
}

/** What passes without a rule and what never does, of one family, behind the checks of sources and targets. */
export function serviceRules(direction: Direction, family: Family): readonly IptablesRule[] {
  return serviceTraffic({ direction, family }).flatMap(({ source, match, verdict }) => {
    // Who has no address was judged before, and so was what depends on the target (port.ts).
    if (source === 'none' || verdict === 'own-target' || verdict === 'noise') return [];
    const protocol = match.kind === 'udp' ? UDP : ICMPV6;
    const target = verdict === 'pass' ? PASS : DROP;
    return serviceTests(match).map((test) => ({ protocol, matches: [test], target }));
  });
}
