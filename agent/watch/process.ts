/**
 * The watching process: reads notifications of links and of nf_tables and passes on what matters.
 *
 * A process of its own, because a receive buffer that overruns aborts it from native code (netlink 0.3): here that is
 * harmless. Its parent starts another, which lists everything anew. It ends with its parent.
 */
import netlink from 'netlink';
import { TABLE_NAME, type TableFamily } from '../../compiler/index.js';
import { LINK_GROUP, listLinks, NETLINK_ROUTE, readLink, RTM_DELLINK, RTM_NEWLINK } from '../netlink/links.js';
import { messagesOf } from '../netlink/message.js';
import {
  DORMANT,
  NETLINK_NETFILTER,
  NF_TABLES_GROUP,
  readNfTablesEvent,
  type NfTablesEvent,
} from '../netlink/nf-tables.js';
import { BEAT, type Opened, type WatchEvent } from './events.js';
import { iptablesTouch, type IptablesTouch } from './iptables.js';

/** Bursts of thousands of devices or elements must fit; needs CAP_NET_ADMIN to go beyond the system's limit. */
const RECEIVE_BUFFER = 16 * 1024 * 1024;

const FAMILIES: readonly TableFamily[] = ['inet', 'arp', 'bridge'];
/** Without a rule of these chains devices may be open; what the others lack closes. */
const BASE_CHAINS = new Set(['egress', 'ingress']);

function tell(event: WatchEvent): void {
  process.send?.(event);
}

function subscribe(protocol: number, group: number, onDatagram: (datagram: Buffer) => void): void {
  const socket = new netlink.RawNetlinkSocket(protocol, {
    messagePeeking: false,
    msgBufferSize: 256 * 1024,
    recvBufferSize: RECEIVE_BUFFER,
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
  /** What the transaction under way does to tables of ours, by family; undefined while it touches none. */
  let opened: Map<TableFamily, Opened['how'] | 'touched'> | undefined;
  /** What it does to rules of ours in iptables-nft. */
  let iptables: IptablesTouch | undefined;
  subscribe(NETLINK_NETFILTER, NF_TABLES_GROUP, (datagram) => {
    for (const message of messagesOf(datagram)) {
      const event = readNfTablesEvent(message);
      if (event?.kind === 'table' && event.table === TABLE_NAME) {
        opened ??= new Map();
        const family = FAMILIES.find((one) => one === event.family);
        const how = openedBy(event.what);
        if (family !== undefined && how !== undefined) opened.set(family, how);
      } else if (event?.kind === 'table') {
        const touch = iptablesTouch(event);
        if (iptables !== 'gone') iptables = touch ?? iptables;
      } else if (event?.kind === 'generation') {
        const { id, portId, pid, program } = event;
        const committed = { generation: id, portId, pid, program };
        if (opened !== undefined) {
          const those = [...opened].flatMap(([family, how]) => (how === 'touched' ? [] : [{ family, how }]));
          tell({ kind: 'table-changed', change: { ...committed, opened: those } });
        }
        if (iptables !== undefined) {
          tell({ kind: 'iptables-changed', change: { ...committed, isGone: iptables === 'gone' } });
        }
        [opened, iptables] = [undefined, undefined];
      }
    }
  });
}

/** Undefined for what says nothing new of it. */
function openedBy(what: Extract<NfTablesEvent, { kind: 'table' }>['what']): Opened['how'] | 'touched' | undefined {
  switch (what.kind) {
    case 'table':
      return (what.flags & DORMANT) === 0 ? 'touched' : 'dormant';
    case 'table-gone':
      return 'gone';
    case 'rule-gone':
      return BASE_CHAINS.has(what.chain) ? 'gone' : undefined;
    case 'chain':
    case 'chain-gone':
    case 'rule':
    case 'other':
      return undefined;
  }
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
}, BEAT);
