/** Frames as bytes, with the checksums that connection tracking looks at. */
import { crc32c } from './crc32c.js';
import type { Frame, IpPacket, Prefix, Transport } from '../../../compiler/model/index.js';

export interface WireFrame {
  readonly frame: Frame;
  readonly destinationMac: string;
  /** 1-65535: IPv4 identification, IPv6 flow label, or the low half of an ARP target address. */
  readonly token: number;
  /** TCP flags (RFC 9293); SYN when absent. */
  readonly tcpFlags?: number;
  /** Send the packet as two IP fragments. */
  readonly fragmented?: boolean;
}

export const TCP = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

/** The frame in hexadecimal; an IP packet in two fragments when that is asked for. */
export function frameHexes(wire: WireFrame): readonly string[] {
  const { payload } = wire.frame;
  if (wire.fragmented !== true || payload.kind !== 'ip') return [frameHex(wire)];
  const body = transportBytes(payload, wire);
  const parts = [body.subarray(0, FIRST_FRAGMENT), body.subarray(FIRST_FRAGMENT)];
  return parts.map((part, index) => {
    const offset = index === 0 ? 0 : FIRST_FRAGMENT / 8;
    return frameHex(wire, ipFragment(payload, wire, part, offset, index < parts.length - 1));
  });
}

/** Bytes of the transport in the first fragment: its ports and no more. A multiple of 8. */
const FIRST_FRAGMENT = 8;

/** An IP packet that carries a part of the transport (RFC 791, 3.2; RFC 8200, 4.5). `offset` counts 8 bytes. */
function ipFragment(packet: IpPacket, wire: WireFrame, part: Buffer, offset: number, more: boolean): Buffer {
  const { protocol } = packet.transport;
  if (packet.source.family === 'IPv4') {
    return ipv4Packet(packet, wire.token, protocol, part, offset | (more ? 0x2000 : 0));
  }
  const header = Buffer.concat([
    Buffer.from([protocol, 0]),
    numberBytes((offset << 3) | (more ? 1 : 0), 2),
    numberBytes(wire.token, 4),
  ]);
  return ipv6Packet(packet, wire.token, IPV6_FRAGMENT, Buffer.concat([header, part]));
}

const IPV6_FRAGMENT = 44;

/** The frame in hexadecimal. */
export function frameHex(wire: WireFrame, payload: Buffer = payloadBytes(wire)): string {
  const { frame, destinationMac } = wire;
  const addresses = Buffer.concat([macBytes(destinationMac), macBytes(frame.sourceMac)]);
  const tags = frame.vlanTags.map((id) => Buffer.from([0x81, 0x00, id >> 8, id & 0xff]));
  const type = numberBytes(etherType(frame), 2);
  // LLC/SNAP (IEEE 802.2): a length, then AA AA 03, three zero bytes of OUI and the type.
  const head = frame.snap
    ? Buffer.concat([numberBytes(payload.length + 8, 2), Buffer.from('aaaa03000000', 'hex'), type])
    : type;
  return Buffer.concat([addresses, ...tags, head, payload]).toString('hex');
}

function etherType({ payload }: Frame): number {
  switch (payload.kind) {
    case 'ip':
      return payload.source.family === 'IPv4' ? 0x0800 : 0x86dd;
    case 'arp':
      return 0x0806;
    case 'rarp':
      return 0x8035;
    case 'other':
      return payload.etherType;
  }
}

function payloadBytes(wire: WireFrame): Buffer {
  const { payload, sourceMac } = wire.frame;
  switch (payload.kind) {
    case 'ip':
      return ipBytes(payload, wire);
    case 'arp':
      return arpBytes(payload.operation, payload.senderMac, payload.senderIp, wire.token);
    case 'rarp':
      return Buffer.concat([
        Buffer.from('00010800060400 03'.replace(' ', ''), 'hex'),
        macBytes(sourceMac),
        Buffer.alloc(4),
        macBytes(sourceMac),
        Buffer.alloc(4),
      ]);
    case 'other':
      return Buffer.alloc(46);
  }
}

/** Targets of ARP are 240.0.x.y with the token in x.y: nobody's address. */
function arpBytes(operation: number, senderMac: string, senderIp: Prefix, token: number): Buffer {
  return Buffer.concat([
    Buffer.from('000108000604', 'hex'),
    numberBytes(operation, 2),
    macBytes(senderMac),
    addressBytes(senderIp),
    Buffer.alloc(6),
    numberBytes(0xf0000000 + token, 4),
  ]);
}

function ipBytes(packet: IpPacket, wire: WireFrame): Buffer {
  const body = transportBytes(packet, wire);
  const { protocol } = packet.transport;
  return packet.source.family === 'IPv6'
    ? ipv6Packet(packet, wire.token, protocol, body)
    : ipv4Packet(packet, wire.token, protocol, body, 0);
}

function ipv6Packet({ source, destination }: IpPacket, token: number, nextHeader: number, body: Buffer): Buffer {
  const head = Buffer.from([0x60, 0, 0, 0, 0, 0, nextHeader, 255]);
  head.writeUInt16BE(token, 2);
  head.writeUInt16BE(body.length, 4);
  return Buffer.concat([head, addressBytes(source), addressBytes(destination), body]);
}

function ipv4Packet(
  { source, destination }: IpPacket,
  token: number,
  protocol: number,
  body: Buffer,
  flagsAndOffset: number,
): Buffer {
  const head = Buffer.concat([
    Buffer.from([0x45, 0]),
    numberBytes(20 + body.length, 2),
    numberBytes(token, 2),
    numberBytes(flagsAndOffset, 2),
    Buffer.from([64, protocol, 0, 0]),
    addressBytes(source),
    addressBytes(destination),
  ]);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, body]);
}

/** Where each transport has its checksum, and of how many bytes it is where not of all. */
const CHECKSUMS: ReadonlyMap<number, { readonly at: number; readonly coverage?: number }> = new Map([
  [1, { at: 2 }],
  [6, { at: 16 }],
  [17, { at: 6 }],
  [33, { at: 6 }],
  [58, { at: 2 }],
  [136, { at: 6, coverage: 8 }],
]);
const ICMP = 1;
const SCTP = 132;

function transportBytes(packet: IpPacket, wire: WireFrame): Buffer {
  const body = withoutChecksum(packet.transport, wire);
  const { protocol } = packet.transport;
  // RFC 9260, 6.8 and appendix A: in the order of the bytes as they are computed.
  if (protocol === SCTP && body.length >= 12) body.writeUInt32LE(crc32c(body), 8);
  const where = CHECKSUMS.get(protocol);
  if (where === undefined || packet.transport.kind === 'other') return body;
  const covered = body.subarray(0, where.coverage ?? body.length);
  // Of no pseudo-header in ICMP (RFC 792); ICMPv6 has one (RFC 4443, 2.3).
  const head = protocol === ICMP ? Buffer.alloc(0) : pseudoHeader(packet, body.length);
  // 0 says that there is none (RFC 768).
  body.writeUInt16BE(checksum(Buffer.concat([head, covered])) || 0xffff, where.at);
  return body;
}

/** RFC 9293, 3.1 and RFC 8200, 8.1. */
function pseudoHeader({ source, destination, transport }: IpPacket, length: number): Buffer {
  const ends = [addressBytes(source), addressBytes(destination)];
  return source.family === 'IPv4'
    ? Buffer.concat([...ends, Buffer.from([0, transport.protocol]), numberBytes(length, 2)])
    : Buffer.concat([...ends, numberBytes(length, 4), Buffer.from([0, 0, 0, transport.protocol])]);
}

function withoutChecksum(transport: Transport, { tcpFlags }: WireFrame): Buffer {
  switch (transport.kind) {
    case 'ports': {
      const ports = Buffer.concat([numberBytes(transport.sourcePort, 2), numberBytes(transport.destinationPort, 2)]);
      switch (transport.protocol) {
        case 6:
          return Buffer.concat([ports, Buffer.alloc(8), Buffer.from([0x50, tcpFlags ?? TCP.syn]), Buffer.alloc(6)]);
        case 17:
          return Buffer.concat([ports, numberBytes(16, 2), Buffer.alloc(10)]);
        case 136:
          // Checksum coverage 8: the header alone (RFC 3828).
          return Buffer.concat([ports, numberBytes(8, 2), Buffer.alloc(10)]);
        case 33:
          // A DCCP request with data offset 5 (RFC 4340).
          return Buffer.concat([ports, Buffer.from([5, 0, 0, 0, 1]), Buffer.alloc(11)]);
        case 132:
          // An INIT chunk of 20 bytes, verification tag 0 (RFC 9260, 3.3.2).
          return Buffer.concat([
            ports,
            Buffer.alloc(8),
            Buffer.from('0100001400000001000100000001000100000001', 'hex'),
          ]);
      }
      break;
    }
    case 'icmp': {
      const head = Buffer.from([transport.type, transport.code, 0, 0, 0, 0, 0, 0]);
      // Zeros would be a target, too.
      return transport.target === undefined ? head : Buffer.concat([head, addressBytes(transport.target)]);
    }
    case 'other':
      return Buffer.alloc(16);
  }
}

/** The Internet checksum (RFC 1071). */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (const [offset, byte] of bytes.entries()) sum += offset % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function addressBytes({ family, network }: Prefix): Buffer {
  return Buffer.from(network.toString(16).padStart(family === 'IPv4' ? 8 : 32, '0'), 'hex');
}

function numberBytes(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}
