/** Counters by the names that the topology gives: which rule, which port, since when. Pure. */
import type { AuditedFlow, Counted, Counters, PortDrops, RuleCounter } from '../../../agent/index.js';
import {
  iptablesChainName,
  placeOfProfiles,
  readChainName,
  type Legend,
  type LegendPort,
  type LegendRule,
} from '../../../compiler/index.js';

/** Families of rules in iptables: nobody knows since when these count. */
export const OF_IPTABLES: ReadonlySet<string> = new Set(['ip', 'ip6']);

/** What is known of the host beside its counters. */
export interface Known {
  readonly legend: Legend;
  readonly by: 'agent' | 'topology';
}

export interface NamedPort {
  readonly id: string;
  readonly name: string;
}

export interface ReportedRule extends RuleCounter {
  /** The group whose rule it is; undefined for rules that are no group's, and where nobody knows. */
  readonly group?: LegendRule['group'] | undefined;
  /** The security group rules that it stands for. */
  readonly rules?: LegendRule['rules'] | undefined;
  /** Since when it counts, ISO 8601; undefined where that was before what {@link StatsReport.since} says. */
  readonly since?: string | undefined;
}

export type ReportedDrops = PortDrops & { readonly port?: NamedPort | undefined };

export interface ReportedFlow extends AuditedFlow {
  /** Whose addresses these are, where they are one port's of this host. */
  readonly from?: NamedPort | undefined;
  readonly to?: NamedPort | undefined;
  /** Why it would be dropped. */
  readonly because: string;
}

/** The JSON of `portcullis stats --json`. */
export interface StatsReport {
  /** `nothing`: nothing of ours is loaded that counts. */
  readonly mode: 'enforcing' | 'audit' | 'nothing';
  /** Counts began then, or with the rule's own `since`, or, where `isEarlier`, some time before; undefined where nobody knows. */
  readonly since: { readonly at: string; readonly isEarlier: boolean } | undefined;
  readonly namedBy: Known['by'] | undefined;
  readonly rules: readonly ReportedRule[];
  readonly drops: readonly ReportedDrops[];
  readonly audited: { readonly drops: readonly ReportedDrops[]; readonly flows: readonly ReportedFlow[] };
}

export function reportOf(
  counters: Counters,
  known: Known | undefined,
  since: Counted['since'] | undefined,
): StatsReport {
  const ports = known?.legend.ports ?? [];
  const byDevice = new Map(ports.map((port) => [port.device, named(port)]));
  const byRule = new Map(known?.legend.rules.map((rule) => [`${rule.chain} ${rule.digest}`, rule]));
  const byChain = new Map(known?.legend.rules.map(({ chain, group }) => [iptablesChainName(chain), group]));
  const byAddress = ownersOf(ports);
  const withPort = (drops: PortDrops): ReportedDrops => ({ ...drops, port: byDevice.get(drops.device) });
  const isAudit = counters.rules.some(({ verdict }) => verdict === 'would-drop');
  return {
    mode: counters.rules.length === 0 ? 'nothing' : isAudit ? 'audit' : 'enforcing',
    since: since === undefined ? undefined : sinceOf(counters, since),
    namedBy: known?.by,
    rules: counters.rules.map((rule) => {
      const legend = byRule.get(`${rule.chain} ${rule.digest}`);
      const own = since?.chains[`${rule.family} ${rule.chain}`];
      return {
        ...rule,
        group: legend?.group ?? byChain.get(rule.chain),
        rules: legend?.rules,
        ...(own === undefined ? {} : { since: own }),
      };
    }),
    drops: counters.drops.map(withPort),
    audited: {
      drops: counters.audited.drops.map(withPort),
      flows: counters.audited.flows.map((flow) => ({
        ...flow,
        from: byAddress.get(flow.source),
        to: byAddress.get(flow.destination),
        because: reasonOf(flow.chain, counters.rules),
      })),
    },
  };
}

/** The oldest of what is loaded in nftables. */
function sinceOf({ rules }: Counters, { begun, tables }: Counted['since']): StatsReport['since'] {
  const families = [...new Set(rules.map(({ family }) => family))].filter((family) => !OF_IPTABLES.has(family));
  const dates = families.map((family) => tables[family]);
  const known = dates.filter((date) => date !== undefined).sort();
  const [oldest] = known;
  return known.length === dates.length && oldest !== undefined
    ? { at: oldest, isEarlier: false }
    : { at: begun, isEarlier: true };
}

function named({ id, name }: LegendPort): NamedPort {
  return { id, name };
}

/** Networks may share addresses: one that several ports have is nobody's here. */
function ownersOf(ports: readonly LegendPort[]): ReadonlyMap<string, NamedPort> {
  const owners = new Map<string, NamedPort | undefined>();
  for (const port of ports) {
    for (const address of port.addresses) owners.set(address, owners.has(address) ? undefined : named(port));
  }
  return new Map([...owners].flatMap(([address, port]) => (port === undefined ? [] : [[address, port] as const])));
}

/** What the rules of the place say that would have dropped it. */
function reasonOf(place: string, rules: readonly RuleCounter[]): string {
  const isThere = ({ chain }: RuleCounter): boolean => {
    const name = readChainName(chain);
    return chain === place || (name?.kind === 'profile' && placeOfProfiles(name.direction) === place);
  };
  const labels = rules
    .filter((rule) => rule.verdict === 'would-drop' && !rule.isNoise && isThere(rule))
    .map(({ label }) => label);
  return [...new Set(labels)].join(', or ');
}
