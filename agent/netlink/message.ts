/** Netlink messages and attributes (linux/netlink.h). Numbers of the host's byte order: little-endian on all we run on. */

export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP = 0x300;
/** In a request for something new: make it where it is not there; put it behind the others. In a notice: it was put there. */
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
/** In a dump: it was interrupted by a change and must be repeated. */
export const NLM_F_DUMP_INTR = 0x10;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const HEADER_LENGTH = 16;
export const ATTRIBUTE_HEADER_LENGTH = 4;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER, which are no part of the type. */
const TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Port id of the socket whose request this answers or tells of; 0 for the kernel's own. */
  readonly portId: number;
  readonly payload: Buffer;
}

/** The messages of one datagram. What is cut off at the end is left out. */
export function* messagesOf(datagram: Buffer): Iterable<Message> {
  let at = 0;
  while (at + HEADER_LENGTH <= datagram.length) {
    const length = datagram.readUInt32LE(at);
    if (length < HEADER_LENGTH || at + length > datagram.length) return;
    yield {
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      portId: datagram.readUInt32LE(at + 12),
      payload: datagram.subarray(at + HEADER_LENGTH, at + length),
    };
    at += align(length);
  }
}

/** Buffers are taken from a pool (`allocUnsafe`) and filled whole: a transaction is made of some hundred thousand small ones. */
export function messageBytes({ type, flags, sequence, payload }: Omit<Message, 'portId'>): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_LENGTH + payload.length);
  bytes.writeUInt32LE(HEADER_LENGTH + payload.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  bytes.writeUInt32LE(0, 12);
  payload.copy(bytes, HEADER_LENGTH);
  return bytes;
}

/** The value of the first attribute of a type from `at` on; undefined where there is none. */
export function findAttribute(bytes: Buffer, at: number, type: number): Buffer | undefined {
  let found: Buffer | undefined;
  walkAttributes(bytes, at, (one, start, end) => {
    if (one === type) found = bytes.subarray(start, end);
    return found === undefined;
  });
  return found;
}

/** The first attribute of a type from `at` on, a string; '' where there is none. */
export function findText(bytes: Buffer, at: number, type: number): string {
  const value = findAttribute(bytes, at, type);
  return value === undefined ? '' : textOf(value);
}

/** Calls `visit` with the type and the value of each attribute from `at` on. */
export function eachAttribute(bytes: Buffer, at: number, visit: (type: number, value: Buffer) => void): void {
  walkAttributes(bytes, at, (type, start, end) => {
    visit(type, bytes.subarray(start, end));
    return true;
  });
}

/** Calls `visit` with the type of each attribute from `at` on, and where its value is, until it returns false. */
export function walkAttributes(
  bytes: Buffer,
  at: number,
  visit: (type: number, start: number, end: number) => boolean,
): void {
  let position = at;
  while (position + ATTRIBUTE_HEADER_LENGTH <= bytes.length) {
    const length = bytes.readUInt16LE(position);
    if (length < ATTRIBUTE_HEADER_LENGTH || position + length > bytes.length) return;
    const type = bytes.readUInt16LE(position + 2) & TYPE_MASK;
    if (!visit(type, position + ATTRIBUTE_HEADER_LENGTH, position + length)) return;
    position += align(length);
  }
}

/**
 * Takes NLA_F_NESTED from all attributes, in place, down to those that do not have it: nf_tables tells of what it holds without.
 * @param end where they end.
 */
export function withoutNestedFlags(bytes: Buffer, at = 0, end = bytes.length): Buffer {
  for (let position = at; position + ATTRIBUTE_HEADER_LENGTH <= end;) {
    const length = bytes.readUInt16LE(position);
    if (length < ATTRIBUTE_HEADER_LENGTH) break;
    const type = bytes.readUInt16LE(position + 2);
    if ((type & NLA_F_NESTED) !== 0) {
      bytes.writeUInt16LE(type & TYPE_MASK, position + 2);
      withoutNestedFlags(bytes, position + ATTRIBUTE_HEADER_LENGTH, position + length);
    }
    position += align(length);
  }
  return bytes;
}

export function attribute(type: number, value: Buffer): Buffer {
  return attributeOf(type, value.length, [value]);
}

export function nested(type: number, ...children: readonly Buffer[]): Buffer {
  let length = 0;
  for (const child of children) length += child.length;
  return attributeOf(type | NLA_F_NESTED, length, children);
}

/** @param length of all parts together. */
function attributeOf(type: number, length: number, parts: readonly Buffer[]): Buffer {
  const end = ATTRIBUTE_HEADER_LENGTH + length;
  const bytes = Buffer.allocUnsafe(align(end));
  bytes.writeUInt16LE(end, 0);
  bytes.writeUInt16LE(type, 2);
  let at = ATTRIBUTE_HEADER_LENGTH;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes.fill(0, end);
  return bytes;
}

/** A string without the zero at its end. */
export function textOf(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}

/** Lengths are rounded up to four bytes (NLMSG_ALIGN, NLA_ALIGN). */
function align(length: number): number {
  return (length + 3) & ~3;
}

/** 32 bits in network byte order, as all numbers of nf_tables are. */
export function be32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

export function be64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** In this host's order. */
export function le32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
}

/** A string with the zero at its end. */
export function textBytes(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}
