/**
 * A socket of nf_tables that stays open. Closing one waits until the kernel has let go of all that was deleted lately (nft_rcv_nl_event() in
 * net/netfilter/nf_tables_api.c, for RCU): some 15 ms in which this process does nothing else. The transaction itself does not wait.
 */
import { NETLINK_NETFILTER } from './nf-tables-header.js';
import { NetlinkSocket } from './socket.js';

export class KeptSocket {
  #socket: NetlinkSocket | undefined;

  /** Lends it. After an error there is another one: what the kernel still says about what failed is nobody's. */
  async lend<T>(use: (socket: NetlinkSocket) => Promise<T>): Promise<T> {
    const socket = (this.#socket ??= new NetlinkSocket(NETLINK_NETFILTER));
    try {
      return await use(socket);
    } catch (error) {
      if (this.#socket === socket) this.#socket = undefined;
      socket.close();
      throw error;
    }
  }
}
