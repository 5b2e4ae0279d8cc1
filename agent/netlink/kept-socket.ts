/**
 * A socket of nf_tables that stays open. Closing one waits until the kernel has let go of all that was deleted lately (nft_rcv_nl_event() in
 * net/netfilter/nf_tables_api.c, for RCU): some 15 ms in which this process does nothing else. The transaction itself does not wait.
 */
import { NETLINK_NETFILTER } from './nf-tables-header.js';
import { NetlinkSocket } from './socket.js';

interface Lent {
  readonly socket: NetlinkSocket;
  users: number;
}

export class KeptSocket {
  #kept: Lent | undefined;

  /** @param make another one, where none is there. */
  constructor(private readonly make = () => new NetlinkSocket(NETLINK_NETFILTER)) {}

  /**
   * Lends it, to several at once if need be. After an error who comes next gets another one: what the kernel still says about what failed is
   * nobody's. Those who have it go on.
   */
  async lend<T>(use: (socket: NetlinkSocket) => Promise<T>): Promise<T> {
    const lent = (this.#kept ??= { socket: this.make(), users: 0 });
    lent.users++;
    try {
      return await use(lent.socket);
    } catch (error) {
      if (this.#kept === lent) this.#kept = undefined;
      throw error;
    } finally {
      if (--lent.users === 0 && this.#kept !== lent) lent.socket.close();
    }
  }
}
