/** A group's chain of one direction and family, from its merged rules. */
import { ICMP, ICMPV6, type Direction, type Family, type Prefix } from '../model/index.js';
import { memberKey } from '../host-policy.js';
import type { NumberRange } from '../number-range.js';
import type { IcmpRange, Permits, PortRange, PrefixPermits, Services } from '../permits.js';
import { digest } from '../names.js';
import { ADMIT_CHAIN, setName } from './names.js';
import { goTo, narrowing, type IptablesRule, type Match } from './rule.js';
import type { IpSet } from './types.js';

/** Ports of a rule of `-m multiport`; a range takes two (iptables-extensions(8)). */
const MULTIPORT_SLOTS = 15;
/** Protocols that a set of ports knows (ip_set_getport.c). */
const BITMAP_PROTOCOLS = [6, 17];

/** Who is in a member set, by `memberKey`. */
export type MemberRemotes = ReadonlyMap<string, readonly Remote[]>;

export interface GroupRules {
  readonly rules: readonly IptablesRule[];
  readonly sets: readonly IpSet[];
}

/** @param name of the group's chain, for the names of its sets. */
export function groupRules(
  permits: Permits,
  { name, direction, family }: { readonly name: string; readonly direction: Direction; readonly family: Family },
  members: MemberRemotes,
): GroupRules {
  const side = direction === 'ingress' ? 'src' : 'dst';
  const target = goTo(ADMIT_CHAIN[direction]);
  const rules: IptablesRule[] = [];
  const sets = new Map<string, IpSet>();
  const allow = (remotes: readonly Remote[], services: Services): void => {
    const matches = serviceMatches(services, family, (ports) => {
      const set = portSet(name, family, ports);
      sets.set(set.name, set);
      return set.name;
    });
    for (const { protocol, match } of matches) {
      for (const { prefix, set } of remotes) {
        const asked = [...(set === undefined ? [] : [{ kind: 'set', set, side } as const]), ...(match ?? [])];
        rules.push({
          ...(direction === 'ingress' ? { source: narrowing(prefix) } : { destination: narrowing(prefix) }),
          protocol,
          ...(asked.length === 0 ? {} : { matches: asked }),
          target,
        });
      }
    }
  };
  allow([{}], permits.anywhere[family]);
  for (const { kind, id, family: of, services } of permits.members) {
    if (of !== family) continue;
    allow(members.get(memberKey(kind, id, family)) ?? [], services);
  }
  for (const { prefixes, services } of byServices(permits.prefixes[family])) {
    const [only] = prefixes;
    if (prefixes.length === 1 && only !== undefined) {
      allow([{ prefix: only }], services);
      continue;
    }
    const set = prefixSet(name, family, prefixes);
    sets.set(set.name, set);
    allow([{ set: set.name }], services);
  }
  return { rules, sets: [...sets.values()] };
}

/** Whom a rule is for: everyone, a prefix, or what is in a set. */
export interface Remote {
  readonly prefix?: Prefix;
  readonly set?: string;
}

/** Prefixes that may do the same. */
function byServices(permits: PrefixPermits): readonly { prefixes: readonly Prefix[]; services: Services }[] {
  const found = new Map<string, { prefix: Prefix; services: Mutable }>();
  const of = (prefix: Prefix): Mutable => {
    const known = found.get(prefix.text) ?? {
      prefix,
      services: { all: false, protocols: [], ports: [], icmp: [] },
    };
    found.set(prefix.text, known);
    return known.services;
  };
  for (const prefix of permits.all) of(prefix).all = true;
  for (const { prefix, protocol } of permits.protocols) of(prefix).protocols.push(protocol);
  for (const { prefix, protocol, first, last } of permits.ports) of(prefix).ports.push({ protocol, first, last });
  for (const { prefix, protocol, type, first, last } of permits.icmp) {
    of(prefix).icmp.push({ protocol, type, first, last });
  }
  const groups = new Map<string, { prefixes: Prefix[]; services: Services }>();
  for (const { prefix, services } of found.values()) {
    const key = JSON.stringify(services);
    const group = groups.get(key) ?? { prefixes: [], services };
    group.prefixes.push(prefix);
    groups.set(key, group);
  }
  return [...groups.values()];
}

interface Mutable {
  all: boolean;
  readonly protocols: number[];
  readonly ports: PortRange[];
  readonly icmp: IcmpRange[];
}

interface ServiceMatch {
  readonly protocol?: number;
  readonly match?: readonly Match[];
}

function serviceMatches(
  services: Services,
  family: Family,
  nameSet: (ports: readonly PortRange[]) => string,
): readonly ServiceMatch[] {
  if (services.all) return [{}];
  return [
    // 0 would be every protocol to iptables: closed, and said in docs/datapaths.md.
    ...services.protocols.filter((protocol) => protocol !== 0).map((protocol) => ({ protocol })),
    ...[...new Set(services.ports.map(({ protocol }) => protocol))].flatMap((protocol) =>
      portMatches(
        protocol,
        services.ports.filter((range) => range.protocol === protocol),
        nameSet,
      ).map((match) => ({ protocol, match: [match] })),
    ),
    ...services.icmp.flatMap((range) =>
      icmpMatches(range, family).map((match) => ({ protocol: range.protocol, match: [match] })),
    ),
  ];
}

function portMatches(
  protocol: number,
  ranges: readonly PortRange[],
  nameSet: (ports: readonly PortRange[]) => string,
): readonly Match[] {
  const chunks: NumberRange[][] = [[]];
  let slots = 0;
  for (const { first, last } of ranges) {
    const needs = first === last ? 1 : 2;
    if (slots + needs > MULTIPORT_SLOTS) {
      chunks.push([]);
      slots = 0;
    }
    slots += needs;
    chunks.at(-1)?.push({ first, last });
  }
  if (chunks.length > 1 && BITMAP_PROTOCOLS.includes(protocol))
    return [{ kind: 'set', set: nameSet(ranges), side: 'dst' }];
  return chunks.map((some) => ({ kind: 'ports', ranges: some }));
}

function icmpMatches({ protocol, type, first, last }: IcmpRange, family: Family): readonly Match[] {
  // The other family's ICMP has no types here; type 255 would be every type to iptables (xt_tcpudp.c).
  if (protocol !== (family === 'IPv4' ? ICMP : ICMPV6) || (protocol === ICMP && type === 255)) return [];
  const kind = family === 'IPv4' ? 'icmp' : 'icmpv6';
  if (first === 0 && last === 255) return [{ kind, type }];
  return numbers({ first, last }).map((code) => ({ kind, type, code }));
}

function numbers({ first, last }: NumberRange): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function portSet(chain: string, family: Family, ranges: readonly PortRange[]): IpSet {
  const entries = ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
  return { name: contentName(chain, 'p', family, entries), type: 'bitmap:port', family, entries };
}

function prefixSet(chain: string, family: Family, prefixes: readonly Prefix[]): IpSet {
  const entries = prefixes.flatMap(netEntries);
  return { name: contentName(chain, 'n', family, entries), type: 'hash:net', family, entries };
}

/** A set's content is part of its name: a chain goes from one to another at once, and no set changes under a chain. */
function contentName(chain: string, kind: string, family: Family, entries: readonly string[]): string {
  return setName(`${chain.slice(0, 15)}_${kind}${digest(`${chain} ${family} ${entries.join(' ')}`, 8)}`);
}

/** Entries of hash:net, which has no /0 (ipset(8)). */
export function netEntries(prefix: Prefix): readonly string[] {
  if (prefix.length > 0) return [prefix.text];
  return prefix.family === 'IPv4' ? ['0.0.0.0/1', '128.0.0.0/1'] : ['::/1', '8000::/1'];
}
