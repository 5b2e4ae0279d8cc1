/**
 * The kernel's instructions, an attribute of NFTA_RULE_EXPRESSIONS each: registers are loaded, compared, looked up; the last one decides. Their
 * attributes are in the order in which the kernel tells of them, so that what is loaded is known again by its bytes (canonical.ts).
 */
import type { Verdict } from '../../compiler/index.js';
import { attribute, be32, nested, textBytes } from './message.js';
import type { Source } from './nf-tables-fields.js';
import {
  NFT_BITWISE_MASK_XOR,
  NFT_BYTEORDER_HTON,
  NFT_DYNSET_OP_UPDATE,
  NFT_LOOKUP_F_INV,
  NFT_REG32_00,
  NFT_REG_1,
  NFT_REG_VERDICT,
  NFTA_BITWISE,
  NFTA_BYTEORDER,
  NFTA_CMP,
  NFTA_CT,
  NFTA_DATA,
  NFTA_DYNSET,
  NFTA_EXPR,
  NFTA_IMMEDIATE,
  NFTA_LIST_ELEM,
  NFTA_LOOKUP,
  NFTA_META,
  NFTA_PAYLOAD,
  NFTA_VERDICT,
  VERDICT,
} from './nf-tables-header.js';

/** A set that a rule asks: by its name, and one without a name of its own by its number in the transaction. */
export interface AskedSet {
  readonly name: string;
  readonly id?: number;
}

/** The number of the register at an offset: of those of 16 bytes where one begins there (enum nft_registers). */
export function registerAt(offset: number): number {
  return offset % 16 === 0 ? NFT_REG_1 + offset / 16 : NFT_REG32_00 + offset / 4;
}

function expression(name: string, ...data: readonly Buffer[]): Buffer {
  return nested(NFTA_LIST_ELEM, ...named(name, data));
}

function named(name: string, data: readonly Buffer[]): readonly Buffer[] {
  return [attribute(NFTA_EXPR.NFTA_EXPR_NAME, textBytes(name)), nested(NFTA_EXPR.NFTA_EXPR_DATA, ...data)];
}

function value(type: number, bytes: Buffer): Buffer {
  return nested(type, attribute(NFTA_DATA.NFTA_DATA_VALUE, bytes));
}

/** Loads what is there into a register. */
export function load(source: Source, length: number, register: number = NFT_REG_1): readonly Buffer[] {
  if (source.kind === 'meta') return [loadMeta(source.key, register)];
  const loaded = expression(
    'payload',
    attribute(NFTA_PAYLOAD.NFTA_PAYLOAD_DREG, be32(register)),
    attribute(NFTA_PAYLOAD.NFTA_PAYLOAD_BASE, be32(source.base)),
    attribute(NFTA_PAYLOAD.NFTA_PAYLOAD_OFFSET, be32(source.offset)),
    attribute(NFTA_PAYLOAD.NFTA_PAYLOAD_LEN, be32(length)),
  );
  return source.mask === undefined ? [loaded] : [loaded, bitwise(source.mask, Buffer.alloc(length), register)];
}

export function loadMeta(key: number, register: number = NFT_REG_1): Buffer {
  return expression(
    'meta',
    attribute(NFTA_META.NFTA_META_KEY, be32(key)),
    attribute(NFTA_META.NFTA_META_DREG, be32(register)),
  );
}

export function setMeta(key: number): Buffer {
  return expression(
    'meta',
    attribute(NFTA_META.NFTA_META_KEY, be32(key)),
    attribute(NFTA_META.NFTA_META_SREG, be32(NFT_REG_1)),
  );
}

export function loadCt(key: number): Buffer {
  return expression('ct', attribute(NFTA_CT.NFTA_CT_DREG, be32(NFT_REG_1)), attribute(NFTA_CT.NFTA_CT_KEY, be32(key)));
}

export function setCt(key: number): Buffer {
  return expression('ct', attribute(NFTA_CT.NFTA_CT_SREG, be32(NFT_REG_1)), attribute(NFTA_CT.NFTA_CT_KEY, be32(key)));
}

/** @param operation of enum nft_cmp_ops */
export function compare(operation: number, bytes: Buffer): Buffer {
  return expression(
    'cmp',
    attribute(NFTA_CMP.NFTA_CMP_SREG, be32(NFT_REG_1)),
    attribute(NFTA_CMP.NFTA_CMP_OP, be32(operation)),
    value(NFTA_CMP.NFTA_CMP_DATA, bytes),
  );
}

/** The register becomes (register & mask) ^ xor. */
export function bitwise(mask: Buffer, xor: Buffer, register: number = NFT_REG_1): Buffer {
  return expression(
    'bitwise',
    attribute(NFTA_BITWISE.NFTA_BITWISE_SREG, be32(register)),
    attribute(NFTA_BITWISE.NFTA_BITWISE_DREG, be32(register)),
    attribute(NFTA_BITWISE.NFTA_BITWISE_LEN, be32(mask.length)),
    attribute(NFTA_BITWISE.NFTA_BITWISE_OP, be32(NFT_BITWISE_MASK_XOR)),
    value(NFTA_BITWISE.NFTA_BITWISE_MASK, mask),
    value(NFTA_BITWISE.NFTA_BITWISE_XOR, xor),
  );
}

/** To network order, in units of two bytes. */
export function toNetworkOrder(length: number, register: number): Buffer {
  return expression(
    'byteorder',
    attribute(NFTA_BYTEORDER.NFTA_BYTEORDER_SREG, be32(register)),
    attribute(NFTA_BYTEORDER.NFTA_BYTEORDER_DREG, be32(register)),
    attribute(NFTA_BYTEORDER.NFTA_BYTEORDER_OP, be32(NFT_BYTEORDER_HTON)),
    attribute(NFTA_BYTEORDER.NFTA_BYTEORDER_LEN, be32(length)),
    attribute(NFTA_BYTEORDER.NFTA_BYTEORDER_SIZE, be32(2)),
  );
}

/** @param into the register for what a map's element leads to. */
export function lookup(
  { name, id }: AskedSet,
  { into, isNegated = false }: { readonly into?: number; readonly isNegated?: boolean } = {},
): Buffer {
  return expression(
    'lookup',
    attribute(NFTA_LOOKUP.NFTA_LOOKUP_SET, textBytes(name)),
    ...(id === undefined ? [] : [attribute(NFTA_LOOKUP.NFTA_LOOKUP_SET_ID, be32(id))]),
    attribute(NFTA_LOOKUP.NFTA_LOOKUP_SREG, be32(NFT_REG_1)),
    ...(into === undefined ? [] : [attribute(NFTA_LOOKUP.NFTA_LOOKUP_DREG, be32(into))]),
    attribute(NFTA_LOOKUP.NFTA_LOOKUP_FLAGS, be32(isNegated ? NFT_LOOKUP_F_INV : 0)),
  );
}

/** Puts the register's value into the set, and counts there. */
export function countIn(set: string): Buffer {
  return expression(
    'dynset',
    attribute(NFTA_DYNSET.NFTA_DYNSET_SREG_KEY, be32(NFT_REG_1)),
    attribute(NFTA_DYNSET.NFTA_DYNSET_OP, be32(NFT_DYNSET_OP_UPDATE)),
    attribute(NFTA_DYNSET.NFTA_DYNSET_SET_NAME, textBytes(set)),
    nested(NFTA_DYNSET.NFTA_DYNSET_EXPR, ...named('counter', [])),
  );
}

export function counter(): Buffer {
  return expression('counter');
}

export function immediate(verdict: Verdict): Buffer {
  return expression(
    'immediate',
    attribute(NFTA_IMMEDIATE.NFTA_IMMEDIATE_DREG, be32(NFT_REG_VERDICT)),
    nested(NFTA_IMMEDIATE.NFTA_IMMEDIATE_DATA, verdictData(verdict)),
  );
}

/** As data of a rule, and of a map's element. */
export function verdictData(verdict: Verdict): Buffer {
  const code = attribute(NFTA_VERDICT.NFTA_VERDICT_CODE, be32(verdictCode(verdict)));
  const chain = 'chain' in verdict ? [attribute(NFTA_VERDICT.NFTA_VERDICT_CHAIN, textBytes(verdict.chain))] : [];
  return nested(NFTA_DATA.NFTA_DATA_VERDICT, code, ...chain);
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
      return VERDICT.NFT_JUMP;
    case 'goto':
      return VERDICT.NFT_GOTO;
  }
}
