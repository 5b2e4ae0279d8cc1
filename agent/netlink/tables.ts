/** Names and flags of nf_tables tables (linux/netfilter/nf_tables.h), without the rest of what nft(8) reads for `list tables`. */
import { eachAttribute, textOf } from './message.js';
import { FAMILIES, NETLINK_NETFILTER } from './nf-tables.js';
import { NetlinkSocket } from './socket.js';

/** NFNL_SUBSYS_NFTABLES in the high byte, NFT_MSG_GETTABLE in the low one. */
const GET_TABLE = (10 << 8) | 1;
const NFGENMSG_LENGTH = 4;
/** enum nft_table_attributes */
const NFTA_TABLE = { name: 1, flags: 2 } as const;

/** Flags of every table, by `family name`. Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). */
export async function listTables(): Promise<ReadonlyMap<string, number>> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  const tables = new Map<string, number>();
  const start = (): void => {
    tables.clear();
  };
  try {
    await socket.dump(GET_TABLE, Buffer.alloc(NFGENMSG_LENGTH), start, (payload) => {
      const family = FAMILIES.get(payload[0] ?? 0) ?? 'unknown';
      let name = '';
      let flags = 0;
      eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
        if (type === NFTA_TABLE.name) name = textOf(value);
        else if (type === NFTA_TABLE.flags) flags = value.readUInt32BE(0);
      });
      tables.set(`${family} ${name}`, flags);
    });
    return tables;
  } finally {
    socket.close();
  }
}
