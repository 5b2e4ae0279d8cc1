/**
 * Transactions of nf_tables as netlink messages: tables as data in, bytes out. Pure; `socket.ts` sends them. It stands beside the
 * text for nft(8), which it does not need: for what has to go in at once, and where nft fails.
 */
import {
  harmless,
  ruleComment,
  ruleText,
  type Chain,
  type Component,
  type NamedSet,
  type Rule,
  type Table,
} from '../../compiler/index.js';
import { attribute, messageBytes, nested, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST } from './message.js';
import { be32, deviceBytes, expressionsOf, NotEncodable, textBytes, type SetIds } from './nf-tables-expressions.js';
import {
  BYTEORDER_HOST_ENDIAN,
  HOOKNUM,
  IFNAMSIZ,
  NFGENMSG_LENGTH,
  NFNL_BATCH_GENID,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NFPROTO,
  NFPROTO_UNSPEC,
  NFT_MSG,
  NFT_SET,
  NFTA_CHAIN,
  NFTA_DATA,
  NFTA_HOOK,
  NFTA_LIST_ELEM,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_DESC_SIZE,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
  NFTA_TABLE,
  NFTNL_UDATA_COMMENT,
  NFTNL_UDATA_SET_KEYBYTEORDER,
  TYPE_IFNAME,
  VERDICT,
} from './nf-tables-header.js';

/** One message of a transaction. */
export interface NfTablesMessage {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** An attribute says its length in 16 bits, and this many elements stay well below. */
const ELEMENTS_AT_ONCE = 1000;

/**
 * Adds what a table holds, as `table FAMILY NAME { ... }` does: what is there stays, and rules come behind it.
 * @throws NotEncodable for what only nft can send.
 */
export function addTable(table: Table): readonly NfTablesMessage[] {
  const ids: SetIds = new Map([...table.sets.keys()].map((name, index) => [name, index + 1]));
  return [
    ensureTable(table),
    ...[...table.sets.values()].flatMap((set) => addSet(table, set, ids)),
    ...[...table.chains.values()].map((chain) => addChain(table, chain)),
    ...[...table.chains.values()].flatMap(({ name, rules }) => rules.map((rule) => addRule(table, name, rule, ids))),
  ];
}

/** Removes a table, if it is there, with all that it holds. */
export function removeTable(table: Pick<Table, 'family' | 'name'>): readonly NfTablesMessage[] {
  return [ensureTable(table), message(table, NFT_MSG.NFT_MSG_DELTABLE, 0, tableName(table))];
}

/**
 * A whole transaction. The last message asks for the acknowledgement, so that one answer says that all of it is in.
 * @param first sequence number of the first message; the others follow, and so do errors.
 * @param generation that the transaction is for: the kernel refuses it (ERESTART) when another one came between.
 */
export function batchBytes(messages: readonly NfTablesMessage[], first: number, generation?: number): Buffer {
  const genid = generation === undefined ? [] : [attribute(NFNL_BATCH_GENID, be32(generation))];
  const begin = { type: NFNL_MSG_BATCH_BEGIN, flags: 0, payload: Buffer.concat([batchHeader(), ...genid]) };
  const end = { type: NFNL_MSG_BATCH_END, flags: 0, payload: batchHeader() };
  const body = messages.map((one, index) =>
    index === messages.length - 1 ? { ...one, flags: one.flags | NLM_F_ACK } : one,
  );
  return Buffer.concat(
    [begin, ...body, end].map(({ type, flags, payload }, index) =>
      messageBytes({ type, flags: NLM_F_REQUEST | flags, sequence: first + index, payload }),
    ),
  );
}

/** How many sequence numbers {@link batchBytes} takes. */
export function batchLength(messages: readonly NfTablesMessage[]): number {
  return messages.length + 2;
}

function batchHeader(): Buffer {
  const header = Buffer.alloc(NFGENMSG_LENGTH);
  header[0] = NFPROTO_UNSPEC;
  header.writeUInt16BE(NFNL_SUBSYS_NFTABLES, 2);
  return header;
}

function message(
  { family }: Pick<Table, 'family'>,
  type: number,
  flags: number,
  ...attributes: readonly Buffer[]
): NfTablesMessage {
  const header = Buffer.alloc(NFGENMSG_LENGTH);
  header[0] = NFPROTO[family];
  return { type: (NFNL_SUBSYS_NFTABLES << 8) | type, flags, payload: Buffer.concat([header, ...attributes]) };
}

function tableName({ name }: Pick<Table, 'name'>): Buffer {
  return attribute(NFTA_TABLE.NFTA_TABLE_NAME, textBytes(name));
}

function ensureTable(table: Pick<Table, 'family' | 'name'>): NfTablesMessage {
  const flags = attribute(NFTA_TABLE.NFTA_TABLE_FLAGS, be32(0));
  return message(table, NFT_MSG.NFT_MSG_NEWTABLE, NLM_F_CREATE, tableName(table), flags);
}

function addChain(table: Table, { name, hook, comment }: Chain): NfTablesMessage {
  const base = hook === undefined ? [] : hookAttributes(table, hook);
  return message(
    table,
    NFT_MSG.NFT_MSG_NEWCHAIN,
    NLM_F_CREATE,
    attribute(NFTA_CHAIN.NFTA_CHAIN_TABLE, textBytes(table.name)),
    attribute(NFTA_CHAIN.NFTA_CHAIN_NAME, textBytes(name)),
    ...base,
    attribute(NFTA_CHAIN.NFTA_CHAIN_USERDATA, commentBytes(harmless(comment))),
  );
}

/** Policy accept, as all of ours. */
function hookAttributes({ family }: Table, { hook, priority }: NonNullable<Chain['hook']>): readonly Buffer[] {
  const number = HOOKNUM[family][hook];
  if (number === undefined) throw new NotEncodable(`hook ${hook} of family ${family}`);
  return [
    attribute(NFTA_CHAIN.NFTA_CHAIN_TYPE, textBytes('filter')),
    attribute(NFTA_CHAIN.NFTA_CHAIN_POLICY, be32(VERDICT.NF_ACCEPT)),
    nested(
      NFTA_CHAIN.NFTA_CHAIN_HOOK,
      attribute(NFTA_HOOK.NFTA_HOOK_HOOKNUM, be32(number)),
      attribute(NFTA_HOOK.NFTA_HOOK_PRIORITY, be32(priority)),
    ),
  ];
}

function addRule(table: Table, chain: string, rule: Rule, ids: SetIds): NfTablesMessage {
  return message(
    table,
    NFT_MSG.NFT_MSG_NEWRULE,
    NLM_F_CREATE | NLM_F_APPEND,
    attribute(NFTA_RULE.NFTA_RULE_TABLE, textBytes(table.name)),
    attribute(NFTA_RULE.NFTA_RULE_CHAIN, textBytes(chain)),
    nested(NFTA_RULE.NFTA_RULE_EXPRESSIONS, ...expressionsOf(rule, ids)),
    attribute(NFTA_RULE.NFTA_RULE_USERDATA, commentBytes(ruleComment(ruleText(rule), rule.comment))),
  );
}

function addSet(table: Table, set: NamedSet, ids: SetIds): readonly NfTablesMessage[] {
  const id = attribute(NFTA_SET.NFTA_SET_ID, be32(ids.get(set.name) ?? 0));
  const { flags, attributes, devices } = setParts(set);
  const declaration = message(
    table,
    NFT_MSG.NFT_MSG_NEWSET,
    NLM_F_CREATE,
    attribute(NFTA_SET.NFTA_SET_TABLE, textBytes(table.name)),
    attribute(NFTA_SET.NFTA_SET_NAME, textBytes(set.name)),
    attribute(NFTA_SET.NFTA_SET_FLAGS, be32(flags)),
    attribute(NFTA_SET.NFTA_SET_KEY_TYPE, be32(TYPE_IFNAME)),
    attribute(NFTA_SET.NFTA_SET_KEY_LEN, be32(IFNAMSIZ)),
    id,
    ...attributes,
    // What nft(8) reads to know how the keys are written.
    attribute(NFTA_SET.NFTA_SET_USERDATA, userData(NFTNL_UDATA_SET_KEYBYTEORDER, le32(BYTEORDER_HOST_ENDIAN))),
  );
  const elements: NfTablesMessage[] = [];
  for (let at = 0; at < devices.length; at += ELEMENTS_AT_ONCE) {
    elements.push(addElements(table, set.name, ids, devices.slice(at, at + ELEMENTS_AT_ONCE)));
  }
  return [declaration, ...elements];
}

/** Sets of names of devices, and tallies of them. */
function setParts({ name, fields, interval, content }: NamedSet): {
  readonly flags: number;
  readonly attributes: readonly Buffer[];
  readonly devices: readonly string[];
} {
  const [field, ...others] = fields;
  const isOfDevices = (field === 'iifname' || field === 'oifname') && others.length === 0;
  if (!isOfDevices || interval) throw new NotEncodable(`set ${name}, whose keys are not names of devices,`);
  switch (content.data) {
    case 'tally':
      return {
        flags: NFT_SET.NFT_SET_TIMEOUT | NFT_SET.NFT_SET_EVAL,
        attributes: [
          nested(NFTA_SET.NFTA_SET_DESC, attribute(NFTA_SET_DESC_SIZE, be32(content.room.keys))),
          attribute(NFTA_SET.NFTA_SET_TIMEOUT, be64(1000 * content.room.seconds)),
        ],
        devices: [],
      };
    case 'none':
      return { flags: 0, attributes: [], devices: content.elements.map(([device]) => deviceName(name, device)) };
    case 'verdict':
    case 'zone':
      throw new NotEncodable(`map ${name}`);
  }
}

function deviceName(set: string, component: Component | undefined): string {
  if (typeof component === 'string') return component;
  throw new NotEncodable(`an element of set ${set}, which is no name of a device,`);
}

function addElements(table: Table, set: string, ids: SetIds, devices: readonly string[]): NfTablesMessage {
  return message(
    table,
    NFT_MSG.NFT_MSG_NEWSETELEM,
    NLM_F_CREATE,
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_TABLE, textBytes(table.name)),
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_SET, textBytes(set)),
    attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_SET_ID, be32(ids.get(set) ?? 0)),
    nested(
      NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_ELEMENTS,
      ...devices.map((device) =>
        nested(
          NFTA_LIST_ELEM,
          nested(NFTA_SET_ELEM.NFTA_SET_ELEM_KEY, attribute(NFTA_DATA.NFTA_DATA_VALUE, deviceBytes(device))),
        ),
      ),
    ),
  );
}

function commentBytes(text: string): Buffer {
  return userData(NFTNL_UDATA_COMMENT, textBytes(text));
}

/** One entry of user data: type, length, value. */
function userData(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, value.length), value]);
}

/** User data is of nft(8)'s own host. */
function le32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function be64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
