/**
 * The watching process: reads notifications of links and of nf_tables, passes on what matters, and closes what somebody opens.
 *
 * A process of its own, because a receive buffer that overruns aborts it from native code (netlink 0.3): here that is
 * harmless. Its parent starts another, which lists everything anew. It ends with its parent.
 */
// Its lowest layer alone: the rest (nl80211, WireGuard, ...) takes a third of a small program's start.
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { LINK_GROUP, listLinks, NETLINK_ROUTE, readLink, RTM_DELLINK, RTM_NEWLINK } from '../netlink/links.js';
import { messagesOf } from '../netlink/message.js';
import { NETLINK_NETFILTER } from '../netlink/nf-tables-header.js';
import { NF_TABLES_GROUP, readNfTablesEvent } from '../netlink/nf-tables.js';
import { Closer } from './closer.js';
import { BEAT_MS, type WatchEvent, type WatchOrder } from './events.js';
import { iptablesTouch, type IptablesTouch } from './iptables.js';

/** Bursts of thousands of devices or elements must fit; needs CAP_NET_ADMIN to go beyond the system's limit. */
const RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024;

function tell(event: WatchEvent): void {
  process.send?.(event);
}

function subscribe(protocol: number, group: number, onDatagram: (datagram: Buffer) => void): void {
  const socket = new RawNetlinkSocket(protocol, {
    messagePeeking: false,
    msgBufferSize: 256 * 1024,
    recvBufferSize: RECEIVE_BUFFER_BYTES,
    sendBufferSize: 64 * 1024,
  });
  const give = (why: unknown): void => {
    process.stderr.write(`watching ended: ${String(why)}\n`);
    process.exit(1);
  };
  socket.on('message', (datagram) => {
    try {
      onDatagram(datagram);
    } catch (error) {
      give(error);
    }
  });
  socket.on('truncatedMessage', () => {
    give('a notification did not fit');
  });
  socket.on('error', give);
  socket.addMembership(group);
  socket.ref();
}

function watchTables(): void {
  const closer = new Closer(tell);
  // The messages are our own agent's, of the same version.
  process.on('message', (order) => {
    closer.obey(order as WatchOrder);
  });
  /** What the transaction under way does to rules of ours in iptables-nft. */
  let iptables: IptablesTouch | undefined;
  subscribe(NETLINK_NETFILTER, NF_TABLES_GROUP, (datagram) => {
    for (const message of messagesOf(datagram)) {
      const event = readNfTablesEvent(message);
      if (event === undefined) continue;
      closer.hear(event);
      if (event.kind === 'table') {
        const touch = iptablesTouch(event);
        if (iptables !== 'gone') iptables = touch ?? iptables;
        continue;
      }
      const { id, portId, pid, program } = event;
      if (iptables !== undefined) {
        const change = { generation: id, portId, pid, program, isGone: iptables === 'gone' };
        tell({ kind: 'iptables-changed', change });
      }
      iptables = undefined;
    }
  });
}

async function watchLinks(): Promise<void> {
  // Subscribed first: what changes during the dump is told after it, so that nothing is lost between both.
  let early: WatchEvent[] | undefined = [];
  subscribe(NETLINK_ROUTE, LINK_GROUP, (datagram) => {
    for (const message of messagesOf(datagram)) {
      const link = message.type === RTM_NEWLINK || message.type === RTM_DELLINK ? readLink(message) : undefined;
      if (link === undefined) continue;
      const event: WatchEvent =
        message.type === RTM_NEWLINK ? { kind: 'link', link } : { kind: 'link-gone', index: link.index };
      if (early === undefined) tell(event);
      else early.push(event);
    }
  });
  const links = await listLinks();
  tell({ kind: 'links', links });
  for (const event of early) tell(event);
  early = undefined;
}

process.on('disconnect', () => process.exit(0));
// The agent is asked to stop, not we: we end with it.
process.on('SIGTERM', () => undefined);
process.on('SIGINT', () => undefined);
watchTables();
await watchLinks();
setInterval(() => {
  tell({ kind: 'alive' });
}, BEAT_MS);
