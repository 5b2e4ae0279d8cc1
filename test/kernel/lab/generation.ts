/** Prints the generation id of nf_tables (NFT_MSG_GETGEN): it counts the transactions of a network namespace. */
import { eachAttribute } from '../../../agent/netlink/message.js';
import { NETLINK_NETFILTER } from '../../../agent/netlink/nf-tables.js';
import { NetlinkSocket } from '../../../agent/netlink/socket.js';

const NFT_MSG_GETGEN = (10 << 8) | 16;
const NFTA_GEN_ID = 1;

const socket = new NetlinkSocket(NETLINK_NETFILTER);
let id = 0;
await socket.request(NFT_MSG_GETGEN, Buffer.alloc(4), (payload) => {
  eachAttribute(payload, 4, (type, value) => {
    if (type === NFTA_GEN_ID) id = value.readUInt32BE(0);
  });
});
socket.close();
process.stdout.write(`${id.toString()}\n`);
