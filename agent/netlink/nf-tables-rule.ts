/**
 * A rule as instructions: those that nft(8) makes of the rule's text, so that both list the same, and what is loaded can be compared with
 * what nft would load. Before a field is loaded it is asked whether the packet has it; what was asked is not asked again.
 */
import type { Action, Field, Key, Match, Rule, TableFamily } from '../../compiler/index.js';
import { ICMP, ICMPV6, isExact, UDP } from '../../compiler/model/index.js';
import { le32 } from './message.js';
import {
  bitwise,
  compare,
  counter,
  countIn,
  immediate,
  load,
  loadCt,
  loadMeta,
  lookup,
  registerAt,
  setCt,
  setMeta,
  toNetworkOrder,
  type AskedSet,
} from './nf-tables-expressions.js';
import { endsOf, FIELDS, maskOf, type Needs, type Source } from './nf-tables-fields.js';
import {
  ARPHRD_ETHER,
  ETH_P_8021Q,
  IP_CT_DIR,
  NF_CT_STATE,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  NFT_CMP,
  NFT_CT,
  NFT_META,
  NFT_PAYLOAD,
  NFT_REG_1,
  NFT_REG_VERDICT,
} from './nf-tables-header.js';
import { paddedLength, type SetShape } from './nf-tables-sets.js';
import { isSingle, mergedFrom, type Neighbour } from './nf-tables-neighbours.js';
import { NotEncodable } from './not-encodable.js';

/** Makes a set without a name, for this rule alone. */
export type MakeAnonymous = (set: SetShape) => AskedSet;

type Network = 'ip' | 'ip6' | 'arp';
const ETHERTYPES: Readonly<Record<Network, number>> = { ip: 0x0800, ip6: 0x86dd, arp: 0x0806 };
const NFPROTOS: Readonly<Record<Network, number | undefined>> = { ip: NFPROTO_IPV4, ip6: NFPROTO_IPV6, arp: undefined };

/** What NFTA_RULE_EXPRESSIONS holds. @throws NotEncodable */
export function expressionsOf(family: TableFamily, rule: Rule, makeAnonymous: MakeAnonymous): readonly Buffer[] {
  return new RuleEncoder(family, makeAnonymous).encode(rule);
}

class RuleEncoder {
  readonly #made: Buffer[] = [];
  /** What is known of the packet from here on. */
  #isEthernet = false;
  #network: number | undefined;
  #transport: number | undefined;

  constructor(
    private readonly family: TableFamily,
    private readonly makeAnonymous: MakeAnonymous,
  ) {
    if (family === 'arp') this.#network = ETHERTYPES.arp;
  }

  encode({ matches, counter: isCounted, action }: Rule): readonly Buffer[] {
    for (let at = 0; at < matches.length;) at += this.#take(matches, at);
    if (isCounted) this.#add(counter());
    this.#act(action);
    return this.#made;
  }

  #add(...expressions: readonly Buffer[]): void {
    this.#made.push(...expressions);
  }

  /** @returns how many matches it took: neighbours in a header are compared at once. */
  #take(matches: readonly Match[], at: number): number {
    const match = matches[at];
    if (match === undefined) return 1;
    const merged = mergedFrom(matches, at);
    if (merged.length > 1) {
      this.#compareAtOnce(merged);
      return merged.length;
    }
    this.#match(match);
    return 1;
  }

  #match(match: Match): void {
    switch (match.kind) {
      case 'values':
        this.#compareValues(match);
        return;
      case 'set':
        this.#load(match.fields, match.interval === true);
        this.#add(lookup({ name: match.set }));
        return;
      case 'device-prefix':
        // The name's first bytes and not the zero behind them: longer names match, too.
        this.#load([match.field]);
        this.#add(compare(NFT_CMP.NFT_CMP_EQ, Buffer.from(match.prefix)));
        return;
      case 'ct-state': {
        const bits = match.states.reduce((sum, state) => sum | NF_CT_STATE[state], 0);
        this.#add(loadCt(NFT_CT.NFT_CT_STATE), bitwise(le32(bits), le32(0)), compare(NFT_CMP.NFT_CMP_NEQ, le32(0)));
        return;
      }
      case 'ct-direction':
        this.#add(loadCt(NFT_CT.NFT_CT_DIRECTION), compare(NFT_CMP.NFT_CMP_EQ, Buffer.of(IP_CT_DIR[match.direction])));
        return;
      case 'ct-mark':
        this.#add(loadCt(NFT_CT.NFT_CT_MARK), ...maskedIs(match));
        return;
      case 'packet-mark':
        this.#add(loadMeta(NFT_META.NFT_META_MARK), ...maskedIs(match));
        return;
    }
  }

  #act(action: Action): void {
    switch (action.kind) {
      case 'verdict':
        this.#add(immediate(action.verdict));
        return;
      case 'tally':
        this.#load(action.fields);
        this.#add(countIn(action.set));
        return;
      case 'verdict-map':
        this.#load(action.fields);
        this.#add(lookup({ name: action.map }, { into: NFT_REG_VERDICT }));
        return;
      case 'inline-verdict-map': {
        const { fields, elements } = action;
        this.#load(fields);
        const map = this.makeAnonymous({ fields, interval: false, content: { data: 'verdict', elements } });
        this.#add(lookup(map, { into: NFT_REG_VERDICT }));
        return;
      }
      case 'zone':
        this.#load(action.fields);
        this.#add(lookup({ name: action.map }, { into: NFT_REG_1 }), setCt(NFT_CT.NFT_CT_ZONE));
        return;
      case 'ct-mark':
        this.#add(
          loadCt(NFT_CT.NFT_CT_MARK),
          bitwise(le32(~action.bits), le32(action.bits)),
          setCt(NFT_CT.NFT_CT_MARK),
        );
        return;
      case 'packet-mark':
        this.#add(
          loadMeta(NFT_META.NFT_META_MARK),
          bitwise(le32(~action.mask), le32(action.value)),
          setMeta(NFT_META.NFT_META_MARK),
        );
        return;
    }
  }

  #compareValues({ fields, negated, keys }: Extract<Match, { kind: 'values' }>): void {
    const [field] = fields;
    if (field === undefined || fields.length > 1) throw new NotEncodable(`values of ${fields.join(' . ')}`);
    const [key, ...others] = keys;
    if (key === undefined) throw new NotEncodable(`no value of ${field}`);
    this.#ask(field);
    if (others.length > 0) {
      const interval = keys.some(([component]) => !isSingle(field, component));
      const set = this.makeAnonymous({ fields, interval, content: { data: 'none', elements: keys } });
      this.#add(...loadWhole(field), lookup(set, { isNegated: negated }));
      return;
    }
    this.#compareValue(field, key, negated);
    if (!negated) this.#know(field, key);
  }

  #compareValue(field: Field, [component]: Key, negated: boolean): void {
    const { first, last } = endsOf(field, component);
    const operation = negated ? NFT_CMP.NFT_CMP_NEQ : NFT_CMP.NFT_CMP_EQ;
    if (typeof component === 'object' && 'family' in component && !isExact(component)) {
      // Whole bytes are compared alone.
      const bytes = component.length / 8;
      if (component.length > 0 && Number.isInteger(bytes)) {
        this.#add(...load(FIELDS[field].source, bytes), compare(operation, first.subarray(0, bytes)));
      } else {
        this.#add(
          ...loadWhole(field),
          bitwise(maskOf(component), Buffer.alloc(first.length)),
          compare(operation, first),
        );
      }
      return;
    }
    if (first.equals(last)) {
      this.#add(...loadWhole(field), compare(operation, first));
      return;
    }
    if (negated) throw new NotEncodable(`no value of a range of ${field}`);
    this.#add(...loadWhole(field), compare(NFT_CMP.NFT_CMP_GTE, first), compare(NFT_CMP.NFT_CMP_LTE, last));
  }

  #compareAtOnce(neighbours: readonly Neighbour[]): void {
    const [first] = neighbours;
    if (first === undefined) return;
    for (const { field } of neighbours) this.#ask(field);
    const bytes = Buffer.concat(neighbours.map(({ value }) => value));
    this.#add(...load(first.source, bytes.length), compare(NFT_CMP.NFT_CMP_EQ, bytes));
    for (const { field, key } of neighbours) this.#know(field, key);
  }

  /** @param isOfIntervals of a set of intervals: numbers in the host's order are turned, whatever that changes in a single byte. */
  #load(fields: readonly Field[], isOfIntervals = false): void {
    for (const field of fields) this.#ask(field);
    let offset = 0;
    for (const field of fields) {
      const { source, length } = FIELDS[field];
      this.#add(...load(source, length, registerAt(offset)));
      if (field === 'meta l4proto' && isOfIntervals && fields.length > 1) {
        this.#add(toNetworkOrder(length, registerAt(offset)));
      }
      offset += paddedLength(field);
    }
  }

  /** Asks whether the packet has the field. */
  #ask(field: Field): void {
    const { needs } = FIELDS[field];
    if (needs !== undefined) this.#need(needs);
  }

  #need(protocol: Needs): void {
    switch (protocol) {
      case 'ethernet':
        if (this.family === 'bridge' || this.#isEthernet) return;
        this.#isEthernet = true;
        this.#add(loadMeta(NFT_META.NFT_META_IIFTYPE), compare(NFT_CMP.NFT_CMP_EQ, shortBytes(ARPHRD_ETHER, 'host')));
        return;
      case 'vlan':
        this.#needEtherType(ETH_P_8021Q);
        return;
      case 'ip':
      case 'ip6':
        this.#needNetwork(protocol, this.family === 'bridge');
        return;
      case 'arp':
        this.#needNetwork('arp', false);
        return;
      case 'udp':
        this.#needTransport(UDP);
        return;
      case 'icmp':
        if (this.#transport !== ICMP) this.#needNetwork('ip', false);
        this.#needTransport(ICMP);
        return;
      case 'icmpv6':
        if (this.#transport !== ICMPV6) this.#needNetwork('ip6', false);
        this.#needTransport(ICMPV6);
        return;
    }
  }

  #needNetwork(network: Network, byMeta: boolean): void {
    if (this.#network === ETHERTYPES[network]) return;
    const nfproto = NFPROTOS[network];
    if (byMeta) {
      const bytes = shortBytes(ETHERTYPES[network], 'network');
      this.#add(loadMeta(NFT_META.NFT_META_PROTOCOL), compare(NFT_CMP.NFT_CMP_EQ, bytes));
    } else if (this.family === 'inet' && !this.#isEthernet && nfproto !== undefined) {
      this.#add(loadMeta(NFT_META.NFT_META_NFPROTO), compare(NFT_CMP.NFT_CMP_EQ, Buffer.of(nfproto)));
    } else {
      this.#needEtherType(ETHERTYPES[network]);
    }
    this.#network = ETHERTYPES[network];
  }

  #needEtherType(type: number): void {
    const source: Source = { kind: 'payload', base: NFT_PAYLOAD.NFT_PAYLOAD_LL_HEADER, offset: 12 };
    this.#add(...load(source, 2), compare(NFT_CMP.NFT_CMP_EQ, shortBytes(type, 'network')));
  }

  #needTransport(protocol: number): void {
    if (this.#transport === protocol) return;
    this.#transport = protocol;
    this.#add(loadMeta(NFT_META.NFT_META_L4PROTO), compare(NFT_CMP.NFT_CMP_EQ, Buffer.of(protocol)));
  }

  /** What a comparison says of the packet. In family inet `meta protocol` says nothing to nft(8), which asks again. */
  #know(field: Field, [component]: Key): void {
    if (typeof component !== 'number') return;
    if (field === 'meta l4proto') this.#transport = component;
    if (field === 'ether type' || (field === 'meta protocol' && this.family === 'bridge')) this.#network = component;
  }
}

function loadWhole(field: Field): readonly Buffer[] {
  return load(FIELDS[field].source, FIELDS[field].length);
}

function maskedIs({ mask, value }: { readonly mask: number; readonly value: number }): readonly Buffer[] {
  return [bitwise(le32(mask), le32(0)), compare(NFT_CMP.NFT_CMP_EQ, le32(value))];
}

function shortBytes(value: number, order: 'host' | 'network'): Buffer {
  const bytes = Buffer.alloc(2);
  if (order === 'host') bytes.writeUInt16LE(value);
  else bytes.writeUInt16BE(value);
  return bytes;
}
