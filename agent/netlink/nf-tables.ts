/** Notifications of nf_tables (linux/netfilter/nf_tables.h): who changed which table. */
import { eachAttribute, textOf, type Message } from './message.js';

export const NETLINK_NETFILTER = 12;
/** NFNLGRP_NFTABLES */
export const NF_TABLES_GROUP = 7;

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
const NFGENMSG_LENGTH = 4;
/** NFTA_*_TABLE is attribute 1 in messages of tables, chains, rules, sets, elements and objects alike. */
const NFTA_TABLE = 1;
const NFTA_GEN = { id: 1, pid: 2, name: 3 } as const;

export type NfTablesEvent =
  /** Something of a table changed; the generation follows. */
  | { readonly kind: 'table'; readonly table: string }
  /** A transaction is complete; `pid` and `program` made it. */
  | { readonly kind: 'generation'; readonly id: number; readonly pid: number; readonly program: string };

/** Reads one notification; undefined for what is none of nf_tables. */
export function readNfTablesEvent({ type, payload }: Message): NfTablesEvent | undefined {
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES) return undefined;
  if ((type & 0xff) !== NFT_MSG_NEWGEN) {
    let table = '';
    eachAttribute(payload, NFGENMSG_LENGTH, (attributeType, value) => {
      if (attributeType === NFTA_TABLE) table = textOf(value);
    });
    return { kind: 'table', table };
  }
  let [id, pid, program] = [0, 0, ''];
  eachAttribute(payload, NFGENMSG_LENGTH, (attributeType, value) => {
    if (attributeType === NFTA_GEN.id) id = value.readUInt32BE(0);
    else if (attributeType === NFTA_GEN.pid) pid = value.readUInt32BE(0);
    else if (attributeType === NFTA_GEN.name) program = textOf(value);
  });
  return { kind: 'generation', id, pid, program };
}
