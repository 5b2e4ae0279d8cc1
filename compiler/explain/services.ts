/** Sets of what packets carry, cut where a verdict can change. */
import { UDP, type PortProtocol, type SecurityGroupRule, type Transport } from '../model/index.js';
import { classesOf, union, type Ranges } from './partition.js';

export type ServiceSet =
  | { readonly kind: 'ports'; readonly protocol: PortProtocol; readonly destinations: Ranges; readonly sources: Ranges }
  | { readonly kind: 'icmp'; readonly protocol: 1 | 58; readonly types: Ranges; readonly codes: Ranges }
  /** Protocols without ports, ICMP aside. */
  | { readonly kind: 'other'; readonly protocols: Ranges };

/** Packets of one fate, and what one of them carries. */
export interface ServiceClass {
  readonly set: ServiceSet;
  readonly example: Transport;
}

/** DHCP and DHCPv6 (RFC 2131, RFC 8415): judged apart from rules. */
const SERVICE_PORTS = [67, 68, 546, 547];
/** Neighbour discovery and MLD (RFC 4861, RFC 2710, RFC 3810): judged apart from rules. */
const SERVICE_TYPES = [130, 131, 132, 133, 134, 135, 136, 137, 143];

/** @param rules of which a verdict may depend. */
export function serviceClasses(asked: ServiceSet, rules: readonly SecurityGroupRule[]): readonly ServiceClass[] {
  switch (asked.kind) {
    case 'ports': {
      const { kind, protocol } = asked;
      const services = protocol === UDP ? SERVICE_PORTS.map(one) : [];
      const ranges = rules.flatMap(({ service }) =>
        service.kind === 'ports' && service.protocol === protocol ? [between(service.first, service.last)] : [],
      );
      const sources = classesOf(asked.sources, services);
      return classesOf(asked.destinations, [...services, ...distinct(ranges)]).flatMap((destinations) =>
        sources.map((source) => ({
          set: { kind, protocol, destinations, sources: source },
          example: { kind, protocol, sourcePort: firstOf(source), destinationPort: firstOf(destinations) },
        })),
      );
    }
    case 'icmp': {
      const { kind, protocol } = asked;
      const named = rules.flatMap(({ service }) =>
        service.kind === 'icmp' && service.protocol === protocol ? [service] : [],
      );
      const codes = classesOf(
        asked.codes,
        distinct(named.flatMap(({ code }) => (code === undefined ? [] : [one(code)]))),
      );
      const types = [...SERVICE_TYPES.map(one), ...named.map(({ type }) => one(type))];
      return classesOf(asked.types, distinct(types)).flatMap((type) =>
        codes.map((code) => ({
          set: { kind, protocol, types: type, codes: code },
          example: { kind, protocol, type: firstOf(type), code: firstOf(code) },
        })),
      );
    }
    case 'other': {
      const { kind } = asked;
      const named = rules.flatMap(({ service }) => (service.kind === 'any' ? [] : [one(service.protocol)]));
      return classesOf(asked.protocols, distinct(named)).map((protocols) => ({
        set: { kind, protocols },
        example: { kind, protocol: firstOf(protocols) },
      }));
    }
  }
}

/** Joins sets that differ in one respect only. */
export function joined(sets: readonly ServiceSet[]): readonly ServiceSet[] {
  let before = sets;
  for (;;) {
    const after = before.reduce<readonly ServiceSet[]>((list, set) => {
      const at = list.findIndex((other) => joinedPair(other, set) !== undefined);
      const pair = list[at] === undefined ? undefined : joinedPair(list[at], set);
      return pair === undefined ? [...list, set] : list.with(at, pair);
    }, []);
    if (after.length === before.length) return after;
    before = after;
  }
}

function joinedPair(a: ServiceSet, b: ServiceSet): ServiceSet | undefined {
  if (a.kind === 'ports' && b.kind === 'ports' && a.protocol === b.protocol) {
    if (isSame(a.sources, b.sources)) return { ...a, destinations: union([...a.destinations, ...b.destinations]) };
    if (isSame(a.destinations, b.destinations)) return { ...a, sources: union([...a.sources, ...b.sources]) };
  }
  if (a.kind === 'icmp' && b.kind === 'icmp' && a.protocol === b.protocol) {
    if (isSame(a.types, b.types)) return { ...a, codes: union([...a.codes, ...b.codes]) };
    if (isSame(a.codes, b.codes)) return { ...a, types: union([...a.types, ...b.types]) };
  }
  if (a.kind === 'other' && b.kind === 'other') return { ...a, protocols: union([...a.protocols, ...b.protocols]) };
  return undefined;
}

function isSame(a: Ranges, b: Ranges): boolean {
  return a.length === b.length && a.every(({ first, last }, at) => first === b[at]?.first && last === b[at].last);
}

function one(value: number): Ranges {
  return between(value, value);
}

export function between(first: number, last: number): Ranges {
  return [{ first: BigInt(first), last: BigInt(last) }];
}

function firstOf(ranges: Ranges): number {
  return Number(ranges[0]?.first ?? 0n);
}

function distinct(conditions: readonly Ranges[]): readonly Ranges[] {
  return [
    ...new Map(conditions.map((ranges) => [`${String(ranges[0]?.first)}-${String(ranges[0]?.last)}`, ranges])).values(),
  ];
}
