/** Transactions of nf_tables over netlink, without the nft program: for what has to go in at once, and where nft fails. */
import { batchBytes, batchLength, type NfTablesMessage } from '../netlink/nf-tables-batch.js';
import { NETLINK_NETFILTER } from '../netlink/nf-tables-header.js';
import { NetlinkSocket } from '../netlink/socket.js';

/**
 * Applies messages as one transaction: all of it, or nothing. Rejects with NetlinkError.
 * @param onPort called before anything is sent, with the port id of the socket that will send it.
 */
export async function applyMessages(
  messages: readonly NfTablesMessage[],
  onPort: (portId: number) => void = () => undefined,
): Promise<void> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    onPort(socket.portId);
    await socket.batch(batchLength(messages), (first) => batchBytes(messages, first));
  } finally {
    socket.close();
  }
}
