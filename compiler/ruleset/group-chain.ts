/**
 * Stage 3a: one chain per group and direction.
 *
 * Each shape of permission (ports from anywhere, ports from prefixes, protocols from a remote group, ...) becomes one
 * lookup in a named set, or inline matches where there are few entries. So a packet pays for the number of shapes and
 * remote groups in a group, never for the number of its rules.
 */
import {
  FAMILIES,
  isExact,
  type Direction,
  type Family,
  type Prefix,
  type SecurityGroup,
  type Service,
} from '../model/index.js';
import { memberKey, type MemberSet } from '../host-policy.js';
import { rangesOverlap } from '../intervals.js';
import {
  ALL_CODES,
  mergeRules,
  PrefixIndex,
  type IcmpRange,
  type PortRange,
  type PrefixPermits,
  type Services,
} from '../permits.js';
import { ADMIT } from './admission.js';
import { chainOf, counted, goTo, inIntervals, inSet, intervalSet, is, plainSet } from './build.js';
import { ETHERTYPE } from './ethertype.js';
import { groupLabel } from './group-label.js';
import { originOf, type Purpose } from './group-origin.js';
import type { Chain, Component, Field, Key, Match, NamedSet, Rule } from './types.js';
import type { NumberRange } from '../number-range.js';

/** A group's chain of one direction and the sets that only this chain uses. */
export interface GroupProgram {
  readonly chain: Chain;
  readonly sets: readonly NamedSet[];
}

/** Names of the sets that hold a remote group's or address group's members. */
export interface MemberSetNames {
  readonly addresses: string;
  /** Present when the member set has prefixes. */
  readonly prefixes: string | undefined;
}

export interface GroupContext {
  /** Short name of the group, unique on the host. */
  readonly name: string;
  /** By `memberKey`. */
  readonly memberSetNames: ReadonlyMap<string, MemberSetNames>;
  /** Short names of remote groups and address groups, by id. */
  readonly shortNames: ReadonlyMap<string, string>;
}

/** Name of a group's chain. */
export function groupChainName(shortName: string, direction: Direction): string {
  return `sg_${shortName}_${direction === 'ingress' ? 'in' : 'out'}`;
}

export function groupProgram(group: SecurityGroup, direction: Direction, context: GroupContext): GroupProgram {
  const writer = new GroupWriter(groupChainName(context.name, direction), group, direction);
  const permits = mergeRules(group.rules, direction);
  writer.anywhere(permits.anywhere);
  for (const { kind, id, family, services } of permits.members) {
    const names = context.memberSetNames.get(memberKey(kind, id, family));
    if (names !== undefined) writer.members({ kind, id, family }, names, context.shortNames.get(id) ?? id, services);
  }
  for (const family of FAMILIES) writer.prefixes(family, permits.prefixes[family]);
  const comment = `${direction} of security group ${group.id}`;
  return { chain: chainOf(OF_GROUP, writer.name, comment, writer.rules), sets: writer.sets };
}

/** The role of a group's chain, and of the sets that it alone asks. */
const OF_GROUP = { kind: 'group' } as const;

/** One permitted thing as matches, or as a key for a set. */
interface Entry {
  readonly matches: readonly Match[];
  readonly key: Key;
}

/** How entries of one kind are looked up when there are several. */
interface Shape {
  readonly fields: readonly Field[];
  /** Of the set's name, behind the chain's. */
  readonly suffix: string;
  /** True when keys may be prefixes or ranges. */
  readonly interval: boolean;
}

/**
 * How many entries have a rule each before a lookup costs a packet less. A lookup among intervals (net/netfilter/nft_set_rbtree.c, and
 * nft_set_pipapo.c for several fields) takes as long as four to seven rules that do not match, one in a hash as long as three to five:
 * bench/README.md.
 */
function mostRules({ interval }: Shape): number {
  return interval ? 4 : 2;
}

type Whom = Pick<Purpose, 'remote' | 'id'>;

/** What stands in front of every rule of one remote, and whether sets are made or shared with an earlier remote. */
interface Scope {
  readonly whom: Whom;
  readonly condition: readonly Match[];
  readonly define: boolean;
}

class GroupWriter {
  readonly rules: Rule[] = [];
  readonly sets: NamedSet[] = [];

  constructor(
    readonly name: string,
    private readonly group: SecurityGroup,
    private readonly direction: Direction,
  ) {}

  /** What any address may do. Both families share their sets: the family is part of the key. */
  anywhere(services: Readonly<Record<Family, Services>>): void {
    const whom: Whom = { remote: 'any' };
    if (FAMILIES.every((family) => services[family].all)) {
      this.#accept([], whom, 'any');
      return;
    }
    for (const family of FAMILIES) if (services[family].all) this.#accept([familyIs(family)], whom, 'any');
    const perFamily = FAMILIES.map((family) => ({ family, services: services[family] }));
    this.#services({ whom, condition: [], define: true }, '', perFamily);
  }

  /** What members of a remote group or address group may do. */
  members(
    remote: { readonly kind: MemberSet['kind']; readonly id: string; readonly family: Family },
    names: MemberSetNames,
    remoteName: string,
    services: Services,
  ): void {
    const address = this.#addressField(remote.family);
    const whom: Whom = { remote: remote.kind, id: remote.id };
    const infix = `_${remote.kind === 'security-group' ? 'sg' : 'ag'}_${remoteName}_${familyDigit(remote.family)}`;
    const sets = names.prefixes === undefined ? [names.addresses] : [names.addresses, names.prefixes];
    sets.forEach((set, index) => {
      const condition = [inSet([address], set)];
      if (services.all) this.#accept(condition, whom, 'any');
      else this.#services({ whom, condition, define: index === 0 }, infix, [{ family: remote.family, services }]);
    });
  }

  /** What single prefixes may do. */
  prefixes(family: Family, permits: PrefixPermits): void {
    const address = this.#addressField(family);
    const scope: Scope = { whom: { remote: 'prefix' }, condition: [], define: true };
    const digit = familyDigit(family);
    const inPrefix = (prefix: Prefix): Match => is(address, prefix);
    const write = (
      entries: readonly Entry[],
      fields: readonly Field[],
      suffix: string,
      interval: boolean,
      service: Service['kind'],
    ): void => {
      this.#entries(scope, { fields: [address, ...fields], suffix: `${suffix}${digit}`, interval }, entries, service);
    };

    const [hosts, nets] = partition(permits.all, isExact);
    const whole = (prefix: Prefix): Entry => ({ matches: [inPrefix(prefix)], key: [prefix] });
    write(hosts.map(whole), [], '_hosts', false, 'any');
    write(nets.map(whole), [], '_nets', true, 'any');

    const protocols = permits.protocols.map(({ prefix, protocol }) => ({
      matches: [inPrefix(prefix), is('meta l4proto', protocol)],
      key: [prefix, protocol],
    }));
    write(protocols, ['meta l4proto'], '_net_protocols', true, 'protocol');

    const [exact, wide] = partition(permits.ports, (box) => isExact(box.prefix) && box.first === box.last);
    const port = (box: PortRange & { readonly prefix: Prefix }): Entry => ({
      matches: [inPrefix(box.prefix), is('meta l4proto', box.protocol), is('th dport', rangeComponent(box))],
      key: [box.prefix, box.protocol, rangeComponent(box)],
    });
    write(exact.map(port), ['meta l4proto', 'th dport'], '_host_ports', false, 'ports');
    layersOf(wide).forEach((layer, index) => {
      const suffix = index === 0 ? '_net_ports' : `_net_ports_${String(index + 1)}_`;
      write(layer.map(port), ['meta l4proto', 'th dport'], suffix, true, 'ports');
    });

    const [anyCode, someCode] = partition(permits.icmp, isAnyCode);
    const { type, code } = icmpFields(family);
    const types = anyCode.map((box) => ({
      matches: [inPrefix(box.prefix), is(type, box.type)],
      key: [box.prefix, box.type],
    }));
    write(types, [type], '_net_icmp_types', true, 'icmp');
    const codes = someCode.flatMap((box) =>
      codesOf(box).map((value) => ({
        matches: [inPrefix(box.prefix), is(type, box.type), is(code, value)],
        key: [box.prefix, box.type, value],
      })),
    );
    write(codes, [type, code], '_net_icmp_codes', true, 'icmp');
  }

  /** Services of one remote, `all` apart. */
  #services(
    scope: Scope,
    infix: string,
    perFamily: readonly { readonly family: Family; readonly services: Services }[],
  ): void {
    const write = (
      entries: readonly Entry[],
      fields: readonly Field[],
      suffix: string,
      interval: boolean,
      service: Service['kind'],
    ): void => {
      this.#entries(scope, { fields, suffix: `${infix}${suffix}`, interval }, entries, service);
    };

    const protocols = perFamily.flatMap(({ family, services }) =>
      services.protocols.map((protocol) => ({
        matches: [familyIs(family), is('meta l4proto', protocol)],
        key: [ETHERTYPE[family], protocol],
      })),
    );
    write(protocols, ['meta protocol', 'meta l4proto'], '_protocols', false, 'protocol');

    const ports = perFamily.flatMap(({ family, services }) =>
      services.ports.map((range) => ({
        range,
        matches: [familyIs(family), is('meta l4proto', range.protocol), is('th dport', rangeComponent(range))],
        key: [ETHERTYPE[family], range.protocol, rangeComponent(range)],
      })),
    );
    const [single, wide] = partition(ports, ({ range }) => range.first === range.last);
    write(single, ['meta protocol', 'meta l4proto', 'th dport'], '_ports', false, 'ports');
    write(wide, ['meta protocol', 'meta l4proto', 'th dport'], '_port_ranges', true, 'ports');

    for (const { family, services } of perFamily) {
      const { type, code } = icmpFields(family);
      const digit = familyDigit(family);
      const [anyCode, someCode] = partition(services.icmp, isAnyCode);
      const types = anyCode.map((range) => ({ matches: [familyIs(family), is(type, range.type)], key: [range.type] }));
      write(types, [type], `_icmp_types${digit}`, false, 'icmp');
      const codes = someCode.flatMap((range) =>
        codesOf(range).map((value) => ({
          matches: [familyIs(family), is(type, range.type), is(code, value)],
          key: [range.type, value],
        })),
      );
      write(codes, [type, code], `_icmp_codes${digit}`, false, 'icmp');
    }
  }

  /** Few entries: a rule for each. More: one rule with a lookup in a named set. */
  #entries(scope: Scope, shape: Shape, entries: readonly Entry[], service: Service['kind']): void {
    if (entries.length <= mostRules(shape)) {
      for (const { matches } of entries) this.#accept([...scope.condition, ...matches], scope.whom, service);
      return;
    }
    const set = `${this.name}${shape.suffix}`;
    if (scope.define) {
      const keys = entries.map(({ key }) => key);
      this.sets.push((shape.interval ? intervalSet : plainSet)(set, shape.fields, keys, OF_GROUP));
    }
    const asked = (shape.interval ? inIntervals : inSet)(shape.fields, set);
    this.#accept([...scope.condition, asked], scope.whom, service);
  }

  #accept(matches: readonly Match[], whom: Whom, service: Service['kind']): void {
    const ids = originOf(this.group, { ...whom, service, direction: this.direction }, matches);
    const origin = { group: this.group.id, rules: ids };
    this.rules.push({ ...counted(matches, goTo(ADMIT[this.direction]), groupLabel(this.group.name, ids)), origin });
  }

  #addressField(family: Family): Field {
    const side = this.direction === 'ingress' ? 'saddr' : 'daddr';
    return family === 'IPv4' ? `ip ${side}` : `ip6 ${side}`;
  }
}

function familyIs(family: Family): Match {
  return is('meta protocol', ETHERTYPE[family]);
}

function familyDigit(family: Family): '4' | '6' {
  return family === 'IPv4' ? '4' : '6';
}

function icmpFields(family: Family): { readonly type: Field; readonly code: Field } {
  return family === 'IPv4' ? { type: 'icmp type', code: 'icmp code' } : { type: 'icmpv6 type', code: 'icmpv6 code' };
}

function rangeComponent({ first, last }: NumberRange): Component {
  return first === last ? first : { first, last };
}

function isAnyCode(range: IcmpRange): boolean {
  return range.first === ALL_CODES.first && range.last === ALL_CODES.last;
}

function codesOf({ first, last }: NumberRange): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  const yes: T[] = [];
  const no: T[] = [];
  for (const item of items) (test(item) ? yes : no).push(item);
  return [yes, no];
}

/**
 * Splits boxes (prefix x port range) into layers within which none overlap, since the kernel refuses overlapping keys in
 * one set. Prefixes nest or are disjoint, so a box overlaps only boxes around it: it goes one layer below the deepest of
 * these. The number of layers is the depth of nesting among boxes whose ranges overlap: 1 for most groups, 33 at worst
 * for IPv4; no box is ever cut.
 */
function layersOf<T extends PortRange & { readonly prefix: Prefix }>(boxes: readonly T[]): readonly (readonly T[])[] {
  const layers: T[][] = [];
  const index = new PrefixIndex<{ readonly box: T; readonly layer: number }>();
  const wideFirst = [...boxes].sort((a, b) => a.prefix.length - b.prefix.length);
  for (const box of wideFirst) {
    let layer = 0;
    index.someAround(box.prefix, (around) => {
      if (around.box.protocol === box.protocol && rangesOverlap(around.box, box))
        layer = Math.max(layer, around.layer + 1);
      return false;
    });
    index.add(box.prefix, { box, layer });
    const members = layers[layer];
    if (members === undefined) layers[layer] = [box];
    else members.push(box);
  }
  return layers;
}
