/**
 * Takes back what somebody added, by the kernel's own notice of it: a rule by its handle, elements by their keys. Nothing is read, and
 * what the table holds besides is not touched.
 */
import { attribute, eachAttribute, nested } from './message.js';
import type { NfTablesMessage } from './nf-tables-batch.js';
import {
  NFGENMSG_LENGTH,
  NFNL_SUBSYS_NFTABLES,
  NFT_MSG,
  NFTA_LIST_ELEM,
  NFTA_RULE,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
} from './nf-tables-header.js';

const OF_RULE: ReadonlySet<number> = new Set([
  NFTA_RULE.NFTA_RULE_TABLE,
  NFTA_RULE.NFTA_RULE_CHAIN,
  NFTA_RULE.NFTA_RULE_HANDLE,
]);
/** What names an element; not what it leads to, nor when it ends. */
const OF_ELEMENT: ReadonlySet<number> = new Set([
  NFTA_SET_ELEM.NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM.NFTA_SET_ELEM_KEY_END,
  NFTA_SET_ELEM.NFTA_SET_ELEM_FLAGS,
]);

/** @param payload of NFT_MSG_NEWRULE or NFT_MSG_NEWSETELEM, as the kernel tells it. */
export function withdrawalOf(
  message: typeof NFT_MSG.NFT_MSG_NEWRULE | typeof NFT_MSG.NFT_MSG_NEWSETELEM,
  payload: Buffer,
): NfTablesMessage {
  const isRule = message === NFT_MSG.NFT_MSG_NEWRULE;
  const type = isRule ? NFT_MSG.NFT_MSG_DELRULE : NFT_MSG.NFT_MSG_DELSETELEM;
  const header = Buffer.alloc(NFGENMSG_LENGTH);
  header[0] = payload[0] ?? 0;
  const attributes = isRule ? kept(payload, NFGENMSG_LENGTH, OF_RULE) : ofElements(payload);
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | type,
    flags: 0,
    payload: Buffer.concat([header, ...attributes]),
    about: 'what somebody added',
  };
}

function ofElements(payload: Buffer): readonly Buffer[] {
  const attributes: Buffer[] = [];
  eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
    if (type === NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_ELEMENTS) {
      const elements: Buffer[] = [];
      eachAttribute(value, 0, (_type, element) =>
        elements.push(nested(NFTA_LIST_ELEM, ...kept(element, 0, OF_ELEMENT))),
      );
      attributes.push(nested(type, ...elements));
    } else attributes.push(attribute(type, value));
  });
  return attributes;
}

function kept(bytes: Buffer, at: number, those: ReadonlySet<number>): readonly Buffer[] {
  const attributes: Buffer[] = [];
  eachAttribute(bytes, at, (type, value) => {
    if (!those.has(type)) return;
    // A key is data in an attribute of its own.
    const isKey = type === NFTA_SET_ELEM.NFTA_SET_ELEM_KEY || type === NFTA_SET_ELEM.NFTA_SET_ELEM_KEY_END;
    attributes.push(those === OF_ELEMENT && isKey ? nested(type, value) : attribute(type, value));
  });
  return attributes;
}
