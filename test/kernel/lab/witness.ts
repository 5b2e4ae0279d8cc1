/**
 * Runs in a host's namespace: tells when the kernel was seen to hold a version of the policy. Each version has a marker, an
 * address that one port alone may send from; its element in a set of own addresses is committed together with all the rest
 * (nftables), or last of all (iptables, whose table beside it is written at the end).
 *
 * One JSON line for each transaction of nf_tables with markers in it. Ends when a notice is lost; whoever started it begins anew.
 */
import netlink from 'netlink';
import { eachAttribute, messagesOf, textOf, type Message } from '../../../agent/netlink/message.js';
import { NETLINK_NETFILTER, NF_TABLES_GROUP, readNfTablesEvent } from '../../../agent/netlink/nf-tables.js';
import { MARKER, versionOfMarker } from './marker.js';

export interface Sighting {
  readonly version: number;
  /** When the notice was read, on the clock that all processes share, in milliseconds: the commit was before. */
  readonly at: number;
  /** Of the process that made the transaction. */
  readonly pid: number;
}

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM (linux/netfilter/nf_tables.h) */
const NEW_ELEMENT = (10 << 8) | 12;
const NFGENMSG_LENGTH = 4;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_DATA_VALUE = 1;
/** Of a key: the device's name, the MAC (padded), the address. */
const KEY = { device: 16, address: 24, length: 28 } as const;

/** The versions whose markers a message adds. */
function markersOf({ type, payload }: Message): readonly number[] {
  if (type !== NEW_ELEMENT) return [];
  const versions: number[] = [];
  inside(payload, NFGENMSG_LENGTH, NFTA_SET_ELEM_LIST_ELEMENTS, (elements) => {
    eachAttribute(elements, 0, (_type, element) => {
      inside(element, 0, NFTA_SET_ELEM_KEY, (data) => {
        inside(data, 0, NFTA_DATA_VALUE, (key) => {
          if (key.length !== KEY.length || textOf(key.subarray(0, KEY.device)) !== MARKER.device) return;
          const version = versionOfMarker(key.readUInt32BE(KEY.address));
          if (version !== undefined) versions.push(version);
        });
      });
    });
  });
  return versions;
}

function inside(bytes: Buffer, at: number, wanted: number, visit: (value: Buffer) => void): void {
  eachAttribute(bytes, at, (type, value) => {
    if (type === wanted) visit(value);
  });
}

const socket = new netlink.RawNetlinkSocket(NETLINK_NETFILTER, {
  messagePeeking: false,
  msgBufferSize: 256 * 1024,
  recvBufferSize: 16 * 1024 * 1024,
  sendBufferSize: 64 * 1024,
});
const give = (why: unknown): void => {
  process.stderr.write(`the witness ends: ${String(why)}\n`);
  process.exit(1);
};
let versions: number[] = [];
socket.on('message', (datagram) => {
  const at = Number(process.hrtime.bigint() / 1000n) / 1000;
  for (const message of messagesOf(datagram)) {
    versions.push(...markersOf(message));
    const event = readNfTablesEvent(message);
    if (event?.kind !== 'generation') continue;
    const [version] = versions;
    versions = [];
    if (version === undefined) continue;
    const sighting: Sighting = { version, at, pid: event.pid };
    process.stdout.write(`${JSON.stringify(sighting)}\n`);
  }
});
socket.on('truncatedMessage', () => {
  give('a notice did not fit');
});
socket.on('error', give);
socket.addMembership(NF_TABLES_GROUP);
socket.ref();
process.stdout.write('null\n');
process.stdin.on('close', () => process.exit(0)).resume();
