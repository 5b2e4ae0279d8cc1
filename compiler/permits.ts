/**
 * Stage 2: what the rules of one group allow in one direction, merged.
 *
 * Rules only allow, so a group's rules are a union of (remote x service) boxes. Merging keeps the union exactly:
 * overlapping and adjacent ranges are joined, neighbouring prefixes too, and a box inside another is dropped. Nothing is
 * ever widened: property tests compare with the unmerged rules.
 */
import { type Direction, type Family, type Prefix, type SecurityGroupRule, type Service } from './model/index.js';
import { mergeRanges, rangeCovers } from './intervals.js';
import { aggregatePrefixes } from './prefixes.js';
import type { NumberRange } from './number-range.js';

export interface Permits {
  /** From (ingress) or to (egress) any address of the family. */
  readonly anywhere: Readonly<Record<Family, Services>>;
  /** From or to the members of a remote group or an address group, in order of kind, id and family. */
  readonly members: readonly MemberPermits[];
  readonly prefixes: Readonly<Record<Family, PrefixPermits>>;
}

/** A union of services. The parts do not overlap: what `all` or a protocol covers is not repeated below. */
export interface Services {
  readonly all: boolean;
  /** Whole protocols, ascending. */
  readonly protocols: readonly number[];
  /** Destination ports, sorted; ranges of one protocol are disjoint. */
  readonly ports: readonly PortRange[];
  /** Sorted by type; code ranges of one type are disjoint. */
  readonly icmp: readonly IcmpRange[];
}

export interface PortRange extends NumberRange {
  readonly protocol: number;
}

/** Codes `first`-`last` of an ICMP (1) or ICMPv6 (58) type; 0-255 is every code. */
export interface IcmpRange extends NumberRange {
  readonly protocol: 1 | 58;
  readonly type: number;
}

export interface MemberPermits {
  readonly kind: 'security-group' | 'address-group';
  readonly id: string;
  readonly family: Family;
  readonly services: Services;
}

/**
 * What single prefixes may do. Prefixes nest or are disjoint; a box inside another of the same kind is not here. Of ICMP types no two boxes
 * overlap that are of every code, nor two of single ones.
 */
export interface PrefixPermits {
  /** Sorted, disjoint. */
  readonly all: readonly Prefix[];
  readonly protocols: readonly (ProtocolBox & { readonly prefix: Prefix })[];
  readonly ports: readonly (PortRange & { readonly prefix: Prefix })[];
  readonly icmp: readonly (IcmpRange & { readonly prefix: Prefix })[];
}

export interface ProtocolBox {
  readonly protocol: number;
}

const NO_SERVICES: Services = { all: false, protocols: [], ports: [], icmp: [] };

/** Every code of an ICMP type. */
export const ALL_CODES: NumberRange = { first: 0, last: 255 };

/** Merges the rules of one direction. Rules of the other direction are passed over; unknown remotes match nothing. */
export function mergeRules(rules: readonly SecurityGroupRule[], direction: Direction): Permits {
  const mine = rules.filter((rule) => rule.direction === direction && !isOfNoPacket(rule));
  const anywhere = { IPv4: servicesAnywhere(mine, 'IPv4'), IPv6: servicesAnywhere(mine, 'IPv6') };
  return {
    anywhere,
    members: memberPermits(mine, anywhere),
    prefixes: {
      IPv4: prefixPermits(mine, 'IPv4', anywhere.IPv4),
      IPv6: prefixPermits(mine, 'IPv6', anywhere.IPv6),
    },
  };
}

/** IPv6 extension headers (RFC 8200) stand before a packet's protocol: none is of that protocol. */
const EXTENSION_HEADERS = [0, 43, 44, 51, 60];

function isOfNoPacket({ family, service }: SecurityGroupRule): boolean {
  return family === 'IPv6' && service.kind !== 'any' && EXTENSION_HEADERS.includes(service.protocol);
}

function servicesAnywhere(rules: readonly SecurityGroupRule[], family: Family): Services {
  return unite(
    rules.filter((rule) => rule.family === family && rule.remote.kind === 'any').map((rule) => rule.service),
  );
}

function memberPermits(
  rules: readonly SecurityGroupRule[],
  anywhere: Readonly<Record<Family, Services>>,
): readonly MemberPermits[] {
  const byRemote = new Map<string, Omit<MemberPermits, 'services'> & { readonly found: Service[] }>();
  for (const { remote, family, service } of rules) {
    if (remote.kind !== 'security-group' && remote.kind !== 'address-group') continue;
    const key = `${remote.kind}/${remote.id}/${family}`;
    const entry = byRemote.get(key) ?? { kind: remote.kind, id: remote.id, family, found: [] };
    entry.found.push(service);
    byRemote.set(key, entry);
  }
  return [...byRemote]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { kind, id, family, found }]) => ({
      kind,
      id,
      family,
      services: without(unite(found), anywhere[family]),
    }))
    .filter(({ services }) => !isEmpty(services));
}

export function isEmpty(services: Services): boolean {
  return !services.all && services.protocols.length + services.ports.length + services.icmp.length === 0;
}

function unite(services: readonly Service[]): Services {
  const protocols = new Set<number>();
  const ports = new Map<number, NumberRange[]>();
  const icmp = new Map<number, { protocol: 1 | 58; type: number; codes: NumberRange[] }>();
  for (const service of services) {
    switch (service.kind) {
      case 'any':
        return { ...NO_SERVICES, all: true };
      case 'protocol':
        protocols.add(service.protocol);
        break;
      case 'ports': {
        const ranges = ports.get(service.protocol);
        if (ranges === undefined) ports.set(service.protocol, [service]);
        else ranges.push(service);
        break;
      }
      case 'icmp': {
        const { protocol, type } = service;
        const entry = icmp.get(protocol * 256 + type) ?? { protocol, type, codes: [] };
        entry.codes.push(service.code === undefined ? ALL_CODES : { first: service.code, last: service.code });
        icmp.set(protocol * 256 + type, entry);
        break;
      }
    }
  }
  const ascending = <T>(map: ReadonlyMap<number, T>): [number, T][] => [...map].sort(([a], [b]) => a - b);
  return {
    all: false,
    protocols: [...protocols].sort((a, b) => a - b),
    ports: ascending(ports)
      .filter(([protocol]) => !protocols.has(protocol))
      .flatMap(([protocol, ranges]) => mergeRanges(ranges).map(({ first, last }) => ({ protocol, first, last }))),
    icmp: ascending(icmp)
      .filter(([, { protocol }]) => !protocols.has(protocol))
      .flatMap(([, { protocol, type, codes }]) =>
        mergeRanges(codes).map(({ first, last }) => ({ protocol, type, first, last })),
      ),
  };
}

/** `services` less the parts that `wider` covers whole. */
function without(services: Services, wider: Services): Services {
  if (wider.all) return NO_SERVICES;
  return {
    all: services.all,
    protocols: services.protocols.filter((protocol) => !wider.protocols.includes(protocol)),
    ports: services.ports.filter((range) => !coversPorts(wider, range)),
    icmp: services.icmp.filter((range) => !coversIcmp(wider, range)),
  };
}

function coversPorts(services: Services, range: PortRange): boolean {
  return (
    services.all ||
    services.protocols.includes(range.protocol) ||
    services.ports.some((wider) => wider.protocol === range.protocol && rangeCovers(wider, range))
  );
}

function coversIcmp(services: Services, range: IcmpRange): boolean {
  return (
    services.all ||
    services.protocols.includes(range.protocol) ||
    services.icmp.some(
      (wider) => wider.protocol === range.protocol && wider.type === range.type && rangeCovers(wider, range),
    )
  );
}

type Boxed<T> = T & { readonly prefix: Prefix };

function prefixPermits(rules: readonly SecurityGroupRule[], family: Family, anywhere: Services): PrefixPermits {
  const byPrefix = new Map<string, { prefix: Prefix; found: Service[] }>();
  for (const { remote, family: ruleFamily, service } of rules) {
    if (remote.kind !== 'prefix' || ruleFamily !== family) continue;
    const entry = byPrefix.get(remote.prefix.text) ?? { prefix: remote.prefix, found: [] };
    entry.found.push(service);
    byPrefix.set(remote.prefix.text, entry);
  }
  const all: Prefix[] = [];
  const protocols: Boxed<ProtocolBox>[] = [];
  const ports: Boxed<PortRange>[] = [];
  const icmp: Boxed<IcmpRange>[] = [];
  for (const { prefix, found } of byPrefix.values()) {
    const services = without(unite(found), anywhere);
    if (services.all) all.push(prefix);
    for (const protocol of services.protocols) protocols.push({ protocol, prefix });
    for (const range of services.ports) ports.push({ ...range, prefix });
    for (const range of services.icmp) for (const one of codesApart(range)) icmp.push({ ...one, prefix });
  }
  const open = new PrefixIndex<undefined>();
  const openPrefixes = aggregatePrefixes(all);
  for (const prefix of openPrefixes) open.add(prefix, undefined);
  const narrowProtocols = joinBoxes(protocols, ({ protocol }) => String(protocol)).filter(
    ({ prefix }) => !open.someAround(prefix, () => true),
  );
  const whole = new PrefixIndex<number>();
  for (const { prefix, protocol } of narrowProtocols) whole.add(prefix, protocol);
  const isNarrow = ({ prefix, protocol }: Boxed<ProtocolBox>): boolean =>
    !open.someAround(prefix, () => true) && !whole.someAround(prefix, (wider) => wider === protocol);
  return {
    all: openPrefixes,
    protocols: narrowProtocols,
    ports: dropCovered(joinBoxes(ports, (box) => `${String(box.protocol)}/${rangeText(box)}`).filter(isNarrow)),
    icmp: dropCovered(
      joinBoxes(icmp, (box) => `${String(box.protocol)}/${String(box.type)}/${rangeText(box)}`).filter(isNarrow),
    ),
  };
}

/**
 * A box for each code, unless it is of every one: of ranges that overlap under nested prefixes neither would cover the other, and the kernel
 * refuses a set with both.
 */
function codesApart(range: IcmpRange): readonly IcmpRange[] {
  if (rangeCovers(range, ALL_CODES)) return [range];
  return Array.from({ length: range.last - range.first + 1 }, (_, index) => {
    const code = range.first + index;
    return { ...range, first: code, last: code };
  });
}

function rangeText({ first, last }: NumberRange): string {
  return `${String(first)}-${String(last)}`;
}

/** Aggregates the prefixes of boxes that agree in everything else. Sorted by what they agree in, then by prefix. */
function joinBoxes<T extends object>(boxes: readonly Boxed<T>[], rest: (box: Boxed<T>) => string): readonly Boxed<T>[] {
  const alike = new Map<string, Boxed<T>[]>();
  for (const box of boxes) {
    const key = rest(box);
    const same = alike.get(key);
    if (same === undefined) alike.set(key, [box]);
    else same.push(box);
  }
  return [...alike]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, same]) => {
      const [template] = same;
      if (template === undefined) return [];
      return aggregatePrefixes(same.map(({ prefix }) => prefix)).map((prefix) => ({ ...template, prefix }));
    });
}

interface RangeBox extends NumberRange {
  readonly protocol: number;
  readonly type?: number;
}

/** Drops boxes whose range lies in that of a box with the same or a wider prefix. */
function dropCovered<T extends RangeBox>(boxes: readonly Boxed<T>[]): readonly Boxed<T>[] {
  const index = new PrefixIndex<Boxed<T>>();
  for (const box of boxes) index.add(box.prefix, box);
  return boxes.filter(
    (box) =>
      !index.someAround(
        box.prefix,
        (wider) =>
          wider !== box && wider.protocol === box.protocol && wider.type === box.type && rangeCovers(wider, box),
      ),
  );
}

/** Finds what was filed under a prefix or any prefix around it, in one look-up per prefix length in use. */
export class PrefixIndex<T> {
  readonly #byLength = new Map<number, Map<bigint, T[]>>();

  add(prefix: Prefix, value: T): void {
    const ofLength = this.#byLength.get(prefix.length) ?? new Map<bigint, T[]>();
    this.#byLength.set(prefix.length, ofLength);
    const values = ofLength.get(prefix.network);
    if (values === undefined) ofLength.set(prefix.network, [value]);
    else values.push(value);
  }

  /** True when the test holds for some value filed under `prefix` itself or a wider prefix around it. One family only. */
  someAround(prefix: Prefix, test: (value: T, length: number) => boolean): boolean {
    const bits = prefix.family === 'IPv4' ? 32 : 128;
    for (const [length, ofLength] of this.#byLength) {
      if (length > prefix.length) continue;
      const hostBits = BigInt(bits - length);
      const values = ofLength.get((prefix.network >> hostBits) << hostBits);
      if (values?.some((value) => test(value, length)) === true) return true;
    }
    return false;
  }
}
