/** Messages of the kernel as bytes; what they mean was recorded with strace(1) and is in the headers named in the code. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKey } from '../../../agent/netlink/conntrack.js';
import { readLink } from '../../../agent/netlink/links.js';
import { attribute, eachAttribute, messageBytes, messagesOf, nested, textOf } from '../../../agent/netlink/message.js';
import { readNfTablesEvent } from '../../../agent/netlink/nf-tables.js';
import { parseAddress } from '../../../compiler/model/index.js';

describe('messages', () => {
  it('are read as they were written, several in one datagram', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            type: fc.nat(0xffff),
            flags: fc.nat(0xffff),
            sequence: fc.nat(),
            payload: fc.uint8Array({ maxLength: 40 }),
          }),
        ),
        (written) => {
          const messages = written.map((one) => ({ ...one, portId: 0, payload: Buffer.from(one.payload) }));
          const aligned = messages.map((one) => {
            const bytes = messageBytes(one);
            return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
          });
          expect([...messagesOf(Buffer.concat(aligned))]).toEqual(messages);
        },
      ),
    );
  });

  it('that are cut off or lie about their length end the reading, without an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const { payload } of messagesOf(Buffer.from(bytes))) eachAttribute(payload, 0, () => undefined);
        readLink({ payload: Buffer.from(bytes) });
        readNfTablesEvent({ type: (10 << 8) | 15, flags: 0, sequence: 0, portId: 0, payload: Buffer.from(bytes) });
      }),
    );
  });

  it('nest attributes', () => {
    const seen: [number, string][] = [];
    eachAttribute(nested(3, attribute(1, Buffer.from('one\0')), attribute(2, Buffer.from('two'))), 0, (type, value) => {
      eachAttribute(value, 0, (inner, text) => seen.push([type * 10 + inner, textOf(text)]));
    });
    expect(seen).toEqual([
      [31, 'one'],
      [32, 'two'],
    ]);
  });
});

describe('links', () => {
  /** struct ifinfomsg: family, type, index, flags, change. */
  function payload(family: number, index: number, flags: number, ...attributes: readonly Buffer[]): Buffer {
    const header = Buffer.alloc(16);
    header[0] = family;
    header.writeInt32LE(index, 4);
    header.writeUInt32LE(flags, 8);
    return Buffer.concat([header, ...attributes]);
  }

  it('have a name, an alias, a bridge, a state and a kind', () => {
    const master = Buffer.alloc(4);
    master.writeUInt32LE(7);
    const bytes = payload(
      0,
      5,
      1,
      attribute(3, Buffer.from('tap0\0')),
      attribute(20, Buffer.from('port:x\0')),
      attribute(10, master),
      nested(18, attribute(1, Buffer.from('tun\0'))),
    );
    expect(readLink({ payload: bytes })).toEqual({
      index: 5,
      name: 'tap0',
      alias: 'port:x',
      master: 7,
      isUp: true,
      kind: 'tun',
    });
  });

  it('of a bridge’s own messages (AF_BRIDGE) say nothing new', () => {
    expect(readLink({ payload: payload(7, 5, 1, attribute(3, Buffer.from('tap0\0'))) })).toBeUndefined();
  });
});

it('addresses are keys that differ when they do', () => {
  const key = (text: string): unknown => {
    const parsed = parseAddress(text);
    return parsed === undefined ? undefined : addressKey(parsed);
  };
  expect(key('10.0.0.1')).toBe(0x0a000001);
  expect(key('255.255.255.255')).toBe(0xffffffff);
  expect(key('fd00::1')).toHaveLength(16);
  expect(key('fd00::1')).not.toBe(key('fd00::2'));
});
