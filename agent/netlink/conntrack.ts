/** Connection tracking over netlink (linux/netfilter/nfnetlink_conntrack.h): flows are listed, and marked. */
import { constants } from 'node:os';
import { makePrefix, type Family, type Prefix } from '../../compiler/model/index.js';
import { attribute } from './message.js';
import { NETLINK_NETFILTER, NFGENMSG_LENGTH } from './nf-tables-header.js';
import { NetlinkError, NetlinkSocket } from './socket.js';

/** NFNL_SUBSYS_CTNETLINK in the high byte; IPCTNL_MSG_CT_NEW, _GET and _GET_STATS in the low one. */
const CT_NEW = 0x100;
const CT_GET = 0x101;
const CT_GET_STATS = 0x105;
const { ENOENT } = constants.errno;
const AF_INET = 2;
const AF_INET6 = 10;

/** enum ctattr_type */
const CTA = { tupleOriginal: 1, tupleReply: 2, mark: 8, tupleMaster: 14, zone: 18, markMask: 21 } as const;
/** enum ctattr_tuple */
const CTA_TUPLE = { ip: 1, proto: 2 } as const;
/** enum ctattr_ip */
const CTA_IP = { v4Source: 1, v4Destination: 2, v6Source: 3, v6Destination: 4 } as const;
/** enum ctattr_l4proto */
const CTA_PROTO = { number: 1, sourcePort: 2, destinationPort: 3, type: 5, code: 6, type6: 8, code6: 9 } as const;

/** Marks go out in groups, so that the answers for flows that are gone fit the socket's buffer. */
const MARKS_AT_ONCE = 500;

/** One direction of a flow. */
export interface FlowTuple {
  readonly source: Prefix;
  readonly destination: Prefix;
  /** IANA number. */
  readonly protocol: number;
  /** 0 where the protocol has none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Undefined where the protocol is no ICMP. */
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
}

export interface Flow {
  readonly family: Family;
  readonly zone: number;
  readonly mark: number;
  /** As the first packet was, before any address translation. */
  readonly original: FlowTuple;
  /** As an answer is, after any address translation. */
  readonly reply: FlowTuple;
  /** True when the flow was expected by another one (a data connection of FTP). */
  readonly isExpected: boolean;
  /** What names the flow to the kernel. */
  readonly identity: Buffer;
}

/** An address as it is looked up: a number for IPv4, 16 characters for IPv6. */
export type AddressKey = number | string;

/** The key of an exact address. */
export function addressKey({ family, network }: Prefix): AddressKey {
  return family === 'IPv4'
    ? Number(network)
    : Buffer.from(network.toString(16).padStart(32, '0'), 'hex').toString('latin1');
}

export class Conntrack {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);

  /**
   * Lists the flows that have an address of interest, of both families and all zones.
   * @param isWanted asked for each of a flow's four addresses.
   */
  async flows(isWanted: (address: AddressKey) => boolean): Promise<readonly Flow[]> {
    let flows: Flow[] = [];
    const start = (): void => {
      flows = [];
    };
    await this.#socket.dump(CT_GET, Buffer.alloc(NFGENMSG_LENGTH), start, (payload) => {
      const flow = readFlow(payload, isWanted);
      if (flow !== undefined) flows.push(flow);
    });
    return flows;
  }

  /** Whether the kernel answers for flows at all. Rejects with NetlinkError where it has no connection tracking over netlink. */
  async ask(): Promise<void> {
    await this.#socket.request(CT_GET_STATS, Buffer.alloc(NFGENMSG_LENGTH));
  }

  /**
   * Sets bits of flows' marks; the other bits stay.
   * @param set true to set the bits, false to clear them.
   * @returns how many flows were still there.
   */
  async mark(flows: readonly Flow[], bits: number, set: boolean): Promise<number> {
    let marked = 0;
    for (let at = 0; at < flows.length; at += MARKS_AT_ONCE) {
      const some = flows.slice(at, at + MARKS_AT_ONCE).map((flow) => markPayload(flow, bits, set));
      for (const errno of await this.#socket.requests(CT_NEW, some)) {
        if (errno === 0) marked++;
        else if (errno !== ENOENT) throw new NetlinkError('a flow’s mark: refused', errno);
      }
    }
    return marked;
  }

  close(): void {
    this.#socket.close();
  }
}

function markPayload(flow: Flow, bits: number, set: boolean): Buffer {
  const header = Buffer.alloc(NFGENMSG_LENGTH);
  header[0] = flow.family === 'IPv4' ? AF_INET : AF_INET6;
  return Buffer.concat([
    header,
    flow.identity,
    attribute(CTA.zone, bigEndian16(flow.zone)),
    attribute(CTA.mark, bigEndian32(set ? bits : 0)),
    attribute(CTA.markMask, bigEndian32(bits)),
  ]);
}

function bigEndian16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function bigEndian32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A range of bytes; `at` 0 where there is none. Plain offsets: hundreds of thousands of flows are read at once. */
interface Span {
  readonly at: number;
  readonly end: number;
}

const NONE: Span = { at: 0, end: 0 };

/** The value of the first attribute of a type between two offsets. */
function find(bytes: Buffer, within: Span, type: number): Span {
  let at = within.at;
  while (at + 4 <= within.end) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > within.end) return NONE;
    if ((bytes.readUInt16LE(at + 2) & 0x3fff) === type) return { at: at + 4, end: at + length };
    at += (length + 3) & ~3;
  }
  return NONE;
}

function readFlow(payload: Buffer, isWanted: (address: AddressKey) => boolean): Flow | undefined {
  const family = payload[0] === AF_INET ? 'IPv4' : payload[0] === AF_INET6 ? 'IPv6' : undefined;
  if (family === undefined) return undefined;
  const all: Span = { at: NFGENMSG_LENGTH, end: payload.length };
  const [original, reply] = [find(payload, all, CTA.tupleOriginal), find(payload, all, CTA.tupleReply)];
  if (original.at === 0 || reply.at === 0) return undefined;
  const isOfInterest = [original, reply].some((tuple) => {
    const ip = find(payload, tuple, CTA_TUPLE.ip);
    return isWanted(keyAt(payload, ip, family, 'source')) || isWanted(keyAt(payload, ip, family, 'destination'));
  });
  if (!isOfInterest) return undefined;
  const [zone, mark] = [find(payload, all, CTA.zone), find(payload, all, CTA.mark)];
  return {
    family,
    zone: zone.at === 0 ? 0 : payload.readUInt16BE(zone.at),
    mark: mark.at === 0 ? 0 : payload.readUInt32BE(mark.at),
    original: readTuple(payload, original, family),
    reply: readTuple(payload, reply, family),
    isExpected: find(payload, all, CTA.tupleMaster).at !== 0,
    // The attribute with its header; a copy, since the datagram is large and must not be kept.
    identity: Buffer.from(payload.subarray(original.at - 4, original.end)),
  };
}

function addressAt(bytes: Buffer, ip: Span, family: Family, end: 'source' | 'destination'): Span {
  if (family === 'IPv4') return find(bytes, ip, end === 'source' ? CTA_IP.v4Source : CTA_IP.v4Destination);
  return find(bytes, ip, end === 'source' ? CTA_IP.v6Source : CTA_IP.v6Destination);
}

function keyAt(bytes: Buffer, ip: Span, family: Family, end: 'source' | 'destination'): AddressKey {
  const { at, end: last } = addressAt(bytes, ip, family, end);
  return family === 'IPv4' ? bytes.readUInt32BE(at) : bytes.toString('latin1', at, last);
}

function readTuple(bytes: Buffer, tuple: Span, family: Family): FlowTuple {
  const ip = find(bytes, tuple, CTA_TUPLE.ip);
  const proto = find(bytes, tuple, CTA_TUPLE.proto);
  const prefix = (end: 'source' | 'destination'): Prefix => {
    const { at, end: last } = addressAt(bytes, ip, family, end);
    const number = BigInt(`0x${bytes.toString('hex', at, last) || '0'}`);
    return makePrefix(family, number, family === 'IPv4' ? 32 : 128);
  };
  const byte = (type: number): number | undefined => {
    const { at } = find(bytes, proto, type);
    return at === 0 ? undefined : bytes[at];
  };
  const port = (type: number): number => {
    const { at } = find(bytes, proto, type);
    return at === 0 ? 0 : bytes.readUInt16BE(at);
  };
  const type = byte(family === 'IPv4' ? CTA_PROTO.type : CTA_PROTO.type6);
  const code = byte(family === 'IPv4' ? CTA_PROTO.code : CTA_PROTO.code6);
  return {
    source: prefix('source'),
    destination: prefix('destination'),
    protocol: byte(CTA_PROTO.number) ?? 0,
    sourcePort: port(CTA_PROTO.sourcePort),
    destinationPort: port(CTA_PROTO.destinationPort),
    icmp: type === undefined || code === undefined ? undefined : { type, code },
  };
}
