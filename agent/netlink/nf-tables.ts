/** Notifications of nf_tables (linux/netfilter/nf_tables.h): who changed which table. */
import { eachAttribute, NLM_F_APPEND, textOf, type Message } from './message.js';

export const NETLINK_NETFILTER = 12;

/** NFPROTO_* of linux/netfilter.h, as nft(8) names them. */
export const FAMILIES: ReadonlyMap<number, string> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

/** Of a table whose chains see nothing (NFT_TABLE_F_DORMANT). */
export const DORMANT = 1;
/** Of a table that only the socket that made it may change (NFT_TABLE_F_OWNER). */
export const OWNED = 2;

/** NFNLGRP_NFTABLES */
export const NF_TABLES_GROUP = 7;

const NFNL_SUBSYS_NFTABLES = 10;
/** enum nf_tables_msg_types */
const MESSAGE = {
  newTable: 0,
  deleteTable: 2,
  newChain: 3,
  deleteChain: 5,
  newRule: 6,
  deleteRule: 8,
  newGeneration: 15,
} as const;
const NFGENMSG_LENGTH = 4;
/** NFTA_*_TABLE is attribute 1 in messages of tables, chains, rules, sets, elements and objects alike. */
const NFTA = { table: 1, tableFlags: 2, ruleChain: 2, chainName: 3 } as const;
const NFTA_GEN = { id: 1, pid: 2, name: 3 } as const;

export type NfTablesEvent =
  /** Something of a table changed; the generation follows. */
  | {
      readonly kind: 'table';
      readonly family: string;
      readonly table: string;
      readonly what:
        | { readonly kind: 'table'; readonly flags: number }
        | { readonly kind: 'table-gone' }
        | { readonly kind: 'chain' | 'chain-gone'; readonly chain: string }
        | {
            readonly kind: 'rule' | 'rule-gone';
            readonly chain: string;
            /** Of a new one: it stands behind all that were there. */
            readonly isAppended: boolean;
            /** The rule as the kernel tells of it; names of chains that it leads to are in it. */
            readonly bytes: Buffer;
          }
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
  if ((type & 0xff) !== MESSAGE.newGeneration) return tableEvent(type & 0xff, flags, payload);
  let [id, pid, program] = [0, 0, ''];
  eachAttribute(payload, NFGENMSG_LENGTH, (attributeType, value) => {
    if (attributeType === NFTA_GEN.id) id = value.readUInt32BE(0);
    else if (attributeType === NFTA_GEN.pid) pid = value.readUInt32BE(0);
    else if (attributeType === NFTA_GEN.name) program = textOf(value);
  });
  return { kind: 'generation', id, portId, pid, program };
}

function tableEvent(message: number, messageFlags: number, payload: Buffer): NfTablesEvent {
  let table = '';
  let flags = 0;
  let chain = '';
  const [isOfChain, isOfRule] = [
    message === MESSAGE.newChain || message === MESSAGE.deleteChain,
    message === MESSAGE.newRule || message === MESSAGE.deleteRule,
  ];
  eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
    if (type === NFTA.table) table = textOf(value);
    else if (message === MESSAGE.newTable && type === NFTA.tableFlags) flags = value.readUInt32BE(0);
    else if (isOfRule && type === NFTA.ruleChain) chain = textOf(value);
    else if (isOfChain && type === NFTA.chainName) chain = textOf(value);
  });
  const family = FAMILIES.get(payload[0] ?? 0) ?? 'unknown';
  switch (message) {
    case MESSAGE.newTable:
      return { kind: 'table', family, table, what: { kind: 'table', flags } };
    case MESSAGE.deleteTable:
      return { kind: 'table', family, table, what: { kind: 'table-gone' } };
    case MESSAGE.newChain:
      return { kind: 'table', family, table, what: { kind: 'chain', chain } };
    case MESSAGE.deleteChain:
      return { kind: 'table', family, table, what: { kind: 'chain-gone', chain } };
    case MESSAGE.newRule:
    case MESSAGE.deleteRule: {
      const kind = message === MESSAGE.newRule ? 'rule' : 'rule-gone';
      const isAppended = (messageFlags & NLM_F_APPEND) !== 0;
      return { kind: 'table', family, table, what: { kind, chain, isAppended, bytes: payload } };
    }
    default:
      return { kind: 'table', family, table, what: { kind: 'other' } };
  }
}
