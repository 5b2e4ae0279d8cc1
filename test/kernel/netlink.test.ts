/**
 * Transactions over netlink, refereed by nft(8): the same tables, and the same changes, once as text for nft and once as messages, in two
 * network namespaces. Both must list alike, as text and as the kernel's instructions.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { removeTable, transactionMessages, type NfTablesMessage } from '../../agent/netlink/nf-tables-batch.js';
import { withoutNft } from '../../agent/kernel/netlink-load.js';
import { attribute, textBytes } from '../../agent/netlink/message.js';
import { NFNL_SUBSYS_NFTABLES, NFPROTO, NFT_MSG, NFTA_RULE } from '../../agent/netlink/nf-tables-header.js';
import {
  compile,
  DEFAULT_OPTIONS,
  HostCompiler,
  planTransaction,
  printStage,
  stagesOf,
  type Datapath,
  type Transaction,
} from '../../compiler/index.js';
import { diffTopologies, EMPTY_TOPOLOGY, type Port } from '../../compiler/model/index.js';
import { arbitraryTopology } from '../support/arbitrary-topology.js';
import { namedRuleset } from '../support/golden.js';
import { namedToCompare } from './lab/compare-named.js';
import { NAMED_TOPOLOGIES } from '../support/named-topologies.js';
import { samples, take } from '../support/seed.js';
import { Answering } from './lab/answering.js';
import type { Compared, ToCompare } from './lab/compare.js';
import { makeNamespace, namespaceName } from './lab/namespace.js';
import type { ToSend } from './lab/send.js';

const SEND = 'dist/test/kernel/lab/send.js';
/** What bridges need, this kernel may lack. */
const DATAPATHS: readonly Datapath[] = ['routed', 'bridge-netfilter'];

/** A network namespace in which one way is taken. */
class Place {
  readonly name: string;
  #sender: Answering | undefined;
  #comparer: Answering | undefined;
  #remove: (() => void) | undefined;

  constructor(what: string) {
    this.name = namespaceName(what);
  }

  async make(): Promise<void> {
    this.#remove = await makeNamespace(this.name);
  }

  destroy(): void {
    this.#sender?.end();
    this.#comparer?.end();
    this.#remove?.();
  }

  async nft(args: readonly string[], input = ''): Promise<string> {
    return (await execa('ip', ['netns', 'exec', this.name, 'nft', ...args], { input, reject: true })).stdout;
  }

  /** @returns what became of it. */
  async send(messages: readonly NfTablesMessage[], generation?: number): Promise<string> {
    this.#sender ??= new Answering(this.name, 'send');
    return this.#sender.ask(JSON.stringify(toSend(messages, generation)));
  }

  async listing(): Promise<string> {
    return this.nft(['--stateless', 'list', 'ruleset']);
  }

  /** What rules are to the kernel; numbers of rules and of sets without a name are its own. */
  async instructions(): Promise<readonly string[]> {
    const lines = (await this.nft(['--debug=netlink', 'list', 'ruleset'])).split('\n');
    return lines.filter((line) => line.startsWith('  [')).map((line) => line.replace(/__(set|map)\d+/, '__$1'));
  }

  async compare(what: ToCompare): Promise<Compared> {
    this.#comparer ??= new Answering(this.name, 'compare');
    // The program writes this shape.
    return JSON.parse(await this.#comparer.ask(JSON.stringify(what))) as Compared;
  }

  /** Whoever compares has sockets, too. */
  async comparesNoMore(): Promise<void> {
    await this.#comparer?.isGone();
    this.#comparer = undefined;
  }

  /** Port ids of the sockets of NETLINK_NETFILTER (12) that are open here (/proc/net/netlink). */
  async sockets(): Promise<readonly string[]> {
    const { stdout } = await execa('ip', ['netns', 'exec', this.name, 'cat', '/proc/net/netlink']);
    const rows = stdout.split('\n').map((row) => row.trim().split(/\s+/));
    return rows.flatMap(([, protocol, portId = '']) => (protocol === '12' && portId !== '0' ? [portId] : []));
  }

  async generation(): Promise<number> {
    const args = ['netns', 'exec', this.name, process.execPath, 'dist/test/kernel/lab/generation.js'];
    return Number((await execa('ip', args)).stdout);
  }
}

function toSend(messages: readonly NfTablesMessage[], generation?: number): ToSend {
  return {
    messages: messages.map(({ type, flags, payload }) => ({ type, flags, payload: payload.toString('base64') })),
    ...(generation === undefined ? {} : { generation }),
  };
}

const byNft = new Place('nft');
const direct = new Place('direct');
beforeAll(async () => {
  await byNft.make();
  await direct.make();
});
afterAll(() => {
  byNft.destroy();
  direct.destroy();
});

/** Takes a transaction both ways, and compares. */
async function takeBoth(transaction: Transaction, what: string): Promise<void> {
  for (const stage of stagesOf(transaction)) {
    expect(stage.closing).toBe('');
    expect(await direct.send(transactionMessages(stage.transaction)), what).toBe('ok');
    await byNft.nft(['-f', '-'], printStage(stage));
  }
  expect(await direct.listing(), what).toBe(await byNft.listing());
}

async function empty(): Promise<void> {
  for (const place of [byNft, direct]) await place.nft(['flush', 'ruleset']);
}

describe.each(DATAPATHS)('%s', (datapath) => {
  // Each topology once: what a rule is made of hangs on the datapath in few of them, which random histories meet, too.
  const names = Object.keys(NAMED_TOPOLOGIES).filter(
    (name, index) =>
      NAMED_TOPOLOGIES[name]?.options?.datapath !== 'bridge' &&
      index % DATAPATHS.length === DATAPATHS.indexOf(datapath),
  );

  it.each(names)('%s is what nft makes of the text', async (name) => {
    await empty();
    const { tables } = namedRuleset(name, datapath);
    await takeBoth(planTransaction(tables, []), name);
    expect(await direct.instructions()).toEqual(await byNft.instructions());
    // As the agent compares, by itself and by nft.
    expect(await direct.compare(namedToCompare(name, datapath))).toEqual({ direct: '', byNft: '' });
  });

  it.each([false, true])('so is each step of random histories, audit %s', async (audit) => {
    const options = { ...DEFAULT_OPTIONS, datapath, audit };
    const isLocal = (port: Port): boolean => port.host === 'host-1' || port.host === undefined;
    const topologies = samples(arbitraryTopology());
    for (let history = 0; history < 3; history++) {
      await empty();
      const compiler = new HostCompiler(isLocal, options);
      const { tables } = compile(EMPTY_TOPOLOGY, isLocal, options).ruleset;
      await takeBoth(planTransaction(tables, []), 'nothing');
      let before = EMPTY_TOPOLOGY;
      for (const after of [...take(topologies, 4), EMPTY_TOPOLOGY]) {
        compiler.update(diffTopologies(before, after));
        await takeBoth(compiler.take().transaction, `history ${history.toString()}`);
        expect(await direct.instructions()).toEqual(await byNft.instructions());
        before = after;
      }
    }
  });
});

/** The rules of a chain that is not there go: the kernel refuses it. */
function refused(size = 0): NfTablesMessage {
  const attributes = [
    attribute(NFTA_RULE.NFTA_RULE_TABLE, textBytes('nowhere')),
    attribute(NFTA_RULE.NFTA_RULE_CHAIN, textBytes('x'.repeat(size))),
  ];
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG.NFT_MSG_DELRULE,
    flags: 0,
    payload: Buffer.concat([Buffer.of(NFPROTO.inet, 0, 0, 0), ...attributes]),
    about: 'nothing',
  };
}

/** Closing one waits for RCU where something was deleted lately: some 15 ms for each change (docs/decisions/netlink.md). */
describe('the socket', () => {
  const one = namedRuleset('one-port', 'routed').tables;
  beforeAll(async () => direct.comparesNoMore());

  it('stays open from one transaction to the next, also behind one that deletes', async () => {
    await empty();
    expect(await direct.send(transactionMessages(planTransaction(one, [])))).toBe('ok');
    const open = await direct.sockets();
    expect(open).toHaveLength(1);
    expect(await direct.send(one.flatMap(removeTable))).toBe('ok');
    expect(await direct.listing()).toBe('');
    expect(await direct.sockets()).toEqual(open);
  });

  it('is another one after an error: answers to that may still come', async () => {
    const before = await direct.sockets();
    expect(await direct.send([refused()])).toContain('errno 2');
    expect(await direct.send(transactionMessages(planTransaction(one, [])))).toBe('ok');
    const after = await direct.sockets();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
  });
});

describe('what the kernel refuses', () => {
  const one = planTransaction(namedRuleset('one-port', 'routed').tables, []);

  it('is named, and nothing of it is applied', async () => {
    await empty();
    const messages = [...transactionMessages(one), refused()];
    expect(await direct.send(messages)).toContain(`message ${(messages.length - 1).toString()}: errno 2`);
    expect(await direct.listing()).toBe('');
  });

  it('is what was to follow another transaction', async () => {
    await empty();
    const generation = await direct.generation();
    expect(await direct.send(transactionMessages(one), generation + 7)).toContain('the transaction: errno 85');
    expect(await direct.listing()).toBe('');
    expect(await direct.send(transactionMessages(one), generation)).toBe('ok');
  });

  it('is all of it without the right to change the firewall', async () => {
    const args = ['--bounding-set=-net_admin', '--inh-caps=-net_admin', process.execPath, SEND];
    const input = `${JSON.stringify(toSend(transactionMessages(one)))}\n`;
    expect((await execa('ip', ['netns', 'exec', direct.name, 'setpriv', ...args], { input })).stdout).toContain(
      'errno 1',
    );
  });

  it('and is too large for a send buffer was not sent', async () => {
    await empty();
    const many = Array.from({ length: 2500 }, () => refused(4000));
    expect(await direct.send(many)).toContain('NotSent');
  });

  it('nor made, where that is sure beforehand', async () => {
    const [table] = namedRuleset('one-port', 'routed').tables;
    const macs = table?.sets.get('macs');
    if (table === undefined || macs === undefined) throw new Error('no table with devices');
    const elements = Array.from({ length: 400_000 }, (_, index) => [`tap${index.toString()}`, '02:00:00:00:00:01']);
    const sets = new Map([['macs', { ...macs, content: { data: 'none', elements } as const }]]);
    const transaction = planTransaction([{ ...table, sets, chains: new Map() }], []);
    const why = 'it is larger than a send buffer';
    expect(await withoutNft({ closing: '', transaction })).toEqual({ kind: 'cannot', why });
  });
});

/** The netlink package aborts the process when a buffer that overflows is found by poll (docs/decisions/netlink.md). */
describe('answers to a process that is too busy to read them', () => {
  const ask = async (messages: readonly NfTablesMessage[], isGuarded: boolean): Promise<string> => {
    const args = ['netns', 'exec', direct.name, process.execPath, SEND, '500'];
    const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'ignore'] });
    const said: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => said.push(chunk));
    const generation = isGuarded ? await direct.generation() : undefined;
    child.stdin.end(`${JSON.stringify(toSend(messages, generation))}\n`);
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    return code === 0 ? Buffer.concat(said).toString() : `ended by ${signal ?? String(code)}`;
  };
  const many = (count: number): readonly NfTablesMessage[] => Array.from({ length: count }, () => refused());

  it('fit its buffer, of as many as are sent', async () => {
    const outcomes = await Promise.all([300, 20_000].map(async (count) => ask(many(count), true)));
    expect(outcomes.map((outcome) => /errno 2|NotSent/.exec(outcome)?.[0] ?? outcome)).toEqual(['errno 2', 'NotSent']);
  });

  it('of more than that would have ended it: nft makes these', async () => {
    expect(await ask(many(20_000), false)).not.toContain('errno 2');
  });
});
