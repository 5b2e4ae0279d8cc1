/** Dumps of nf_tables: all objects of a kind, as the kernel tells of them. */
import { constants } from 'node:os';
import { NETLINK_NETFILTER, NFGENMSG_LENGTH, NFNL_SUBSYS_NFTABLES } from './nf-tables-header.js';
import { NetlinkError, NetlinkSocket } from './socket.js';

const { ENOENT } = constants.errno;

/**
 * Rejects with NetlinkError (EPERM without CAP_NET_ADMIN). A socket takes one dump at a time.
 * @param message of enum nf_tables_msg_types.
 * @param attributes that say of what.
 * @param read is given each object's message.
 * @returns none where that is not there.
 */
export async function dump<T>(
  socket: NetlinkSocket,
  message: number,
  family: number,
  attributes: readonly Buffer[],
  read: (payload: Buffer) => T,
): Promise<readonly T[]> {
  const header = Buffer.alloc(NFGENMSG_LENGTH);
  header[0] = family;
  let objects: T[] = [];
  const start = (): void => {
    objects = [];
  };
  try {
    const request = Buffer.concat([header, ...attributes]);
    await socket.dump((NFNL_SUBSYS_NFTABLES << 8) | message, request, start, (payload) => {
      objects.push(read(payload));
    });
    return objects;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ENOENT) return [];
    throw error;
  }
}

/** As {@link dump}, by a socket of its own. */
export async function dumpAlone<T>(
  message: number,
  family: number,
  attributes: readonly Buffer[],
  read: (payload: Buffer) => T,
): Promise<readonly T[]> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    return await dump(socket, message, family, attributes, read);
  } finally {
    socket.close();
  }
}
