/** Which notices of nf_tables mean that our rules in iptables-nft are touched. */
import { expect, it } from 'vitest';
import { attribute, nested } from '../../../agent/netlink/message.js';
import { readNfTablesEvent } from '../../../agent/netlink/nf-tables.js';
import { iptablesTouch } from '../../../agent/watch/iptables.js';

/** NFPROTO_* and messages of linux/netfilter/nf_tables.h. */
const IP = 2;
const INET = 1;
const MESSAGE = { newTable: 0, deleteTable: 2, newChain: 3, deleteChain: 5, newRule: 6, deleteRule: 8, newSet: 9 };
const APPENDED = 0x800;

const text = (type: number, value: string): Buffer => attribute(type, Buffer.from(`${value}\0`));

function touch(family: number, message: number, attributes: readonly Buffer[], flags = 0): unknown {
  const payload = Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes]);
  const event = readNfTablesEvent({ type: (10 << 8) | message, flags, sequence: 0, portId: 0, payload });
  return event?.kind === 'table' ? iptablesTouch(event) : 'no event of a table';
}
const rule = (chain: string, target: string): readonly Buffer[] => [
  text(1, 'mangle'),
  text(2, chain),
  nested(4, nested(1, text(1, 'immediate'), text(2, target))),
];
const chain = (name: string): readonly Buffer[] => [text(1, 'mangle'), text(3, name)];

it.each([
  ['a rule of ours goes', touch(IP, MESSAGE.deleteRule, rule('pc-egress', 'x')), 'gone'],
  ['a jump to ours goes', touch(IP, MESSAGE.deleteRule, rule('PREROUTING', 'pc-egress')), 'gone'],
  ['a jump of others goes', touch(IP, MESSAGE.deleteRule, rule('PREROUTING', 'theirs')), undefined],
  ['a rule comes into our chain', touch(IP, MESSAGE.newRule, rule('pc-egress', 'x'), APPENDED), 'touched'],
  ['a rule comes before our jump', touch(IP, MESSAGE.newRule, rule('PREROUTING', 'x')), 'touched'],
  ['a rule comes behind our jump', touch(IP, MESSAGE.newRule, rule('PREROUTING', 'x'), APPENDED), undefined],
  ['a rule comes where we have none', touch(IP, MESSAGE.newRule, rule('theirs', 'x')), undefined],
  ['a chain of ours goes', touch(IP, MESSAGE.deleteChain, chain('pc-egress')), 'gone'],
  ['a chain of the kernel’s goes', touch(IP, MESSAGE.deleteChain, chain('PREROUTING')), 'gone'],
  ['a chain of others goes', touch(IP, MESSAGE.deleteChain, chain('theirs')), undefined],
  ['the table goes', touch(IP, MESSAGE.deleteTable, [text(1, 'mangle')]), 'gone'],
  [
    'the table goes to sleep',
    touch(IP, MESSAGE.newTable, [text(1, 'mangle'), attribute(2, Buffer.from([0, 0, 0, 1]))]),
    'gone',
  ],
  ['another table goes', touch(IP, MESSAGE.deleteTable, [text(1, 'nat')]), undefined],
  ['a table of that name goes in another family', touch(INET, MESSAGE.deleteTable, [text(1, 'mangle')]), undefined],
  ['a set comes', touch(IP, MESSAGE.newSet, [text(1, 'mangle')]), undefined],
])('%s', (_what, seen, expected) => {
  expect(seen).toBe(expected);
});
