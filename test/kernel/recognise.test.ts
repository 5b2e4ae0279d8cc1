/**
 * What is loaded, known again without nft (agent/kernel/recognise.ts), and refereed by nft: where it is said to be known, both make the same
 * changes of it; and nothing that somebody else did is taken for what is wanted.
 */
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { printRuleset, TABLE_NAME, type Datapath } from '../../compiler/index.js';
import { namedRuleset } from '../support/golden.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';
import { samples, take } from '../support/seed.js';
import { Answering } from './lab/answering.js';
import type { Compared, ToCompare } from './lab/compare.js';
import { namedToCompare } from './lab/compare-named.js';
import { makeNamespace, namespaceName } from './lab/namespace.js';

/** What bridges need, this kernel may lack. */
const DATAPATHS: readonly Datapath[] = ['routed', 'bridge-netfilter'];
const NAMES = Object.keys(NAMED_TOPOLOGIES).filter((name) => NAMED_TOPOLOGIES[name]?.options?.datapath !== 'bridge');

const place = namespaceName('recognise');
let remove: () => void;
let program: Answering;
beforeAll(async () => {
  remove = await makeNamespace(place);
  program = new Answering(place, 'compare');
});
afterAll(() => {
  program.end();
  remove();
});

async function nft(args: readonly string[], input = ''): Promise<string> {
  return (await execa('ip', ['netns', 'exec', place, 'nft', ...args], { input })).stdout;
}

/** A program's standard input is a socket here, from which nft reads no JSON. */
async function isTaken(text: string): Promise<boolean> {
  return nft(text.startsWith('{') ? ['--json', text] : [text]).then(
    () => true,
    () => false,
  );
}

async function load(name: string, datapath: Datapath): Promise<ToCompare> {
  await nft(['-f', '-'], `flush ruleset\n${printRuleset(namedRuleset(name, datapath))}`);
  return namedToCompare(name, datapath);
}

async function compare(what: ToCompare): Promise<Compared> {
  // The program writes this shape.
  return JSON.parse(await program.ask(JSON.stringify(what))) as Compared;
}

interface Listed {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly chain: string;
  readonly handle: number;
  readonly comment?: string;
  readonly type?: unknown;
  readonly elem?: readonly unknown[];
}

/** Everything of a kind in our tables, as nft lists it. */
async function listed(kind: 'rule' | 'chain' | 'set' | 'map'): Promise<readonly Listed[]> {
  // libnftables-json(5)
  const { nftables } = JSON.parse(await nft(['--json', '--handle', 'list', 'ruleset'])) as {
    nftables: readonly Readonly<Record<string, Listed>>[];
  };
  return nftables.flatMap((object) => {
    const found = object[kind];
    return found?.table === TABLE_NAME ? [found] : [];
  });
}

/** What somebody may do to our tables: nft text. `pick` chooses one of a list. */
type Mischief = (pick: <T>(from: readonly T[]) => T) => Promise<string>;

const OF_RULE = ['accept', 'counter accept', 'meta l4proto 6 accept', 'return', 'counter drop'];
/** By the type of a set; others are of several fields. */
const THEIRS: Readonly<Record<string, string>> = {
  ipv4_addr: '203.0.113.77',
  ipv6_addr: '2001:db8::77',
  ifname: '"theirs"',
  inet_service: '7777',
};
const MISCHIEF: Readonly<Record<string, Mischief>> = {
  'a rule less': async (pick) => {
    const { family, chain, handle } = pick(await listed('rule'));
    return `delete rule ${family} ${TABLE_NAME} ${chain} handle ${handle.toString()}`;
  },
  'another rule under the same comment': async (pick) => {
    const { family, chain, handle, comment } = pick(await listed('rule'));
    const rule = `${pick(OF_RULE)} comment "${comment ?? ''}"`;
    return `replace rule ${family} ${TABLE_NAME} ${chain} handle ${handle.toString()} ${rule}`;
  },
  'a rule before': async (pick) => {
    const { family, chain, handle } = pick(await listed('rule'));
    return `insert rule ${family} ${TABLE_NAME} ${chain} handle ${handle.toString()} ${pick(OF_RULE)}`;
  },
  'a rule before, under the comment of the next': async (pick) => {
    const { family, chain, handle, comment } = pick(await listed('rule'));
    const rule = `${pick(OF_RULE)} comment "${comment ?? ''}"`;
    return `insert rule ${family} ${TABLE_NAME} ${chain} handle ${handle.toString()} ${rule}`;
  },
  'a rule behind': async (pick) => {
    const { family, name } = pick(await listed('chain'));
    return `add rule ${family} ${TABLE_NAME} ${name} ${pick(OF_RULE)}`;
  },
  'the rules of a chain': async (pick) => {
    const { family, name } = pick(await listed('chain'));
    return `flush chain ${family} ${TABLE_NAME} ${name}`;
  },
  'a chain more': async (pick) => `add chain ${pick(await listed('chain')).family} ${TABLE_NAME} theirs`,
  'another policy': async (pick) => {
    const { family, name } = pick((await listed('chain')).filter((chain) => 'hook' in chain));
    return `add chain ${family} ${TABLE_NAME} ${name} { policy drop; }`;
  },
  'the elements of a set': async (pick) => {
    const { family, name } = pick(await listed('set'));
    return `flush set ${family} ${TABLE_NAME} ${name}`;
  },
  'an element less': async (pick) => {
    const { family, name, elem = [] } = pick((await listed('set')).filter((set) => set.elem !== undefined));
    return JSON.stringify({
      nftables: [{ delete: { element: { family, table: TABLE_NAME, name, elem: [pick(elem)] } } }],
    });
  },
  'an element more': async (pick) => {
    const { family, name, type } = pick((await listed('set')).filter((set) => String(set.type) in THEIRS));
    return `add element ${family} ${TABLE_NAME} ${name} { ${THEIRS[String(type)] ?? ''} }`;
  },
  'a comment of an element': async (pick) => {
    const { family, name, type } = pick((await listed('set')).filter((set) => String(set.type) in THEIRS));
    return `add element ${family} ${TABLE_NAME} ${name} { ${THEIRS[String(type)] ?? ''} comment "theirs" }`;
  },
  'the elements of a map': async (pick) => {
    const { family, name } = pick(await listed('map'));
    return `flush map ${family} ${TABLE_NAME} ${name}`;
  },
  'a device more in a map': async (pick) => {
    const maps = (await listed('map')).filter(({ name }) => name.startsWith('from_port') || name.startsWith('to_port'));
    const { family, name } = pick(maps);
    return `add element ${family} ${TABLE_NAME} ${name} { "theirs" : ${pick(['accept', 'drop', 'return'])} }`;
  },
  'a set more': async (pick) => `add set ${pick(await listed('chain')).family} ${TABLE_NAME} theirs { type mark; }`,
  'a table that sees no packet': async (pick) =>
    `add table ${pick(await listed('chain')).family} ${TABLE_NAME} { flags dormant; }`,
  'a counter': async (pick) => `add counter ${pick(await listed('chain')).family} ${TABLE_NAME} theirs`,
};

/** With all that ours has, under the same names: nothing of it may stand for ours. */
it('another table of the family with chains, sets and rules of the same names hides nothing', async () => {
  const what = await load('one-port', 'routed');
  const copy = printRuleset(namedRuleset('one-port', 'routed')).replace(/\bportcullis\b/g, 'twin');
  const twin = `${copy}add chain inet twin more\nadd set inet twin more { type mark; }\n`;
  await nft(['-f', '-'], twin);
  expect(await compare(what)).toEqual({ direct: '', byNft: '' });
  for (const change of ['insert rule inet portcullis egress accept', 'flush set inet portcullis sources4']) {
    await load('one-port', 'routed');
    await nft(['-f', '-'], `${twin}${change}`);
    const { direct, byNft } = await compare(what);
    expect(byNft).not.toBe('');
    expect(direct).toBe(byNft);
  }
});

/** As the agent loads them, netlink.test.ts has all of them. */
it.each(DATAPATHS)('what nft loaded is known again, whole (%s)', async (datapath) => {
  for (const name of ['ranges', 'nested-prefixes', 'stateless', 'address-pairs', 'icmp']) {
    expect(await compare(await load(name, datapath)), name).toEqual({ direct: '', byNft: '' });
  }
});

it.each([
  [
    'a set of a size',
    'set addresses4 {\n\t\ttype ipv4_addr\n',
    'set addresses4 {\n\t\ttype ipv4_addr\n\t\tsize 1000\n',
  ],
  ['a set of another policy', 'set macs {\n', 'set macs {\n\t\tpolicy memory;\n'],
  [
    'other values in a rule under its comment',
    'icmpv6 type { 131, 143 } accept',
    'icmpv6 type { 131, 136, 143 } accept',
  ],
  ['another verdict in a rule under its comment', '136 : goto nd_target', '136 : accept'],
])('%s is not taken for what is wanted', async (_what, ours, theirs) => {
  const what = await load('one-port', 'routed');
  const text = printRuleset(namedRuleset('one-port', 'routed'));
  expect(text).toContain(ours);
  await nft(['-f', '-'], `flush ruleset\n${text.replace(ours, theirs)}`);
  const { direct, byNft } = await compare(what);
  expect(byNft).not.toBe('');
  expect(direct).toBeUndefined();
});

/** Either a rule is too many or an element is missing, at any time: to see both, or neither, is to have read two generations. */
it('what changes while it is read is read at one generation, or not at all', async () => {
  const what = await load('one-port', 'routed');
  const [chain, set, address] = ['ingress_stateless', 'addresses6', 'fd00::1'];
  const missing = `flush chain inet portcullis ${chain}; delete element inet portcullis ${set} { ${address} }`;
  const tooMany = `add rule inet portcullis ${chain} accept; add element inet portcullis ${set} { ${address} }`;
  await nft([missing]);
  const changing = { isOver: false };
  const changes = (async () => {
    while (!changing.isOver) for (const text of [tooMany, missing]) await nft([text]);
  })();
  const seen: (string | undefined)[] = [];
  try {
    for (let reading = 0; reading < 20; reading++) seen.push((await compare(what)).direct);
  } finally {
    changing.isOver = true;
    await changes;
  }
  for (const direct of seen) {
    if (direct === undefined) continue;
    expect([direct.includes(` ${chain}`), direct.includes(address)].filter(Boolean), direct).toHaveLength(1);
  }
});

/** Some of it is nothing new, and some cannot be, or the kernel refuses it. */
const MOST_TRIES = 200;
const WANTED = 2;

it.each(Object.keys(MISCHIEF))('%s: is no more known than nft knows it', async (kind) => {
  const mischief = MISCHIEF[kind];
  if (mischief === undefined) throw new Error(kind);
  const numbers = samples(fc.nat());
  const pick = <T>(from: readonly T[]): T => {
    const found = from[(take(numbers, 1)[0] ?? 0) % from.length];
    if (found === undefined) throw new Error('nothing of it is there');
    return found;
  };
  let [done, known] = [0, 0];
  for (let tries = 0; done < WANTED && tries < MOST_TRIES; tries++) {
    const name = pick(NAMES);
    const what = await load(name, pick(DATAPATHS));
    const text = await mischief(pick).catch(() => undefined);
    if (text === undefined || !(await isTaken(text))) continue;
    const { direct, byNft } = await compare(what);
    if (byNft !== '') done++;
    if (direct === undefined) continue;
    if (byNft !== '') known++;
    expect(direct, `${name}: ${text}`).toBe(byNft);
  }
  console.log(`${kind}: ${done.toString()} changes, ${known.toString()} of them known without nft`);
  expect(done).toBe(WANTED);
});
