/** The generation of nf_tables (NFT_MSG_GETGEN): it counts the transactions of a network namespace. */
import { KeptSocket } from './kept-socket.js';
import { eachAttribute } from './message.js';
import { NFGENMSG_LENGTH, NFNL_SUBSYS_NFTABLES, NFT_MSG } from './nf-tables-header.js';

const GET_GENERATION = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG.NFT_MSG_GETGEN;
const NFTA_GEN_ID = 1;

const SOCKET = new KeptSocket();

/** The number of the last transaction, 32 bits that begin anew. Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). */
export async function readGeneration(): Promise<number> {
  let id: number | undefined;
  await SOCKET.lend(async (socket) =>
    socket.request(GET_GENERATION, Buffer.alloc(NFGENMSG_LENGTH), (payload) => {
      eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
        if (type === NFTA_GEN_ID) id = value.readUInt32BE(0);
      });
    }),
  );
  if (id === undefined) throw new Error('netlink: the kernel does not say its generation');
  return id;
}
