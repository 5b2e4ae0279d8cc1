/** Notifications of nf_tables (linux/netfilter/nf_tables.h): who changed which table. */
import { eachAttribute, findAttribute, findText, NLM_F_APPEND, textOf, type Message } from './message.js';
import type { NfTablesMessage } from './nf-tables-batch.js';
import { withdrawalOf } from './withdrawal.js';
import {
  NFGENMSG_LENGTH,
  NFNL_SUBSYS_NFTABLES,
  NFT_MSG,
  NFTA_ANY_TABLE,
  NFTA_CHAIN,
  NFTA_RULE,
  NFTA_TABLE,
} from './nf-tables-header.js';

/** NFPROTO_* of linux/netfilter.h, as nft(8) names them. */
export const FAMILIES: ReadonlyMap<number, string> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

/** NFNLGRP_NFTABLES */
export const NF_TABLES_GROUP = 7;

/** enum nft_gen_attributes */
const NFTA_GEN = { NFTA_GEN_ID: 1, NFTA_GEN_PROC_PID: 2, NFTA_GEN_PROC_NAME: 3 } as const;

export type NfTablesEvent =
  /** Something of a table changed; the generation follows. */
  | {
      readonly kind: 'table';
      readonly family: string;
      readonly table: string;
      /** The port id of the socket that did it. */
      readonly portId: number;
      /** The lower 16 bits of the generation that the transaction makes. */
      readonly generation16: number;
      readonly what:
        | { readonly kind: 'table'; readonly flags: number }
        | { readonly kind: 'table-gone' }
        | { readonly kind: 'chain' | 'chain-gone'; readonly chain: string }
        /** `isAppended`: it stands behind all that were there. */
        | {
            readonly kind: 'rule';
            readonly chain: string;
            readonly isAppended: boolean;
            readonly withdrawal: () => NfTablesMessage;
          }
        /** `bytes`: the rule as the kernel tells of it; names of chains that it leads to are in it. */
        | { readonly kind: 'rule-gone'; readonly chain: string; readonly bytes: Buffer }
        | { readonly kind: 'elements'; readonly withdrawal: () => NfTablesMessage }
        | { readonly kind: 'other' };
    }
  /** A transaction is complete: the socket `portId` of the process `pid`, which runs `program`, made it. */
  | {
      readonly kind: 'generation';
      readonly id: number;
      readonly portId: number;
      readonly pid: number;
      readonly program: string;
    };

/** Reads one notification; undefined for what is none of nf_tables. */
export function readNfTablesEvent({ type, flags, portId, payload }: Message): NfTablesEvent | undefined {
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES) return undefined;
  if ((type & 0xff) !== NFT_MSG.NFT_MSG_NEWGEN) return tableEvent(type & 0xff, flags, portId, payload);
  let [id, pid, program] = [0, 0, ''];
  eachAttribute(payload, NFGENMSG_LENGTH, (attributeType, value) => {
    if (attributeType === NFTA_GEN.NFTA_GEN_ID) id = value.readUInt32BE(0);
    else if (attributeType === NFTA_GEN.NFTA_GEN_PROC_PID) pid = value.readUInt32BE(0);
    else if (attributeType === NFTA_GEN.NFTA_GEN_PROC_NAME) program = textOf(value);
  });
  return { kind: 'generation', id, portId, pid, program };
}

function tableEvent(message: number, messageFlags: number, portId: number, payload: Buffer): NfTablesEvent {
  // Thousands come at once: only what is asked for is looked for.
  const text = (type: number): string => findText(payload, NFGENMSG_LENGTH, type);
  const table = text(NFTA_ANY_TABLE);
  const family = FAMILIES.get(payload[0] ?? 0) ?? 'unknown';
  const generation16 = payload.length < NFGENMSG_LENGTH ? 0 : payload.readUInt16BE(2);
  const about = { kind: 'table', family, table, portId, generation16 } as const;
  switch (message) {
    case NFT_MSG.NFT_MSG_NEWTABLE: {
      const flags = findAttribute(payload, NFGENMSG_LENGTH, NFTA_TABLE.NFTA_TABLE_FLAGS)?.readUInt32BE(0) ?? 0;
      return { ...about, what: { kind: 'table', flags } };
    }
    case NFT_MSG.NFT_MSG_DELTABLE:
      return { ...about, what: { kind: 'table-gone' } };
    case NFT_MSG.NFT_MSG_NEWCHAIN:
      return { ...about, what: { kind: 'chain', chain: text(NFTA_CHAIN.NFTA_CHAIN_NAME) } };
    case NFT_MSG.NFT_MSG_DELCHAIN:
      return { ...about, what: { kind: 'chain-gone', chain: text(NFTA_CHAIN.NFTA_CHAIN_NAME) } };
    case NFT_MSG.NFT_MSG_NEWRULE: {
      const chain = text(NFTA_RULE.NFTA_RULE_CHAIN);
      const isAppended = (messageFlags & NLM_F_APPEND) !== 0;
      return { ...about, what: { kind: 'rule', chain, isAppended, withdrawal: () => withdrawalOf(message, payload) } };
    }
    case NFT_MSG.NFT_MSG_DELRULE:
      return { ...about, what: { kind: 'rule-gone', chain: text(NFTA_RULE.NFTA_RULE_CHAIN), bytes: payload } };
    case NFT_MSG.NFT_MSG_NEWSETELEM:
      return { ...about, what: { kind: 'elements', withdrawal: () => withdrawalOf(message, payload) } };
    default:
      return { ...about, what: { kind: 'other' } };
  }
}
