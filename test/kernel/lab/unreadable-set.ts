/**
 * Makes, or removes, a table that nft 1.0.6 cannot read, as a newer program makes it: a set whose elements remember when they were
 * last seen (the kernel's expression `last`). nft dies of it, whatever it was asked for, so it cannot make or remove it.
 *
 * usage: unreadable-set.js make|remove
 */
import { applyMessages } from '../../../agent/kernel/netlink-load.js';
import { attribute, be32, nested, NLM_F_CREATE, textBytes } from '../../../agent/netlink/message.js';
import { addTable, removeTable } from '../../../agent/netlink/nf-tables-batch.js';
import {
  NFNL_SUBSYS_NFTABLES,
  NFPROTO,
  NFT_MSG,
  NFT_SET,
  NFTA_EXPR,
  NFTA_SET,
} from '../../../agent/netlink/nf-tables-header.js';

/** enum nft_set_attributes */
const NFTA_SET_EXPR = 17;
/** enum datatypes of nft(8) */
const TYPE_IPADDR = 7;

const TABLE = { family: 'inet', name: 'newer', sets: new Map(), chains: new Map() } as const;

const set = {
  about: 'a set of a newer kind',
  type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG.NFT_MSG_NEWSET,
  flags: NLM_F_CREATE,
  payload: Buffer.concat([
    Buffer.of(NFPROTO[TABLE.family], 0, 0, 0),
    attribute(NFTA_SET.NFTA_SET_TABLE, textBytes(TABLE.name)),
    attribute(NFTA_SET.NFTA_SET_NAME, textBytes('last_seen')),
    attribute(NFTA_SET.NFTA_SET_FLAGS, be32(NFT_SET.NFT_SET_EVAL)),
    attribute(NFTA_SET.NFTA_SET_KEY_TYPE, be32(TYPE_IPADDR)),
    attribute(NFTA_SET.NFTA_SET_KEY_LEN, be32(4)),
    attribute(NFTA_SET.NFTA_SET_ID, be32(1)),
    nested(NFTA_SET_EXPR, attribute(NFTA_EXPR.NFTA_EXPR_NAME, textBytes('last')), nested(NFTA_EXPR.NFTA_EXPR_DATA)),
  ]),
};

await applyMessages(process.argv[2] === 'make' ? [...addTable(TABLE), set] : removeTable(TABLE));
