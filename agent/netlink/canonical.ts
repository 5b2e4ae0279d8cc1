/**
 * Rules, sets and elements in one form each, whether the kernel tells of them or we would send them: what is alike has the same text. Their
 * bytes count, all but those that are named here; so what a kernel adds, or somebody else asked for, is never taken for ours. Bytes are texts
 * of one character each (latin1).
 */
import type { Rule, TableFamily } from '../../compiler/index.js';
import { ATTRIBUTE_HEADER_LENGTH, eachAttribute, textOf, walkAttributes, withoutNestedFlags } from './message.js';
import {
  NFT_CHAIN_BASE,
  NFT_DATA_VERDICT,
  NFT_SET,
  NFT_SET_ELEM_INTERVAL_END,
  NFTA_CHAIN,
  NFTA_DYNSET,
  NFTA_EXPR,
  NFTA_HOOK,
  NFTA_LIST_ELEM,
  NFTA_LOOKUP,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_DESC,
  NFTA_SET_ELEM,
} from './nf-tables-header.js';
import { expressionsOf } from './nf-tables-rule.js';
import { NotKnown } from './not-known.js';
import { beforeFirst, declaration, elementAttributes, flagsIn, type SetShape } from './nf-tables-sets.js';

type Attributes = ReadonlyMap<number, Buffer>;

/** By type. @throws NotKnown where one is there twice: of which nobody knows which counts. */
function attributesIn(bytes: Buffer, what: string): Attributes {
  const found = new Map<number, Buffer>();
  eachAttribute(bytes, 0, (type, value) => {
    if (found.has(type)) throw new NotKnown(`${what}: attribute ${type.toString()} twice`);
    found.set(type, value);
  });
  return found;
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1');
}

/** Behind its length, so that nothing in it can be taken for what is behind it. */
function sized(text: string): string {
  return `${text.length.toString()}:${text}`;
}

/** All attributes but the ignored ones, in the order of their types. */
function allBut(attributes: Attributes, ignored: ReadonlySet<number>): string {
  const types = [...attributes.keys()].filter((type) => !ignored.has(type)).sort((a, b) => a - b);
  return types.map((type) => `${type.toString()}=${sized(latin1(attributes.get(type) ?? EMPTY))}`).join(' ');
}

/** @throws NotKnown of others; their bytes may be anybody's, and are not said. */
function mustBeAll(attributes: Attributes, known: ReadonlySet<number>, what: string): void {
  for (const type of attributes.keys()) {
    if (!known.has(type)) throw new NotKnown(`attribute ${type.toString()} of ${what}`);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

/** Where a rule is, and what is read of it elsewhere. */
const OF_ANY_RULE: ReadonlySet<number> = new Set([
  NFTA_RULE.NFTA_RULE_TABLE,
  NFTA_RULE.NFTA_RULE_CHAIN,
  NFTA_RULE.NFTA_RULE_HANDLE,
  NFTA_RULE.NFTA_RULE_EXPRESSIONS,
  NFTA_RULE.NFTA_RULE_POSITION,
  NFTA_RULE.NFTA_RULE_USERDATA,
]);

/**
 * What a rule does.
 * @param rule attributes of enum nft_rule_attributes, as they are told of.
 * @param nameless what a set without a name holds.
 * @throws NotKnown
 */
export function bodyOf(rule: Buffer, nameless: (set: string) => string): string {
  const attributes = attributesIn(rule, 'a rule');
  mustBeAll(attributes, OF_ANY_RULE, 'a rule');
  return expressionsText(attributes.get(NFTA_RULE.NFTA_RULE_EXPRESSIONS) ?? EMPTY, nameless);
}

/** What a rule of ours would do. @throws NotEncodable, NotKnown */
export function wantedBody(family: TableFamily, rule: Rule): string {
  const contents = new Map<string, string>();
  const expressions = expressionsOf(family, rule, (shape) => {
    const name = `${NAMELESS}${contents.size.toString()}`;
    contents.set(name, wantedNameless(shape));
    return { name };
  });
  return expressionsText(withoutNestedFlags(Buffer.concat(expressions)), (name) => contents.get(name) ?? '');
}

/** How the kernel's names of sets without one begin: `__set0`. */
export const NAMELESS = '__';

function wantedNameless(shape: SetShape): string {
  const flags = NFT_SET.NFT_SET_ANONYMOUS | NFT_SET.NFT_SET_CONSTANT;
  const elements = [...beforeFirst(shape), ...elementAttributes(shape, shape.content.elements, 'keys and data')];
  return namelessText(Buffer.concat(declaration(shape, 0, flags)), [withoutNestedFlags(Buffer.concat(elements))]);
}

/** What a set without a name is. @param lists as {@link elementTexts} has them. */
export function namelessText(head: Buffer, lists: readonly Buffer[]): string {
  const texts = elementTexts(flagsIn(head), lists).map(sized).sort();
  return `{ ${sized(headText(head))}: ${texts.join(', ')} }`;
}

/** @param list what NFTA_RULE_EXPRESSIONS holds, without flags of netlink. */
function expressionsText(list: Buffer, nameless: (set: string) => string): string {
  const texts: string[] = [];
  walkAttributes(list, 0, (type, start, end) => {
    if (type !== NFTA_LIST_ELEM) throw new NotKnown(`attribute ${type.toString()} among expressions`);
    texts.push(expressionText(list, start, end, nameless));
    return true;
  });
  return texts.join('\n');
}

/** Their first attribute is the name. What they ask for is compared by its bytes, but for what hangs on the kernel. */
function expressionText(list: Buffer, start: number, end: number, nameless: (set: string) => string): string {
  const nameEnd = start + list.readUInt16LE(start);
  const name = list.toString('latin1', start + ATTRIBUTE_HEADER_LENGTH, nameEnd - 1);
  switch (name) {
    // What was counted is nobody's wish.
    case 'counter':
      return name;
    case 'lookup':
      return lookupText(list.subarray(start, end), nameless);
    case 'dynset':
      return dynsetText(list.subarray(start, end));
    default:
      return sized(list.toString('latin1', start, end));
  }
}

function partsOf(expression: Buffer): Attributes {
  const parts = attributesIn(expression, 'an expression');
  return attributesIn(parts.get(NFTA_EXPR.NFTA_EXPR_DATA) ?? EMPTY, 'an expression');
}

/** Sets without a name are what they hold. */
function lookupText(expression: Buffer, nameless: (set: string) => string): string {
  const parts = partsOf(expression);
  const set = textOf(parts.get(NFTA_LOOKUP.NFTA_LOOKUP_SET) ?? EMPTY);
  if (!set.startsWith(NAMELESS)) return sized(latin1(expression));
  return `lookup ${allBut(parts, OF_ANY_LOOKUP)} ${sized(nameless(set))}`;
}

const OF_ANY_LOOKUP: ReadonlySet<number> = new Set([NFTA_LOOKUP.NFTA_LOOKUP_SET, NFTA_LOOKUP.NFTA_LOOKUP_SET_ID]);

/** The kernel tells of a time and of flags, too, which are none; and of what is counted for each. */
function dynsetText(expression: Buffer): string {
  const parts = new Map(partsOf(expression));
  for (const type of [NFTA_DYNSET.NFTA_DYNSET_TIMEOUT, NFTA_DYNSET.NFTA_DYNSET_FLAGS, NFTA_DYNSET.NFTA_DYNSET_PAD]) {
    if (parts.get(type)?.every((byte) => byte === 0) === true) parts.delete(type);
  }
  const counted = attributesIn(parts.get(NFTA_DYNSET.NFTA_DYNSET_EXPR) ?? EMPTY, 'an expression');
  parts.delete(NFTA_DYNSET.NFTA_DYNSET_EXPR);
  const what = textOf(counted.get(NFTA_EXPR.NFTA_EXPR_NAME) ?? EMPTY);
  if (what !== 'counter') throw new NotKnown('what is done for each element');
  return `dynset ${allBut(parts, new Set())}`;
}

/** What a set is told by in all messages, what only its reader needs, and what the kernel says of its insides. */
const OF_ANY_SET: ReadonlySet<number> = new Set([
  NFTA_SET.NFTA_SET_TABLE,
  NFTA_SET.NFTA_SET_NAME,
  NFTA_SET.NFTA_SET_ID,
  NFTA_SET.NFTA_SET_HANDLE,
  NFTA_SET.NFTA_SET_USERDATA,
  NFTA_SET.NFTA_SET_PAD,
  NFTA_SET.NFTA_SET_TYPE,
  NFTA_SET.NFTA_SET_COUNT,
]);

/** What a set is, without its name. @param head attributes of enum nft_set_attributes. */
export function headText(head: Buffer): string {
  const attributes = new Map(attributesIn(head, 'a set'));
  const description = attributes.get(NFTA_SET.NFTA_SET_DESC);
  attributes.delete(NFTA_SET.NFTA_SET_DESC);
  const flags = flagsIn(head);
  // No flags are not told of, and a verdict is as long as the kernel's struct.
  if (flags === 0) attributes.delete(NFTA_SET.NFTA_SET_FLAGS);
  if (attributes.get(NFTA_SET.NFTA_SET_DATA_TYPE)?.readUInt32BE(0) === NFT_DATA_VERDICT) {
    attributes.delete(NFTA_SET.NFTA_SET_DATA_LEN);
  }
  const isConstant = (flags & NFT_SET.NFT_SET_CONSTANT) !== 0;
  return `${allBut(attributes, OF_ANY_SET)} ${description === undefined ? '' : descriptionText(description, isConstant)}`;
}

/** The kernel tells of an empty description, too; how many elements fit says nothing of a set that gets no more. */
function descriptionText(description: Buffer, isConstant: boolean): string {
  const parts = new Map(attributesIn(description, 'a description'));
  if (isConstant) parts.delete(NFTA_SET_DESC.NFTA_SET_DESC_SIZE);
  const fields: string[] = [];
  eachAttribute(parts.get(NFTA_SET_DESC.NFTA_SET_DESC_CONCAT) ?? EMPTY, 0, (_, field) =>
    fields.push(sized(latin1(field))),
  );
  const others = allBut(parts, new Set([NFTA_SET_DESC.NFTA_SET_DESC_CONCAT]));
  return `${fields.join(',')} ${others}`.trim();
}

/** What a set of ours would be. */
export function wantedHead(set: SetShape): string {
  return headText(withoutNestedFlags(Buffer.concat(declaration(set, 0))));
}

/**
 * Elements, each as what it matches and leads to: its bytes. Of a set of intervals of one field two may be told of for one: its ends.
 * @param flags of the set, of enum nft_set_flags.
 * @param lists what NFTA_SET_ELEM_LIST_ELEMENTS holds, without flags of netlink.
 * @throws NotKnown
 */
export function elementTexts(flags: number, lists: readonly Buffer[]): readonly string[] {
  const isOfEnds = (flags & NFT_SET.NFT_SET_INTERVAL) !== 0 && (flags & NFT_SET.NFT_SET_CONCAT) === 0;
  const texts: string[] = [];
  const ends: End[] = [];
  for (const list of lists) {
    walkAttributes(list, 0, (_, start, end) => {
      if (isOfEnds) ends.push(readEnd(list.subarray(start, end)));
      else texts.push(list.toString('latin1', start, end));
      return true;
    });
  }
  return isOfEnds ? intervals(ends) : texts;
}

interface End {
  readonly key: string;
  readonly data: string;
  /** The first value behind an interval, and not the first one of it. */
  readonly isBehind: boolean;
}

/** Ends beside a beginning, and before all of them, say nothing more. */
function intervals(ends: readonly End[]): readonly string[] {
  const ordered = [...ends].sort((a, b) =>
    a.key < b.key ? -1 : a.key > b.key ? 1 : Number(b.isBehind) - Number(a.isBehind),
  );
  const texts: string[] = [];
  let open: End | undefined;
  const close = (behind: string): void => {
    if (open !== undefined) texts.push(`${sized(open.key)}-${sized(behind)}=${open.data}`);
    open = undefined;
  };
  for (const end of ordered) {
    close(end.key);
    if (!end.isBehind) open = end;
  }
  close('');
  return texts;
}

function readEnd(element: Buffer): End {
  const attributes = attributesIn(element, 'an element');
  const key = attributes.get(NFTA_SET_ELEM.NFTA_SET_ELEM_KEY);
  if (key === undefined) throw new NotKnown('an element without a key');
  const flags = attributes.get(NFTA_SET_ELEM.NFTA_SET_ELEM_FLAGS)?.readUInt32BE(0) ?? 0;
  if ((flags & ~NFT_SET_ELEM_INTERVAL_END) !== 0) throw new NotKnown('flags of an element');
  const data = attributes.get(NFTA_SET_ELEM.NFTA_SET_ELEM_DATA) ?? EMPTY;
  mustBeAll(attributes, OF_ANY_END, 'an element');
  return { key: latin1(key), data: latin1(data), isBehind: flags !== 0 };
}

/** Its user data says that an interval has no end, for its reader. */
const OF_ANY_END: ReadonlySet<number> = new Set([
  NFTA_SET_ELEM.NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM.NFTA_SET_ELEM_DATA,
  NFTA_SET_ELEM.NFTA_SET_ELEM_FLAGS,
  NFTA_SET_ELEM.NFTA_SET_ELEM_USERDATA,
]);

const OF_ANY_CHAIN: ReadonlySet<number> = new Set([
  NFTA_CHAIN.NFTA_CHAIN_TABLE,
  NFTA_CHAIN.NFTA_CHAIN_HANDLE,
  NFTA_CHAIN.NFTA_CHAIN_NAME,
  NFTA_CHAIN.NFTA_CHAIN_HOOK,
  NFTA_CHAIN.NFTA_CHAIN_POLICY,
  NFTA_CHAIN.NFTA_CHAIN_USE,
  NFTA_CHAIN.NFTA_CHAIN_TYPE,
  NFTA_CHAIN.NFTA_CHAIN_FLAGS,
  NFTA_CHAIN.NFTA_CHAIN_USERDATA,
]);

export interface SeenHook {
  readonly type: string;
  readonly number: number;
  readonly priority: number;
  readonly policy: number;
}

/**
 * Where a base chain stands; undefined for another chain.
 * @param chain attributes of enum nft_chain_attributes.
 * @throws NotKnown for anything more than that.
 */
export function hookOf(chain: Buffer): SeenHook | undefined {
  const attributes = attributesIn(chain, 'a chain');
  mustBeAll(attributes, OF_ANY_CHAIN, 'a chain');
  const flags = attributes.get(NFTA_CHAIN.NFTA_CHAIN_FLAGS)?.readUInt32BE(0) ?? 0;
  const hook = attributes.get(NFTA_CHAIN.NFTA_CHAIN_HOOK);
  const type = attributes.get(NFTA_CHAIN.NFTA_CHAIN_TYPE);
  const policy = attributes.get(NFTA_CHAIN.NFTA_CHAIN_POLICY);
  if (hook === undefined) {
    if (flags !== 0 || type !== undefined || policy !== undefined)
      throw new NotKnown('a chain that is half a base chain');
    return undefined;
  }
  const parts = attributesIn(hook, 'a hook');
  const number = parts.get(NFTA_HOOK.NFTA_HOOK_HOOKNUM)?.readUInt32BE(0);
  const priority = parts.get(NFTA_HOOK.NFTA_HOOK_PRIORITY)?.readInt32BE(0);
  if (number === undefined || priority === undefined || parts.size > 2) throw new NotKnown('a hook');
  if (type === undefined || policy === undefined || (flags & ~NFT_CHAIN_BASE) !== 0) throw new NotKnown('a base chain');
  return { type: textOf(type), number, priority, policy: policy.readUInt32BE(0) };
}
