/**
 * A rule as the kernel's own instructions: registers are loaded, compared, looked up; the last one decides. What it makes is what
 * nft(8) makes of the rule's text, so that both list the same.
 *
 * Rules of closed tables only: others are refused by name, and are a case of these switches when they are needed.
 */
import type { Action, Field, Match, Rule, Verdict } from '../../compiler/index.js';
import { attribute, nested } from './message.js';
import {
  IFNAMSIZ,
  NFT_CMP_EQ,
  NFT_DYNSET_OP_UPDATE,
  NFT_META,
  NFT_REG_1,
  NFT_REG_VERDICT,
  NFTA_CMP,
  NFTA_DATA,
  NFTA_DYNSET,
  NFTA_EXPR,
  NFTA_IMMEDIATE,
  NFTA_LIST_ELEM,
  NFTA_LOOKUP,
  NFTA_META,
  NFTA_VERDICT_CODE,
  VERDICT,
} from './nf-tables-header.js';

/** Sets of the same transaction are named and numbered: the kernel knows them by either. */
export type SetIds = ReadonlyMap<string, number>;

/** Nobody needs it over netlink yet. */
export class NotEncodable extends Error {
  override readonly name = 'NotEncodable';

  constructor(what: string) {
    super(`netlink: ${what} cannot be sent without nft`);
  }
}

/** Attributes of NFTA_RULE_EXPRESSIONS. */
export function expressionsOf(rule: Rule, sets: SetIds): readonly Buffer[] {
  return [
    ...rule.matches.flatMap((match) => matchExpressions(match, sets)),
    ...(rule.counter ? [expression('counter')] : []),
    ...actionExpressions(rule.action, sets),
  ];
}

function matchExpressions(match: Match, sets: SetIds): readonly Buffer[] {
  switch (match.kind) {
    case 'device-prefix':
      // The name's first bytes and not the zero behind them: longer names match, too.
      return [load(match.field), compareEqual(Buffer.from(match.prefix))];
    case 'set':
      return [load(onlyOne(match.fields)), lookup(match.set, sets)];
    case 'values':
    case 'ct-state':
    case 'ct-direction':
    case 'ct-mark':
    case 'packet-mark':
      throw new NotEncodable(`a match of kind ${match.kind}`);
  }
}

function actionExpressions(action: Action, sets: SetIds): readonly Buffer[] {
  switch (action.kind) {
    case 'verdict':
      return [immediate(action.verdict)];
    case 'tally':
      return [load(onlyOne(action.fields)), countIn(action.set, sets)];
    case 'verdict-map':
    case 'inline-verdict-map':
    case 'zone':
    case 'ct-mark':
    case 'packet-mark':
      throw new NotEncodable(`an action of kind ${action.kind}`);
  }
}

function expression(name: string, ...data: readonly Buffer[]): Buffer {
  return nested(NFTA_LIST_ELEM, ...named(name, data));
}

function named(name: string, data: readonly Buffer[]): readonly Buffer[] {
  return [attribute(NFTA_EXPR.NFTA_EXPR_NAME, textBytes(name)), nested(NFTA_EXPR.NFTA_EXPR_DATA, ...data)];
}

function load(field: Field): Buffer {
  return expression(
    'meta',
    attribute(NFTA_META.NFTA_META_KEY, be32(metaKey(field))),
    attribute(NFTA_META.NFTA_META_DREG, be32(NFT_REG_1)),
  );
}

function metaKey(field: Field): number {
  switch (field) {
    case 'iifname':
      return NFT_META.NFT_META_IIFNAME;
    case 'oifname':
      return NFT_META.NFT_META_OIFNAME;
    default:
      throw new NotEncodable(`field ${field}`);
  }
}

function onlyOne(fields: readonly Field[]): Field {
  const [field, ...others] = fields;
  if (field === undefined || others.length > 0) throw new NotEncodable(`a key of ${fields.join(' . ')}`);
  return field;
}

function compareEqual(value: Buffer): Buffer {
  return expression(
    'cmp',
    attribute(NFTA_CMP.NFTA_CMP_SREG, be32(NFT_REG_1)),
    attribute(NFTA_CMP.NFTA_CMP_OP, be32(NFT_CMP_EQ)),
    nested(NFTA_CMP.NFTA_CMP_DATA, attribute(NFTA_DATA.NFTA_DATA_VALUE, value)),
  );
}

function lookup(set: string, sets: SetIds): Buffer {
  return expression(
    'lookup',
    attribute(NFTA_LOOKUP.NFTA_LOOKUP_SREG, be32(NFT_REG_1)),
    attribute(NFTA_LOOKUP.NFTA_LOOKUP_SET, textBytes(set)),
    attribute(NFTA_LOOKUP.NFTA_LOOKUP_SET_ID, be32(idOf(set, sets))),
  );
}

/** Puts the register's value into the set, and counts there. */
function countIn(set: string, sets: SetIds): Buffer {
  return expression(
    'dynset',
    attribute(NFTA_DYNSET.NFTA_DYNSET_SREG_KEY, be32(NFT_REG_1)),
    attribute(NFTA_DYNSET.NFTA_DYNSET_OP, be32(NFT_DYNSET_OP_UPDATE)),
    attribute(NFTA_DYNSET.NFTA_DYNSET_SET_NAME, textBytes(set)),
    attribute(NFTA_DYNSET.NFTA_DYNSET_SET_ID, be32(idOf(set, sets))),
    nested(NFTA_DYNSET.NFTA_DYNSET_EXPR, ...named('counter', [])),
  );
}

function immediate(verdict: Verdict): Buffer {
  const code = attribute(NFTA_VERDICT_CODE, be32(verdictCode(verdict)));
  return expression(
    'immediate',
    attribute(NFTA_IMMEDIATE.NFTA_IMMEDIATE_DREG, be32(NFT_REG_VERDICT)),
    nested(NFTA_IMMEDIATE.NFTA_IMMEDIATE_DATA, nested(NFTA_DATA.NFTA_DATA_VERDICT, code)),
  );
}

function verdictCode(verdict: Verdict): number {
  switch (verdict.kind) {
    case 'accept':
      return VERDICT.NF_ACCEPT;
    case 'drop':
      return VERDICT.NF_DROP;
    case 'return':
      return VERDICT.NFT_RETURN;
    case 'jump':
    case 'goto':
      throw new NotEncodable(`a ${verdict.kind}`);
  }
}

function idOf(set: string, sets: SetIds): number {
  const id = sets.get(set);
  if (id === undefined) throw new NotEncodable(`set ${set}, which is not in its table,`);
  return id;
}

/** A name of a device as packets' registers have it: 16 bytes, zeros behind it. @throws NotEncodable for a longer one. */
export function deviceBytes(name: string): Buffer {
  const bytes = Buffer.alloc(IFNAMSIZ);
  if (Buffer.byteLength(name) >= IFNAMSIZ) throw new NotEncodable(`a device of the name ${JSON.stringify(name)}`);
  bytes.write(name);
  return bytes;
}

/** 32 bits in network byte order, as all numbers of nf_tables are. */
export function be32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

/** A string with the zero at its end. */
export function textBytes(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}
