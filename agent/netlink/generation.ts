/** The generation of nf_tables (NFT_MSG_GETGEN): it counts the transactions of a network namespace. */
import { eachAttribute } from './message.js';
import { NETLINK_NETFILTER, NFGENMSG_LENGTH, NFNL_SUBSYS_NFTABLES, NFT_MSG } from './nf-tables-header.js';
import { NetlinkSocket } from './socket.js';

const GET_GENERATION = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG.NFT_MSG_GETGEN;
const NFTA_GEN_ID = 1;

/** The number of the last transaction, 32 bits that begin anew. Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). */
export async function readGeneration(): Promise<number> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  let id: number | undefined;
  try {
    await socket.request(GET_GENERATION, Buffer.alloc(NFGENMSG_LENGTH), (payload) => {
      eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
        if (type === NFTA_GEN_ID) id = value.readUInt32BE(0);
      });
    });
  } finally {
    socket.close();
  }
  if (id === undefined) throw new Error('netlink: the kernel does not say its generation');
  return id;
}
