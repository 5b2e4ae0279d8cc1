/**
 * Runs in a host's namespace: tells when the kernel was seen to hold a version of the policy. Each version has a marker, an
 * address that one port alone may send from; its element in a set of own addresses is committed together with all the rest
 * (nftables), or last of all (iptables, whose table beside it is written at the end).
 *
 * It tells as well when somebody opened our table, and when that was closed and mended: the table gone or dormant, or a rule in it that
 * says in its comment that it is foreign. What is loaded into a table that was gone is whole when there is a marker in it; a change that was
 * under way when the table was made dormant wakes nothing.
 *
 * One JSON line for each transaction of nf_tables with any of these. Ends when a notice is lost; whoever started it begins anew.
 */
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { eachAttribute, messagesOf, textOf, type Message } from '../../../agent/netlink/message.js';
import { NETLINK_NETFILTER } from '../../../agent/netlink/nf-tables-header.js';
import { NF_TABLES_GROUP, readNfTablesEvent } from '../../../agent/netlink/nf-tables.js';
import type { Notice } from './disturbances.js';
import { FOREIGN } from './foreigners.js';
import { MARKER, versionOfMarker } from './marker.js';

export interface Sighting {
  readonly version: number;
  /** When the notice was read, on the clock that all processes share, in milliseconds: the commit was before. */
  readonly at: number;
  /** Of the process that made the transaction. */
  readonly pid: number;
}

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, _DELTABLE, _NEWRULE, _DELRULE, _NEWSETELEM (linux/netfilter/nf_tables.h) */
const [NEW_TABLE, DELETE_TABLE, NEW_RULE, DELETE_RULE, NEW_ELEMENT] = [0, 2, 6, 8, 12].map((type) => (10 << 8) | type);
const [NFPROTO_INET, NFT_TABLE_F_DORMANT] = [1, 1];
/** NFTA_TABLE_NAME is NFTA_RULE_TABLE. */
const [NFTA_TABLE, NFTA_TABLE_FLAGS, NFTA_RULE_HANDLE, NFTA_RULE_USERDATA] = [1, 2, 3, 7];
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

/** What the transaction under way does to our table. */
interface Deed {
  isGone: boolean;
  isDormant: boolean;
  isMade: boolean;
  readonly came: Set<bigint>;
  readonly went: Set<bigint>;
}
const nothing = (): Deed => ({ isGone: false, isDormant: false, isMade: false, came: new Set(), went: new Set() });

let deed = nothing();
/** Our table was gone or dormant, and no version was loaded since. */
let isGone = false;
/** It is there and sees no packet, whatever is loaded into it. */
let isDormant = false;
/** Foreign rules in it. */
const foreign = new Set<bigint>();

function note({ type, payload }: Message): void {
  if (payload[0] !== NFPROTO_INET) return;
  let [table, flags, handle, isForeign] = ['', 0, 0n, false];
  eachAttribute(payload, NFGENMSG_LENGTH, (attribute, value) => {
    if (attribute === NFTA_TABLE) table = textOf(value);
    else if (attribute === NFTA_TABLE_FLAGS && type === NEW_TABLE) flags = value.readUInt32BE(0);
    else if (attribute === NFTA_RULE_HANDLE && value.length === 8) handle = value.readBigUInt64BE(0);
    else if (attribute === NFTA_RULE_USERDATA) isForeign = value.includes(`${FOREIGN}\0`);
  });
  if (table !== 'portcullis') return;
  const sleeps = (flags & NFT_TABLE_F_DORMANT) !== 0;
  if (type === DELETE_TABLE) [deed.isGone, deed.isDormant, deed.isMade] = [true, false, false];
  else if (type === NEW_TABLE) [deed.isDormant, deed.isMade] = [sleeps, !sleeps];
  else if (type === NEW_RULE && isForeign) deed.came.add(handle);
  else if (type === DELETE_RULE) deed.went.add(handle);
}

/** What it says when it is committed, with a version in it or without. */
function noticeOf(
  { isGone: isDeleted, isDormant: sleeps, isMade, came, went }: Deed,
  holdsVersion: boolean,
): Notice['what'] | undefined {
  const wasGone = isGone;
  const goes = isDeleted || sleeps;
  if (goes || isMade) isDormant = sleeps;
  const hadForeign = foreign.size > 0;
  for (const handle of came) foreign.add(handle);
  for (const handle of went) foreign.delete(handle);
  if (goes) foreign.clear();
  isGone = (wasGone || goes) && (isDormant || !holdsVersion);
  if (isGone) return isMade ? 'closed' : goes ? 'opened' : undefined;
  if (wasGone) return 'healed';
  if (came.size > 0) return 'opened';
  return hadForeign && foreign.size === 0 ? 'healed' : undefined;
}

const socket = new RawNetlinkSocket(NETLINK_NETFILTER, {
  messagePeeking: false,
  msgBufferSize: 256 * 1024,
  recvBufferSize: 16 * 1024 * 1024,
  sendBufferSize: 64 * 1024,
});
const give = (why: unknown): void => {
  process.stderr.write(`the witness ends: ${String(why)}\n`);
  process.exit(1);
};
const tell = (seen: Sighting | Notice): void => {
  process.stdout.write(`${JSON.stringify(seen)}\n`);
};
let versions: number[] = [];
socket.on('message', (datagram) => {
  const at = Number(process.hrtime.bigint() / 1000n) / 1000;
  for (const message of messagesOf(datagram)) {
    versions.push(...markersOf(message));
    note(message);
    const event = readNfTablesEvent(message);
    if (event?.kind !== 'generation') continue;
    const [version] = versions;
    versions = [];
    const what = noticeOf(deed, version !== undefined);
    deed = nothing();
    if (what !== undefined) tell({ what, at });
    if (version !== undefined) tell({ version, at, pid: event.pid });
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
