/**
 * All that our tables hold, as the kernel tells of it: read without nft(8), at one generation. What is there is not interpreted here, but
 * what a table may hold beside sets, chains and rules is a reason not to go on.
 */
import { TABLE_FAMILIES, TABLE_NAME, type TableFamily } from '../../compiler/index.js';
import { dump } from './dump.js';
import { KeptSocket } from './kept-socket.js';
import { attribute, findAttribute, findText, textBytes, textOf } from './message.js';
import { readGeneration } from './generation.js';
import {
  NETLINK_NETFILTER,
  NFGENMSG_LENGTH,
  NFPROTO,
  NFT_MSG,
  NFT_SET,
  NFTA_ANY_TABLE,
  NFTA_CHAIN,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_ELEM_LIST,
  NFTNL_UDATA_COMMENT,
} from './nf-tables-header.js';
import { flagsIn } from './nf-tables-sets.js';
import { NotKnown } from './not-known.js';
import { NetlinkSocket } from './socket.js';
import { listTables } from './tables.js';

export interface SeenTable {
  readonly family: TableFamily;
  readonly name: string;
  /** By name: attributes of enum nft_chain_attributes. */
  readonly chains: ReadonlyMap<string, Buffer>;
  /** By name, those of rules (`__set0`) among them. */
  readonly sets: ReadonlyMap<string, SeenSet>;
  /** By chain, in order. */
  readonly rules: ReadonlyMap<string, readonly SeenRule[]>;
}

export interface SeenSet {
  /** Attributes of enum nft_set_attributes. */
  readonly head: Buffer;
  /** What NFTA_SET_ELEM_LIST_ELEMENTS holds, in pieces; none of a set that packets fill. */
  readonly elements: readonly Buffer[];
}

export interface SeenRule {
  /** Attributes of enum nft_rule_attributes. */
  readonly bytes: Buffer;
  /** '' for none. */
  readonly comment: string;
}

/** Others may be quicker as often; then nft(8), which tries without end, is asked. */
const MOST_TRIES = 3;

/** Hundreds of dumps, most of them small: memory for each datagram is what they cost most, and what is read stays there while it is compared. */
const BUFFER_BYTES = 16 * 1024;
const SOCKET = new KeptSocket(() => new NetlinkSocket(NETLINK_NETFILTER, undefined, BUFFER_BYTES));

/**
 * Our tables that are there. To be asked once at a time: a socket takes one dump. Rejects with NetlinkError, and with NotKnown where they have
 * flags (another program owns them, or they see no packet), or hold something else than sets, chains and rules, or somebody else keeps changing
 * nf_tables.
 */
export async function seeTables(): Promise<readonly SeenTable[]> {
  return SOCKET.lend(async (socket) => {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const before = await readGeneration();
      const flags = await listTables(socket);
      const tables: SeenTable[] = [];
      for (const family of TABLE_FAMILIES) {
        const of = flags.get(`${family} ${TABLE_NAME}`);
        if (of === undefined) continue;
        if (of !== 0) throw new NotKnown(`flags of table ${family} ${TABLE_NAME}`);
        tables.push(await seeTable(socket, family, TABLE_NAME));
      }
      if ((await readGeneration()) === before) return tables;
    }
    throw new NotKnown('somebody keeps changing nf_tables');
  });
}

async function seeTable(socket: NetlinkSocket, family: TableFamily, name: string): Promise<SeenTable> {
  // Of chains the kernel tells of those of all tables of a family, whichever is asked for (nf_tables_dump_chains()).
  const list = async (message: number): Promise<readonly Buffer[]> => {
    const ofTable = attribute(NFTA_ANY_TABLE, textBytes(name));
    const all = await dump(socket, message, NFPROTO[family], [ofTable], (payload) => payload.subarray(NFGENMSG_LENGTH));
    return all.filter((bytes) => findText(bytes, 0, NFTA_ANY_TABLE) === name);
  };
  for (const message of [NFT_MSG.NFT_MSG_GETOBJ, NFT_MSG.NFT_MSG_GETFLOWTABLE]) {
    if ((await list(message)).length > 0) throw new NotKnown(`objects in table ${family} ${name}`);
  }
  const chains = await list(NFT_MSG.NFT_MSG_GETCHAIN);
  const heads = await list(NFT_MSG.NFT_MSG_GETSET);
  const rules = await list(NFT_MSG.NFT_MSG_GETRULE);
  const sets = new Map<string, SeenSet>();
  for (const head of heads) {
    const set = findText(head, 0, NFTA_SET.NFTA_SET_NAME);
    sets.set(set, { head, elements: isFilledByPackets(head) ? [] : await elementsOf(socket, family, name, set) });
  }
  return {
    ...{ family, name, sets, rules: byChain(rules) },
    chains: new Map(chains.map((chain) => [findText(chain, 0, NFTA_CHAIN.NFTA_CHAIN_NAME), chain])),
  };
}

function isFilledByPackets(head: Buffer): boolean {
  return (flagsIn(head) & NFT_SET.NFT_SET_EVAL) !== 0;
}

async function elementsOf(
  socket: NetlinkSocket,
  family: TableFamily,
  table: string,
  set: string,
): Promise<readonly Buffer[]> {
  const of = [
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_TABLE, textBytes(table)),
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_SET, textBytes(set)),
  ];
  return dump(
    socket,
    NFT_MSG.NFT_MSG_GETSETELEM,
    NFPROTO[family],
    of,
    (payload) =>
      findAttribute(payload, NFGENMSG_LENGTH, NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_ELEMENTS) ?? Buffer.alloc(0),
  );
}

function byChain(rules: readonly Buffer[]): SeenTable['rules'] {
  const chains = new Map<string, SeenRule[]>();
  for (const bytes of rules) {
    const chain = findText(bytes, 0, NFTA_RULE.NFTA_RULE_CHAIN);
    const rule = { bytes, comment: commentOf(findAttribute(bytes, 0, NFTA_RULE.NFTA_RULE_USERDATA)) };
    const others = chains.get(chain);
    if (others === undefined) chains.set(chain, [rule]);
    else others.push(rule);
  }
  return chains;
}

/** User data is entries of type, length and value. */
function commentOf(userData: Buffer | undefined): string {
  for (let at = 0; userData !== undefined && at + 2 <= userData.length;) {
    const [type = 0, length = 0] = userData.subarray(at, at + 2);
    if (type === NFTNL_UDATA_COMMENT) return textOf(userData.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return '';
}
