/**
 * The ruleset: a backend-neutral packet-filter program.
 *
 * Tables hold named sets and chains; a chain holds rules; a rule is a list of matches and one action. The words are
 * nftables' own, because they are the field's best; nothing here is nftables text.
 */
import type { Datapath } from '../datapath.js';
import type { MemberSet } from '../host-policy.js';
import type { Direction, Prefix } from '../model/index.js';
import type { NumberRange } from '../number-range.js';

export type TableFamily = 'inet' | 'arp' | 'bridge';

export interface Ruleset {
  readonly datapath: Datapath;
  readonly tables: readonly Table[];
}

export interface Table {
  readonly family: TableFamily;
  readonly name: string;
  /** In order of creation. */
  readonly sets: ReadonlyMap<string, NamedSet>;
  /** In order of creation: a chain stands before the chains and maps that lead to it. */
  readonly chains: ReadonlyMap<string, Chain>;
}

/** A part of a packet, or what the kernel knows of it. Each is the nft(8) expression of that name. */
export type Field =
  | 'iif'
  | 'iifname'
  | 'oifname'
  | 'ibrname'
  | 'vlan id'
  | 'ether saddr'
  | 'ether daddr'
  | 'ether type'
  | 'arp operation'
  | 'arp saddr ether'
  | 'arp saddr ip'
  | 'meta protocol'
  | 'meta l4proto'
  | 'ip saddr'
  | 'ip daddr'
  | 'ip6 saddr'
  | 'ip6 daddr'
  | 'udp sport'
  | 'udp dport'
  /** The first and the second 16 bits behind the network header, whatever the protocol makes of them. */
  | 'th sport'
  | 'th dport'
  | 'icmp type'
  | 'icmp code'
  | 'icmpv6 type'
  | 'icmpv6 code'
  /** Target of a neighbour solicitation or advertisement: 128 bits behind 64 bits of ICMPv6 header (RFC 4861, 4.3). */
  | 'nd target';

/** A value of one field: a name or MAC, a number, an address or prefix, a range of numbers. */
export type Component = string | number | Prefix | NumberRange;

/** Values of one or more fields, in the order of the fields. */
export type Key = readonly Component[];

export type Verdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'return' }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'goto'; readonly chain: string };

/** A set (data none) or a map (data verdict or zone). Keys of one set never overlap. */
export interface NamedSet {
  readonly name: string;
  readonly fields: readonly Field[];
  /** True when keys may be prefixes or ranges. */
  readonly interval: boolean;
  readonly role: SetRole;
  readonly content: SetContent;
}

/** What a set is for, as far as what changes in it is told apart. */
export type SetRole =
  /** Members of a remote group or an address group: what rules of several groups may ask. */
  | ({ readonly kind: 'members'; readonly holds: 'addresses' | 'prefixes' } & WhoseMembers)
  /** Asked by the rules of one security group alone. */
  | { readonly kind: 'group' }
  /** Of the fixed part. */
  | { readonly kind: 'fixed' };

export interface WhoseMembers {
  readonly of: MemberSet['kind'];
  readonly family: MemberSet['family'];
}

export type SetContent =
  | { readonly data: 'none'; readonly elements: readonly Key[] }
  | { readonly data: 'verdict'; readonly elements: readonly MapElement<Verdict>[] }
  /** Connection tracking zones, 1-65535. */
  | { readonly data: 'zone'; readonly elements: readonly MapElement<number>[] }
  /** Rules put keys in as packets match (see {@link Action}); each key has a counter, and goes after a while without. */
  | { readonly data: 'tally'; readonly elements: readonly []; readonly room: Room };

/** How many keys a set that packets fill has room for, and how long it keeps one that nothing is counted for. */
export interface Room {
  readonly keys: number;
  readonly seconds: number;
}

export interface MapElement<Data> {
  readonly key: Key;
  readonly data: Data;
}

export interface Chain {
  readonly name: string;
  /** Present on base chains. */
  readonly hook?: Hook;
  readonly rules: readonly Rule[];
  readonly role: ChainRole;
  /** For the reader of a listing. Given at creation and never changed: the kernel keeps a chain's first comment. */
  readonly comment: string;
}

/** What a chain is for, as far as anybody asks. */
export type ChainRole =
  /** What the rules of a security group let pass. */
  | { readonly kind: 'group' }
  | { readonly kind: 'profile'; readonly direction: Direction }
  /** Of the fixed part. */
  | { readonly kind: 'fixed' };

export interface Hook {
  readonly hook: 'prerouting' | 'postrouting' | 'input' | 'forward' | 'output';
  /** Netfilter priority; lower runs first. */
  readonly priority: number;
}

export interface Rule {
  readonly matches: readonly Match[];
  readonly action: Action;
  readonly counter: boolean;
  /** What the rule is for, in the user's words: of a group's rule its origin, as far as there is room. */
  readonly comment: string;
  /** Absent: of the fixed part. */
  readonly origin?: RuleOrigin;
}

/** The security group rules that a rule of a group's chain comes from. */
export interface RuleOrigin {
  /** Ids, all of them. */
  readonly group: string;
  readonly rules: readonly string[];
}

export type Match =
  /** The fields' values are (or, negated, are not) one of the keys; keys may be prefixes or ranges. */
  | {
      readonly kind: 'values';
      readonly fields: readonly Field[];
      readonly negated: boolean;
      readonly keys: readonly Key[];
    }
  /** The fields' values are in a named set. `interval`: said of a group's sets, which hold numbers in intervals. */
  | { readonly kind: 'set'; readonly fields: readonly Field[]; readonly set: string; readonly interval?: true }
  /** The device's name starts with the prefix. */
  | { readonly kind: 'device-prefix'; readonly field: 'iifname' | 'oifname'; readonly prefix: string }
  /** The packet's connection tracking state is one of these. */
  | { readonly kind: 'ct-state'; readonly states: readonly CtState[] }
  /** The packet runs as its flow's first one did, or the other way. A packet without a flow is neither. */
  | { readonly kind: 'ct-direction'; readonly direction: FlowDirection }
  /** Bits of the flow's mark. A packet without a flow has no such mark, and no value of it. */
  | { readonly kind: 'ct-mark'; readonly mask: number; readonly value: number }
  /** Bits of the packet's mark. */
  | { readonly kind: 'packet-mark'; readonly mask: number; readonly value: number };

export type FlowDirection = 'original' | 'reply';

export type CtState = 'new' | 'established' | 'related' | 'invalid';

export type Action =
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  /**
   * Count the packet for the fields' values in a set of that kind, and go on. No verdict stands in such a rule: the kernel
   * ends a rule whose set is full.
   */
  | { readonly kind: 'tally'; readonly fields: readonly Field[]; readonly set: string }
  /** Look the fields up in a named verdict map; no entry: go on with the next rule. */
  | { readonly kind: 'verdict-map'; readonly fields: readonly Field[]; readonly map: string }
  | {
      readonly kind: 'inline-verdict-map';
      readonly fields: readonly Field[];
      readonly elements: readonly MapElement<Verdict>[];
    }
  /**
   * Put the packet into the connection tracking zone that the map gives for the fields, unless it is in one; no entry: go on
   * with the next rule, and at last zone 0.
   */
  | { readonly kind: 'zone'; readonly fields: readonly Field[]; readonly map: string }
  /** Set bits of the flow's mark, if the packet has a flow, and go on. */
  | { readonly kind: 'ct-mark'; readonly bits: number }
  /** Give bits of the packet's mark a value, and go on. */
  | { readonly kind: 'packet-mark'; readonly mask: number; readonly value: number };
