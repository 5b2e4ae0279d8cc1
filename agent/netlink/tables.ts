/** Names of nf_tables tables (linux/netfilter/nf_tables.h), without the rest of what nft(8) reads for `list tables`. */
import { eachAttribute, textOf } from './message.js';
import { NETLINK_NETFILTER } from './nf-tables.js';
import { NetlinkSocket } from './socket.js';

/** NFNL_SUBSYS_NFTABLES in the high byte, NFT_MSG_GETTABLE in the low one. */
const GET_TABLE = (10 << 8) | 1;
const NFGENMSG_LENGTH = 4;
const NFTA_TABLE_NAME = 1;

/** NFPROTO_* of linux/netfilter.h, as nft(8) names them. */
const FAMILIES: ReadonlyMap<number, string> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [3, 'arp'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

/** `family name` of every table. Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). */
export async function listTables(): Promise<ReadonlySet<string>> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  const names = new Set<string>();
  const start = (): void => {
    names.clear();
  };
  try {
    await socket.dump(GET_TABLE, Buffer.alloc(NFGENMSG_LENGTH), start, (payload) => {
      const family = FAMILIES.get(payload[0] ?? 0) ?? 'unknown';
      eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
        if (type === NFTA_TABLE_NAME) names.add(`${family} ${textOf(value)}`);
      });
    });
    return names;
  } finally {
    socket.close();
  }
}
