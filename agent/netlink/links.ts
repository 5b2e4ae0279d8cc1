/** Network devices over netlink (rtnetlink(7), linux/if_link.h). */
import { eachAttribute, textOf, type Message } from './message.js';
import { NetlinkSocket } from './socket.js';

export const NETLINK_ROUTE = 0;
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
/** RTNLGRP_LINK */
export const LINK_GROUP = 1;

/** struct ifinfomsg: family, type, index, flags, change. */
const IFINFOMSG_LENGTH = 16;
/** enum in linux/if_link.h */
const IFLA = { name: 3, master: 10, linkInfo: 18, alias: 20 } as const;
const IFLA_INFO_KIND = 1;
const IFF_UP = 1;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Free text of the administrator (`ip link set dev X alias ...`); '' for none. */
  readonly alias: string;
  /** Index of the bridge or bond that it belongs to; 0 for none. */
  readonly master: number;
  readonly isUp: boolean;
  /** What made it: `tun` for taps, `veth`, `macvtap`, `bridge`; '' for hardware. */
  readonly kind: string;
}

/** All links of this network namespace. */
export async function listLinks(): Promise<readonly Link[]> {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  let links: Link[] = [];
  const start = (): void => {
    links = [];
  };
  try {
    await socket.dump(RTM_GETLINK, Buffer.alloc(IFINFOMSG_LENGTH), start, (payload) => {
      const link = readLink({ payload });
      if (link !== undefined) links.push(link);
    });
    return links;
  } finally {
    socket.close();
  }
}

/** Reads RTM_NEWLINK or RTM_DELLINK; undefined for messages of a bridge's port database, which name no new state. */
export function readLink({ payload }: Pick<Message, 'payload'>): Link | undefined {
  if (payload.length < IFINFOMSG_LENGTH || payload[0] !== 0) return undefined;
  let [name, alias, kind, master] = ['', '', '', 0];
  eachAttribute(payload, IFINFOMSG_LENGTH, (type, value) => {
    if (type === IFLA.name) name = textOf(value);
    else if (type === IFLA.alias) alias = textOf(value);
    else if (type === IFLA.linkInfo) {
      eachAttribute(value, 0, (infoType, info) => {
        if (infoType === IFLA_INFO_KIND) kind = textOf(info);
      });
    } else if (type === IFLA.master) master = value.readUInt32LE(0);
  });
  return { index: payload.readInt32LE(4), name, alias, kind, master, isUp: (payload.readUInt32LE(8) & IFF_UP) !== 0 };
}
