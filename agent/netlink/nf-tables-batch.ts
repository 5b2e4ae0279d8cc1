/**
 * Transactions of nf_tables as netlink messages: tables and changes as data in, bytes out. Pure; `socket.ts` sends them. They stand beside
 * the text for nft(8), of which they are the same (docs/decisions/netlink.md).
 */
import {
  harmless,
  ruleComment,
  ruleText,
  stepsOf,
  type Chain,
  type Element,
  type NamedSet,
  type Rule,
  type SetHead,
  type Step,
  type Table,
  type TableFamily,
  type Transaction,
} from '../../compiler/index.js';
import {
  attribute,
  be32,
  messageBytes,
  nested,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_REQUEST,
  textBytes,
} from './message.js';
import type { AskedSet } from './nf-tables-expressions.js';
import {
  HOOKNUM,
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
  NFTA_HOOK,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_ELEM_LIST,
  NFTA_TABLE,
  NFTNL_UDATA_COMMENT,
  VERDICT,
} from './nf-tables-header.js';
import { expressionsOf } from './nf-tables-rule.js';
import { beforeFirst, declaration, elementAttributes, userData, type SetShape } from './nf-tables-sets.js';
import { NotEncodable } from './not-encodable.js';

/** One message of a transaction. */
export interface NfTablesMessage {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
  /** What an error of it is of, in words. */
  readonly about: string;
}

/** Elements of a message, in bytes: an answer that says what is wrong with it repeats it, and takes a page at most. */
const MOST_ELEMENTS = 3000;

/** What stands in a table. */
type Of = Pick<Table, 'family' | 'name'>;

/**
 * What a transaction asks of the kernel. None for an empty one.
 * @throws NotEncodable for what only nft can send.
 */
export function transactionMessages(transaction: Transaction): readonly NfTablesMessage[] {
  return transaction.flatMap((change): readonly NfTablesMessage[] => {
    switch (change.kind) {
      case 'create':
        return addTable(change.table);
      case 'replace':
        return [deleteTable(change.table), ...addTable(change.table)];
      case 'delete':
        return [deleteTable(change.before)];
      case 'update': {
        const messages = new TableMessages(change);
        return stepsOf(change.changes).flatMap((step) => messages.step(step));
      }
    }
  });
}

/**
 * Adds what a table holds, as `table FAMILY NAME { ... }` does: what is there stays, and rules come behind it.
 * @throws NotEncodable for what only nft can send.
 */
export function addTable(table: Table): readonly NfTablesMessage[] {
  const messages = new TableMessages(table);
  const [sets, chains] = [[...table.sets.values()], [...table.chains.values()]];
  return [
    ensureTable(table),
    // Maps lead to chains.
    ...chains.map((chain) => messages.addChain(chain)),
    ...sets.map((set) => messages.addSet(set)),
    ...sets.flatMap((set) => messages.addElements(set, set.content.elements)),
    ...chains.flatMap(({ name, rules }) => rules.flatMap((rule) => messages.addRule(name, rule))),
  ];
}

/** Removes a table, if it is there, with all that it holds. */
export function removeTable(table: Of): readonly NfTablesMessage[] {
  return [ensureTable(table), deleteTable(table)];
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
  { family, name }: Of,
  about: string,
  type: number,
  flags: number,
  ...attributes: readonly Buffer[]
): NfTablesMessage {
  const header = Buffer.alloc(NFGENMSG_LENGTH);
  header[0] = NFPROTO[family];
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | type,
    flags,
    payload: Buffer.concat([header, ...attributes]),
    about: `${about} of table ${family} ${name}`,
  };
}

function ensureTable(table: Of): NfTablesMessage {
  const flags = attribute(NFTA_TABLE.NFTA_TABLE_FLAGS, be32(0));
  return message(table, 'the flags', NFT_MSG.NFT_MSG_NEWTABLE, NLM_F_CREATE, tableName(table), flags);
}

function deleteTable(table: Of): NfTablesMessage {
  return message(table, 'the deletion', NFT_MSG.NFT_MSG_DELTABLE, 0, tableName(table));
}

function tableName({ name }: Of): Buffer {
  return attribute(NFTA_TABLE.NFTA_TABLE_NAME, textBytes(name));
}

/** Messages of one table in one transaction. */
class TableMessages {
  /** Of sets: those without a name are asked by it. */
  #lastId = 0;

  constructor(private readonly table: Of) {}

  step(step: Step): readonly NfTablesMessage[] {
    switch (step.kind) {
      case 'add-set':
        return [this.addSet(step.set)];
      case 'add-chain':
        return [this.addChain(step.chain)];
      case 'flush-chain':
        return [this.#chain(`the rules of chain ${step.chain}`, NFT_MSG.NFT_MSG_DELRULE, step.chain)];
      case 'add-rules':
        return step.chain.rules.flatMap((rule) => this.addRule(step.chain.name, rule));
      case 'delete-elements':
        return this.#elements(
          step.set,
          NFT_MSG.NFT_MSG_DELSETELEM,
          0,
          elementAttributes(step.set, step.elements, 'keys'),
        );
      case 'add-elements':
        return this.addElements(step.set, step.elements);
      case 'flush-map':
        return [this.#list(step.map, NFT_MSG.NFT_MSG_DELSETELEM, 0)];
      case 'delete-chain':
        return [
          message(
            this.table,
            `chain ${step.chain}`,
            NFT_MSG.NFT_MSG_DELCHAIN,
            0,
            attribute(NFTA_CHAIN.NFTA_CHAIN_TABLE, textBytes(this.table.name)),
            attribute(NFTA_CHAIN.NFTA_CHAIN_NAME, textBytes(step.chain)),
          ),
        ];
      case 'delete-set':
        return [this.#set(step.set, NFT_MSG.NFT_MSG_DELSET, 0)];
    }
  }

  addChain({ name, hook, comment }: Chain): NfTablesMessage {
    return message(
      this.table,
      `chain ${name}`,
      NFT_MSG.NFT_MSG_NEWCHAIN,
      NLM_F_CREATE,
      attribute(NFTA_CHAIN.NFTA_CHAIN_TABLE, textBytes(this.table.name)),
      attribute(NFTA_CHAIN.NFTA_CHAIN_NAME, textBytes(name)),
      ...(hook === undefined ? [] : hookAttributes(this.table.family, hook)),
      attribute(NFTA_CHAIN.NFTA_CHAIN_USERDATA, commentBytes(harmless(comment))),
    );
  }

  addSet(set: NamedSet): NfTablesMessage {
    return this.#set(set.name, NFT_MSG.NFT_MSG_NEWSET, NLM_F_CREATE, declaration(set, ++this.#lastId));
  }

  addElements(set: SetHead, elements: readonly Element[]): readonly NfTablesMessage[] {
    const attributes = elementAttributes(set, elements, 'keys and data');
    return this.#elements(set, NFT_MSG.NFT_MSG_NEWSETELEM, NLM_F_CREATE, attributes);
  }

  /** Behind those that are there; sets of its own come before it. */
  addRule(chain: string, rule: Rule): readonly NfTablesMessage[] {
    const sets: NfTablesMessage[] = [];
    const expressions = expressionsOf(this.table.family, rule, (set) => this.#anonymous(set, sets));
    const text = ruleText(rule);
    return [
      ...sets,
      message(
        this.table,
        `rule "${text}" of chain ${chain}`,
        NFT_MSG.NFT_MSG_NEWRULE,
        NLM_F_CREATE | NLM_F_APPEND,
        attribute(NFTA_RULE.NFTA_RULE_TABLE, textBytes(this.table.name)),
        attribute(NFTA_RULE.NFTA_RULE_CHAIN, textBytes(chain)),
        nested(NFTA_RULE.NFTA_RULE_EXPRESSIONS, ...expressions),
        attribute(NFTA_RULE.NFTA_RULE_USERDATA, commentBytes(ruleComment(text, rule.comment))),
      ),
    ];
  }

  /** The kernel puts a number in place of `%d`. */
  #anonymous(shape: SetShape, messages: NfTablesMessage[]): AskedSet {
    const set = { name: shape.content.data === 'none' ? '__set%d' : '__map%d', id: ++this.#lastId };
    const flags = NFT_SET.NFT_SET_ANONYMOUS | NFT_SET.NFT_SET_CONSTANT;
    const id = attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_SET_ID, be32(set.id));
    const elements = [...beforeFirst(shape), ...elementAttributes(shape, shape.content.elements, 'keys and data')];
    messages.push(
      this.#set(set.name, NFT_MSG.NFT_MSG_NEWSET, NLM_F_CREATE, declaration(shape, set.id, flags)),
      this.#list(set.name, NFT_MSG.NFT_MSG_NEWSETELEM, NLM_F_CREATE, [id, elementList(elements)]),
    );
    return set;
  }

  #chain(about: string, type: number, chain: string): NfTablesMessage {
    return message(
      this.table,
      about,
      type,
      0,
      attribute(NFTA_RULE.NFTA_RULE_TABLE, textBytes(this.table.name)),
      attribute(NFTA_RULE.NFTA_RULE_CHAIN, textBytes(chain)),
    );
  }

  #set(set: string, type: number, flags: number, attributes: readonly Buffer[] = []): NfTablesMessage {
    return message(
      this.table,
      `set ${set}`,
      type,
      flags,
      attribute(NFTA_SET.NFTA_SET_TABLE, textBytes(this.table.name)),
      attribute(NFTA_SET.NFTA_SET_NAME, textBytes(set)),
      ...attributes,
    );
  }

  #elements({ name }: SetHead, type: number, flags: number, elements: readonly Buffer[]): readonly NfTablesMessage[] {
    const messages: NfTablesMessage[] = [];
    for (let from = 0; from < elements.length;) {
      let bytes = 0;
      let to = from;
      for (; to < elements.length && (bytes === 0 || bytes < MOST_ELEMENTS); to++) bytes += elements[to]?.length ?? 0;
      messages.push(this.#list(name, type, flags, [elementList(elements.slice(from, to))]));
      from = to;
    }
    return messages;
  }

  #list(set: string, type: number, flags: number, attributes: readonly Buffer[] = []): NfTablesMessage {
    return message(
      this.table,
      `elements of ${set}`,
      type,
      flags,
      attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_TABLE, textBytes(this.table.name)),
      attribute(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_SET, textBytes(set)),
      ...attributes,
    );
  }
}

function elementList(elements: readonly Buffer[]): Buffer {
  return nested(NFTA_SET_ELEM_LIST.NFTA_SET_ELEM_LIST_ELEMENTS, ...elements);
}

/** Policy accept, as all of ours. */
function hookAttributes(family: TableFamily, { hook, priority }: NonNullable<Chain['hook']>): readonly Buffer[] {
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

function commentBytes(text: string): Buffer {
  return userData(NFTNL_UDATA_COMMENT, textBytes(text));
}
