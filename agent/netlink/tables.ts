/**
 * What nf_tables holds, in the parts that are asked for without nft(8): names and flags of tables, whether a chain has rules, names
 * of devices in a set, which sets there are. Each rejects with NetlinkError (EPERM without CAP_NET_ADMIN).
 */
import type { TableFamily } from '../../compiler/index.js';
import { dump, dumpAlone } from './dump.js';
import { attribute, eachAttribute, textBytes, textOf } from './message.js';
import {
  NFGENMSG_LENGTH,
  NFPROTO,
  NFPROTO_UNSPEC,
  NFT_MSG,
  NFTA_COUNTER,
  NFTA_DATA,
  NFTA_EXPR,
  NFTA_LIST_ELEM,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
  NFTA_TABLE,
} from './nf-tables-header.js';
import { FAMILIES } from './nf-tables.js';
import type { NetlinkSocket } from './socket.js';

/** Flags of every table, by `family name`. @param socket that stays open; its own without. */
export async function listTables(socket?: NetlinkSocket): Promise<ReadonlyMap<string, number>> {
  const read = (payload: Buffer): readonly [string, number] => {
    let name = '';
    let flags = 0;
    eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
      if (type === NFTA_TABLE.NFTA_TABLE_NAME) name = textOf(value);
      else if (type === NFTA_TABLE.NFTA_TABLE_FLAGS) flags = value.readUInt32BE(0);
    });
    return [`${familyOf(payload)} ${name}`, flags];
  };
  const message = NFT_MSG.NFT_MSG_GETTABLE;
  const tables =
    socket === undefined
      ? await dumpAlone(message, NFPROTO_UNSPEC, [], read)
      : await dump(socket, message, NFPROTO_UNSPEC, [], read);
  return new Map(tables);
}

/** Names of the chains of a table that have rules. */
export async function chainsWithRules(family: TableFamily, table: string): Promise<ReadonlySet<string>> {
  const name = attribute(NFTA_RULE.NFTA_RULE_TABLE, textBytes(table));
  const chains = await dumpAlone(NFT_MSG.NFT_MSG_GETRULE, NFPROTO[family], [name], (payload) => {
    let chain = '';
    eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
      if (type === NFTA_RULE.NFTA_RULE_CHAIN) chain = textOf(value);
    });
    return chain;
  });
  return new Set(chains);
}

/** Keys of a set or map whose keys are names of devices; none where it is not there. */
export async function devicesInSet(family: TableFamily, table: string, set: string): Promise<readonly string[]> {
  return elementsInSet(family, table, set, keyOf);
}

/** How many packets were counted, by device, in a set that packets fill; nothing where it is not there. */
export async function packetsInSet(
  family: TableFamily,
  table: string,
  set: string,
): Promise<ReadonlyMap<string, number>> {
  const counted = await elementsInSet(family, table, set, (element) =>
    keyOf(element).map((device) => [device, packetsOf(element)] as const),
  );
  return new Map(counted);
}

async function elementsInSet<T>(
  family: TableFamily,
  table: string,
  set: string,
  read: (element: Buffer) => readonly T[],
): Promise<readonly T[]> {
  const attributes = [
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_TABLE, textBytes(table)),
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_SET, textBytes(set)),
  ];
  const lists = await dumpAlone(NFT_MSG.NFT_MSG_GETSETELEM, NFPROTO[family], attributes, (payload) => {
    const found: T[] = [];
    eachAttribute(payload, NFGENMSG_LENGTH, (type, list) => {
      if (type !== NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_ELEMENTS) return;
      eachAttribute(list, 0, (listed, element) => {
        if (listed === NFTA_LIST_ELEM) found.push(...read(element));
      });
    });
    return found;
  });
  return lists.flat();
}

/** The counter of an element; nothing was counted where it has none. */
function packetsOf(element: Buffer): number {
  let packets = 0;
  eachAttribute(element, 0, (type, expression) => {
    if (type !== NFTA_SET_ELEM.NFTA_SET_ELEM_EXPR) return;
    eachAttribute(expression, 0, (part, data) => {
      if (part !== NFTA_EXPR.NFTA_EXPR_DATA) return;
      eachAttribute(data, 0, (figure, value) => {
        if (figure === NFTA_COUNTER.NFTA_COUNTER_PACKETS) packets = Number(value.readBigUInt64BE(0));
      });
    });
  });
  return packets;
}

export interface SetName {
  readonly family: string;
  readonly table: string;
  readonly set: string;
}

/** Every named set and map of everybody. */
export async function listSets(): Promise<readonly SetName[]> {
  return dumpAlone(NFT_MSG.NFT_MSG_GETSET, NFPROTO_UNSPEC, [], (payload) => {
    let table = '';
    let set = '';
    eachAttribute(payload, NFGENMSG_LENGTH, (type, value) => {
      if (type === NFTA_SET.NFTA_SET_TABLE) table = textOf(value);
      else if (type === NFTA_SET.NFTA_SET_NAME) set = textOf(value);
    });
    return { family: familyOf(payload), table, set };
  });
}

function keyOf(element: Buffer): readonly string[] {
  const keys: string[] = [];
  eachAttribute(element, 0, (type, key) => {
    if (type !== NFTA_SET_ELEM.NFTA_SET_ELEM_KEY) return;
    eachAttribute(key, 0, (inner, value) => {
      if (inner === NFTA_DATA.NFTA_DATA_VALUE) keys.push(textOf(value));
    });
  });
  return keys;
}

function familyOf(payload: Buffer): string {
  return FAMILIES.get(payload[0] ?? 0) ?? 'unknown';
}
