/** Transactions as bytes. That the kernel makes of them what nft makes of the text is in kernel/netlink.test.ts. */
import { expect, it } from 'vitest';
import { closingMessages, closingTables } from '../../../agent/closing.js';
import { attribute, eachAttribute, messagesOf, NLM_F_ACK, textOf } from '../../../agent/netlink/message.js';
import {
  addTable,
  batchBytes,
  batchLength,
  removeTable,
  transactionMessages,
} from '../../../agent/netlink/nf-tables-batch.js';
import { leastBytes } from '../../../agent/netlink/nf-tables-size.js';
import { NFGENMSG_LENGTH, NFNL_BATCH_GENID, NFT_MSG } from '../../../agent/netlink/nf-tables-header.js';
import {
  DATAPATHS,
  DEFAULT_OPTIONS,
  planTransaction,
  type Chain,
  type Change,
  type Match,
  type NamedSet,
  type SetHead,
  type Table,
} from '../../../compiler/index.js';
import { namedRuleset } from '../../support/golden.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';

const [CLOSED] = closingTables(DEFAULT_OPTIONS, ['vnet7']);
const BASE: Table = { family: 'inet', name: 'portcullis', sets: new Map(), chains: new Map() };

const withChain = (chain: Chain): Table => ({ ...BASE, chains: new Map([[chain.name, chain]]) });
const withSet = (set: NamedSet): Table => ({ ...BASE, sets: new Map([[set.name, set]]) });

it('a transaction is one datagram: begin, messages in order, end; its last message alone asks for an answer', () => {
  const messages = CLOSED === undefined ? [] : addTable(CLOSED);
  const read = [...messagesOf(batchBytes(messages, 7))];
  expect(read.map(({ sequence }) => sequence)).toEqual(read.map((_, index) => 7 + index));
  expect(read).toHaveLength(batchLength(messages));
  expect(read.map(({ type }) => type)).toEqual([16, ...messages.map(({ type }) => type), 17]);
  const asking = read.filter(({ flags }) => (flags & NLM_F_ACK) !== 0);
  expect(asking.map(({ sequence }) => sequence)).toEqual([7 + messages.length]);
});

it('names the generation that it is for, where one is given', () => {
  const [begin] = messagesOf(batchBytes(removeTable(BASE), 1, 0xfedcba98));
  expect(begin?.payload.subarray(NFGENMSG_LENGTH)).toEqual(attribute(NFNL_BATCH_GENID, Buffer.from('fedcba98', 'hex')));
  const [without] = messagesOf(batchBytes(removeTable(BASE), 1));
  expect(without?.payload).toHaveLength(NFGENMSG_LENGTH);
});

it('chains stand before the maps that lead to them, and sets before the rules that ask them', () => {
  const kinds = (CLOSED === undefined ? [] : addTable(CLOSED)).map(({ type }) => type & 0xff);
  const { NFT_MSG_NEWTABLE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE } = NFT_MSG;
  const order = [NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWRULE];
  const ranks = kinds.map((kind) => order.indexOf(kind as (typeof order)[number]));
  expect(ranks).toEqual([...ranks].sort((one, other) => one - other));
  expect(new Set(kinds)).toEqual(new Set(order));
});

it.each(Object.keys(NAMED_TOPOLOGIES))('%s: how large it is at least is never more than it is', (name) => {
  for (const datapath of DATAPATHS) {
    const transaction = planTransaction(namedRuleset(name, datapath).tables, []);
    const bytes = transactionMessages(transaction).reduce((sum, { payload }) => sum + payload.length, 0);
    expect(leastBytes(transaction)).toBeLessThanOrEqual(bytes);
  }
});

it('of many elements it is most of what it takes', () => {
  const elements = Array.from({ length: 10_000 }, (_, index) => [`tap${index.toString()}`, '02:00:00:00:00:01']);
  const set: NamedSet = {
    name: 'macs',
    fields: ['iifname', 'ether saddr'],
    interval: false,
    role: { kind: 'group' },
    content: { data: 'none', elements },
  };
  const transaction = planTransaction([withSet(set)], []);
  const bytes = transactionMessages(transaction).reduce((sum, { payload }) => sum + payload.length, 0);
  expect(leastBytes(transaction) / bytes).toBeGreaterThan(0.9);
});

it('removes a table that is there, and one that is not', () => {
  expect(removeTable(BASE).map(({ type }) => type & 0xff)).toEqual([
    NFT_MSG.NFT_MSG_NEWTABLE,
    NFT_MSG.NFT_MSG_DELTABLE,
  ]);
});

it('no attribute is longer than its length can say, however many devices there are', () => {
  const devices = Array.from({ length: 10_000 }, (_, index) => `veth${index.toString()}`);
  for (const { gone } of closingMessages(DEFAULT_OPTIONS, devices).values()) {
    const names = gone.flatMap(({ type, payload }) => {
      expect(payload.length).toBeLessThan(0xffff);
      return (type & 0xff) === NFT_MSG.NFT_MSG_NEWSETELEM ? [payload] : [];
    });
    const found: string[] = [];
    for (const payload of names) {
      eachAttribute(payload, NFGENMSG_LENGTH, (kind, list) => {
        if (kind !== 3) return;
        eachAttribute(list, 0, (_element, element) => {
          eachAttribute(element, 0, (_key, key) => {
            eachAttribute(key, 0, (_value, value) => found.push(textOf(value)));
          });
        });
      });
    }
    expect(found).toEqual(devices);
  }
});

it('a device whose name no device can have keeps nobody else open', () => {
  const messages = closingMessages(DEFAULT_OPTIONS, ['a-name-of-16-byte', 'vnet7']).get('inet');
  expect(messages).toEqual(closingMessages(DEFAULT_OPTIONS, ['vnet7']).get('inet'));
});

const withRule = (match: Match): Table =>
  withChain({
    name: 'one',
    comment: '',
    role: { kind: 'fixed' },
    rules: [{ matches: [match], action: { kind: 'verdict', verdict: { kind: 'drop' } }, counter: false, comment: '' }],
  });

it.each<readonly [string, Table]>([
  [
    'no value of a range of th dport',
    withRule({ kind: 'values', fields: ['th dport'], negated: true, keys: [[{ first: 1, last: 9 }]] }),
  ],
  [
    'values of ip saddr . th dport',
    withRule({ kind: 'values', fields: ['ip saddr', 'th dport'], negated: false, keys: [['10.0.0.1', 1]] }),
  ],
  [
    'an interval of th dport in a set without',
    withSet({
      name: 'services',
      fields: ['th dport'],
      interval: false,
      role: { kind: 'fixed' },
      content: { data: 'none', elements: [[{ first: 1, last: 9 }]] },
    }),
  ],
  [
    'a device of the name "a-name-of-16-byte"',
    withSet({
      name: 'devices',
      fields: ['iifname'],
      interval: false,
      role: { kind: 'fixed' },
      content: { data: 'none', elements: [['a-name-of-16-byte']] },
    }),
  ],
  [
    'hook postrouting of family arp',
    {
      ...withChain({
        name: 'egress',
        comment: '',
        rules: [],
        role: { kind: 'fixed' },
        hook: { hook: 'postrouting', priority: 0 },
      }),
      family: 'arp',
    },
  ],
])('what only nft can send is refused by name, and not sent as something else: %s', (what, table) => {
  expect(() => addTable(table)).toThrow(what);
});

it('an element that was read back is left to nft: only its text is known', () => {
  const set: SetHead = { name: 'hosts', fields: ['ip saddr'], interval: false, role: { kind: 'fixed' } };
  const change: Change = { kind: 'delete-elements', set, elements: [{ listed: '10.0.0.1', data: '' }] };
  expect(() => transactionMessages([{ kind: 'update', ...BASE, changes: [change] }])).toThrow('read as 10.0.0.1');
});
