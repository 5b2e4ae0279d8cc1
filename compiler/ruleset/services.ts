/** Service traffic (service-traffic.ts) as rules of nftables, by the places where they stand. */
import type { Datapath } from '../datapath.js';
import { ICMPV6 } from '../model/index.js';
import { SERVICES } from './admission.js';
import { ACCEPT, chain, counted, dispatch, DROP, dropped, goTo, inSet, is, jump, rule } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { MAC_FIELDS, ND_TARGET_FIELDS, SETS } from './fixed-names.js';
import { serviceTraffic, type ServiceMatch, type ServiceTraffic, type ServiceVerdict } from './service-traffic.js';
import { BROADCAST4, LINK_MULTICAST6, UNSPECIFIED4, UNSPECIFIED6 } from './special-addresses.js';
import type { Chain, Match, Rule, Verdict } from './types.js';

/** The label of a rule that drops what is nobody's loss begins so. */
export const NOISE = 'noise: ';

/** Of a packet that the host makes (nft_meta_get_eval). */
const NO_DEVICE = 0;

/** What the packet must be; where the family is known already, without it. */
function matchesOf(match: ServiceMatch): readonly Match[] {
  switch (match.kind) {
    case 'udp':
      return [is('udp sport', match.from), is('udp dport', match.to)];
    case 'icmpv6':
      return [is('icmpv6 type', ...match.types)];
    case 'protocol':
      return [is('meta l4proto', match.protocol)];
    case 'from-host':
      return [is('iif', NO_DEVICE)];
  }
}

function allMatchesOf({ match, family }: ServiceTraffic): readonly Match[] {
  return [...matchesOf(match), ...(family === 'both' ? [] : [is('meta protocol', ETHERTYPE[family])])];
}

/** Where a chain leads what it judges. */
function leadsTo(verdict: ServiceVerdict): Verdict {
  switch (verdict) {
    case 'pass':
      return ACCEPT;
    case 'own-target':
      return goTo('nd_target');
    case 'never':
      return goTo('server');
    case 'noise':
      return DROP;
  }
}

/** At the end of `source4`: from a port that has no IPv4 address yet. */
export function unspecified4(): readonly Rule[] {
  return serviceTraffic({ source: 'none', family: 'IPv4' }).map(({ match, verdict, what }) =>
    rule(
      [is('ip saddr', UNSPECIFIED4), is('ip daddr', BROADCAST4), ...matchesOf(match), inSet(MAC_FIELDS, SETS.macs)],
      leadsTo(verdict),
      what,
    ),
  );
}

/** At the end of `source6`: from a port that has no IPv6 address yet. */
export function unspecified6(): readonly Rule[] {
  const matches = [is('ip6 saddr', UNSPECIFIED6), is('ip6 daddr', LINK_MULTICAST6), inSet(MAC_FIELDS, SETS.macs)];
  return [rule(matches, jump('unspecified6'), 'no address yet')];
}

/** In the prologue of egress: what no port may send, and ICMPv6 that the kernel does not track. */
export function refusals(): readonly Rule[] {
  const udp = serviceTraffic({ direction: 'egress', verdict: 'never' }).filter(({ match }) => match.kind === 'udp');
  return [
    ...udp.map((row) => rule(allMatchesOf(row), leadsTo(row.verdict), row.what)),
    rule(
      [is('meta l4proto', ICMPV6), is('meta protocol', ETHERTYPE.IPv6)],
      jump('egress_icmpv6'),
      'neighbour discovery and MLD',
    ),
  ];
}

/** The chains that these lead to. */
export function egressServices(): readonly Chain[] {
  const types = serviceTraffic({ direction: 'egress', source: 'own' }).flatMap(({ match, verdict }) =>
    match.kind === 'icmpv6' ? match.types.map((type) => ({ type, verdict })) : [],
  );
  return [
    chain(
      'unspecified6',
      'from a port that has no IPv6 address yet',
      serviceTraffic({ source: 'none', family: 'IPv6' }).map(({ match, verdict, what }) =>
        rule(matchesOf(match), verdict === 'own-target' ? jump('nd_target') : leadsTo(verdict), what),
      ),
    ),
    chain('nd_target', 'the target of neighbour discovery must be own', [
      rule([inSet(ND_TARGET_FIELDS, SETS.ndTargets)], ACCEPT, 'own address'),
      rule([inSet(ND_TARGET_FIELDS, SETS.ndTargetPrefixes)], ACCEPT, 'own prefix'),
      ...dropped('egress', [], 'spoofed neighbour discovery target'),
    ]),
    chain('server', 'what only servers and routers send', dropped('egress', [], 'acts as DHCP server or router')),
    chain('egress_icmpv6', 'neighbour discovery and MLD, never router', [
      dispatch(
        ['icmpv6 type'],
        types.sort((a, b) => a.type - b.type).map(({ type, verdict }) => ({ key: [type], data: leadsTo(verdict) })),
        'neighbour discovery and MLD',
      ),
    ]),
  ];
}

/** Behind the groups, where a packet of a flow pays nothing for it: what passes without a rule, and noise. */
export function services(datapath: Datapath): readonly Chain[] {
  const pass = (row: ServiceTraffic): Rule => rule(allMatchesOf(row), ACCEPT, row.what);
  const noise = serviceTraffic({ direction: 'ingress', verdict: 'noise' }).filter(
    ({ match }) => match.kind !== 'from-host' || datapath === 'routed',
  );
  return [
    chain(
      SERVICES.egress,
      'what ports send without a rule',
      serviceTraffic({ direction: 'egress', source: 'own', verdict: 'pass' })
        .filter(({ match }) => match.kind === 'udp')
        .map(pass),
    ),
    chain(SERVICES.ingress, 'what ports get without a rule', [
      ...serviceTraffic({ direction: 'ingress', verdict: 'pass' }).map(pass),
      ...noise.map((row) => counted(allMatchesOf(row), leadsTo(row.verdict), `${NOISE}${row.what}`)),
    ]),
  ];
}
