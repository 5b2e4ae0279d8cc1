/** Sets and maps as attributes: how they are declared, with what nft(8) wants to know to list them, and their elements. */
import type { Element, Field, Key, ListedElement, NamedSet, SetContent, Verdict } from '../../compiler/index.js';
import { attribute, be32, be64, findAttribute, le32, nested } from './message.js';
import { verdictData } from './nf-tables-expressions.js';
import { endsOf, FIELDS } from './nf-tables-fields.js';
import {
  BYTEORDER,
  EXPR,
  NFT_CT,
  NFT_DATA_VERDICT,
  NFT_SET,
  NFT_SET_ELEM_INTERVAL_END,
  NFTA_DATA,
  NFTA_LIST_ELEM,
  NFTA_SET,
  NFTA_SET_DESC,
  NFTA_SET_ELEM,
  NFTA_SET_FIELD_LEN,
  NFTNL_SET_ELEM_F_INTERVAL_OPEN,
  NFTNL_UDATA_SET,
  NFTNL_UDATA_SET_ELEM_FLAGS,
  NFTNL_UDATA_SET_KEY_PAYLOAD_LEN,
  NFTNL_UDATA_SET_TYPEOF,
  PROTO_DESC,
  TYPE,
  TYPE_BITS,
} from './nf-tables-header.js';
import { NotEncodable } from './not-encodable.js';

/** What a set is made of, without its name and elements. */
export type SetShape = Pick<NamedSet, 'fields' | 'interval'> & { readonly content: SetContent };

const ZONE_LENGTH = 2;

/** Each component of a concatenation takes whole registers of 4 bytes. */
export function paddedLength(field: Field): number {
  return (FIELDS[field].length + 3) & ~3;
}

/** Attributes of NFT_MSG_NEWSET behind table and name. @param flags beside those of its shape. */
export function declaration({ fields, interval, content }: SetShape, id: number, flags = 0): readonly Buffer[] {
  const [field] = fields;
  if (field === undefined) throw new NotEncodable('a set without a field');
  const isConcatenated = fields.length > 1;
  const length = isConcatenated ? fields.reduce((sum, one) => sum + paddedLength(one), 0) : FIELDS[field].length;
  const allFlags =
    flags |
    (interval ? NFT_SET.NFT_SET_INTERVAL : 0) |
    (interval && isConcatenated ? NFT_SET.NFT_SET_CONCAT : 0) |
    (content.data === 'verdict' || content.data === 'zone' ? NFT_SET.NFT_SET_MAP : 0) |
    (content.data === 'tally' ? NFT_SET.NFT_SET_TIMEOUT | NFT_SET.NFT_SET_EVAL : 0);
  const type = fields.reduce((types, one) => (types << TYPE_BITS) | FIELDS[one].type, 0);
  const description = [
    ...(content.data === 'tally' ? [attribute(NFTA_SET_DESC.NFTA_SET_DESC_SIZE, be32(content.room.keys))] : []),
    ...(interval && isConcatenated ? [concatenation(fields)] : []),
  ];
  return [
    attribute(NFTA_SET.NFTA_SET_FLAGS, be32(allFlags)),
    attribute(NFTA_SET.NFTA_SET_KEY_TYPE, be32(type)),
    attribute(NFTA_SET.NFTA_SET_KEY_LEN, be32(length)),
    ...dataAttributes(content),
    attribute(NFTA_SET.NFTA_SET_ID, be32(id)),
    ...(description.length > 0 ? [nested(NFTA_SET.NFTA_SET_DESC, ...description)] : []),
    ...(content.data === 'tally' ? [attribute(NFTA_SET.NFTA_SET_TIMEOUT, be64(1000 * content.room.seconds))] : []),
    attribute(NFTA_SET.NFTA_SET_USERDATA, readersData(fields, content)),
  ];
}

/** Flags of a set that the kernel tells of, of enum nft_set_flags. @param head attributes of enum nft_set_attributes. */
export function flagsIn(head: Buffer): number {
  return findAttribute(head, 0, NFTA_SET.NFTA_SET_FLAGS)?.readUInt32BE(0) ?? 0;
}

function dataAttributes(content: SetContent): readonly Buffer[] {
  const of = (type: number, length: number): readonly Buffer[] => [
    attribute(NFTA_SET.NFTA_SET_DATA_TYPE, be32(type)),
    attribute(NFTA_SET.NFTA_SET_DATA_LEN, be32(length)),
  ];
  switch (content.data) {
    case 'none':
    case 'tally':
      return [];
    case 'verdict':
      return of(NFT_DATA_VERDICT, 0);
    case 'zone':
      return of(TYPE.TYPE_INTEGER, ZONE_LENGTH);
  }
}

function concatenation(fields: readonly Field[]): Buffer {
  const lengths = fields.map((field) =>
    nested(NFTA_LIST_ELEM, attribute(NFTA_SET_FIELD_LEN, be32(FIELDS[field].length))),
  );
  return nested(NFTA_SET_DESC.NFTA_SET_DESC_CONCAT, ...lengths);
}

/** What nft(8) reads to know how keys and data are written, and of which expressions they are where their types do not say it. */
function readersData(fields: readonly Field[], { data }: SetContent): Buffer {
  const [field] = fields;
  const isOfOne = field !== undefined && fields.length === 1;
  const order = !isOfOne
    ? BYTEORDER.BYTEORDER_INVALID
    : FIELDS[field].isHostOrder
      ? BYTEORDER.BYTEORDER_HOST_ENDIAN
      : BYTEORDER.BYTEORDER_BIG_ENDIAN;
  const isDescribed = data === 'zone' || fields.some((one) => FIELDS[one].type === TYPE.TYPE_INTEGER);
  const entries = [userData(NFTNL_UDATA_SET.NFTNL_UDATA_SET_KEYBYTEORDER, le32(order))];
  if (data === 'verdict' || data === 'zone') {
    const dataOrder = data === 'zone' ? BYTEORDER.BYTEORDER_HOST_ENDIAN : BYTEORDER.BYTEORDER_INVALID;
    entries.push(userData(NFTNL_UDATA_SET.NFTNL_UDATA_SET_DATABYTEORDER, le32(dataOrder)));
  }
  if (isDescribed) {
    const key = isOfOne ? expressionOf(field) : concatenated(fields);
    entries.push(userData(NFTNL_UDATA_SET.NFTNL_UDATA_SET_KEY_TYPEOF, key));
  }
  if (data === 'zone') entries.push(userData(NFTNL_UDATA_SET.NFTNL_UDATA_SET_DATA_TYPEOF, ZONE));
  return Buffer.concat(entries);
}

/** One entry of user data: type, length, value. */
export function userData(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, value.length), value]);
}

/** Values as numbered entries. */
function numbered(...values: readonly number[]): Buffer {
  return Buffer.concat(values.map((value, index) => userData(index, le32(value))));
}

function typeOf(expression: number, data: Buffer): Buffer {
  return Buffer.concat([
    userData(NFTNL_UDATA_SET_TYPEOF.NFTNL_UDATA_SET_TYPEOF_EXPR, le32(expression)),
    userData(NFTNL_UDATA_SET_TYPEOF.NFTNL_UDATA_SET_TYPEOF_DATA, data),
  ]);
}

/** `ct zone`, of either direction. */
const ZONE = typeOf(EXPR.EXPR_CT, numbered(NFT_CT.NFT_CT_ZONE, -1));

function expressionOf(field: Field): Buffer {
  const { source, length, described } = FIELDS[field];
  if (source.kind === 'meta') return typeOf(EXPR.EXPR_META, numbered(source.key));
  if (described === undefined) throw new NotEncodable(`the expression ${field} for a reader`);
  const { protocol, field: place, bits } = described;
  const data = [numbered(protocol, place)];
  // Raw payload is described by where it is: enum proto_bases, and bits.
  if (protocol === PROTO_DESC.UNKNOWN)
    data[0] = numbered(protocol, place, source.base + 1, 8 * source.offset, 8 * length);
  if (bits !== undefined) data.push(userData(NFTNL_UDATA_SET_KEY_PAYLOAD_LEN, le32(bits)));
  return typeOf(EXPR.EXPR_PAYLOAD, Buffer.concat(data));
}

function concatenated(fields: readonly Field[]): Buffer {
  return typeOf(EXPR.EXPR_CONCAT, Buffer.concat(fields.map((field, index) => userData(index, expressionOf(field)))));
}

/** Elements as attributes of NFTA_SET_ELEM_LIST_ELEMENTS: one each, or two for both ends of an interval. */
export function elementAttributes(
  { fields, interval }: Pick<NamedSet, 'fields' | 'interval'>,
  elements: readonly (Element | ListedElement)[],
  what: 'keys' | 'keys and data',
): readonly Buffer[] {
  return elements.flatMap((element) => {
    if ('listed' in element) throw new NotEncodable(`an element that was read as ${element.listed}`);
    const key = 'key' in element ? element.key : element;
    const data = what === 'keys and data' && 'key' in element ? [dataOf(element.data)] : [];
    if (!interval) return [listed(keyAttribute(firstOf(fields, key)), ...data)];
    if (fields.length > 1) {
      const ends = fields.map((field, index) => endsOf(field, key[index]));
      const last = Buffer.concat(ends.map((end) => padded(end.last)));
      return [
        listed(
          keyAttribute(Buffer.concat(ends.map(({ first }) => padded(first)))),
          keyAttribute(last, NFTA_SET_ELEM.NFTA_SET_ELEM_KEY_END),
          ...data,
        ),
      ];
    }
    return intervalEnds(fields, key, data);
  });
}

/** The last address or number has nothing behind it: such an interval stays open. */
function intervalEnds(fields: readonly Field[], [component]: Key, data: readonly Buffer[]): readonly Buffer[] {
  const [field] = fields;
  if (field === undefined) throw new NotEncodable('a set without a field');
  const { first, last } = endsOf(field, component);
  const behind = following(last);
  if (behind === undefined) {
    const open = userData(NFTNL_UDATA_SET_ELEM_FLAGS, le32(NFTNL_SET_ELEM_F_INTERVAL_OPEN));
    return [listed(keyAttribute(first), ...data, attribute(NFTA_SET_ELEM.NFTA_SET_ELEM_USERDATA, open))];
  }
  return [listed(keyAttribute(first), ...data), listed(END, keyAttribute(behind))];
}

const END = attribute(NFTA_SET_ELEM.NFTA_SET_ELEM_FLAGS, be32(NFT_SET_ELEM_INTERVAL_END));

/**
 * Before the first interval of a set that holds nothing else nft(8) says that nothing is in it; a rule with such a set is known again by that.
 */
export function beforeFirst({ fields, interval, content }: SetShape): readonly Buffer[] {
  const [field] = fields;
  if (!interval || fields.length > 1 || field === undefined) return [];
  const zero = Buffer.alloc(FIELDS[field].length);
  const isFirst = content.elements.some((element) => {
    const [component] = 'key' in element ? element.key : element;
    return endsOf(field, component).first.equals(zero);
  });
  return isFirst ? [] : [listed(END, keyAttribute(zero))];
}

function following(bytes: Buffer): Buffer | undefined {
  const next = Buffer.from(bytes);
  for (let at = next.length - 1; at >= 0; at--) {
    const byte = (next[at] ?? 0) + 1;
    next[at] = byte & 0xff;
    if (byte <= 0xff) return next;
  }
  return undefined;
}

/** The value of a key without intervals. */
function firstOf(fields: readonly Field[], key: Key): Buffer {
  const values = fields.map((field, index) => {
    const { first, last } = endsOf(field, key[index]);
    if (first !== last && !first.equals(last)) throw new NotEncodable(`an interval of ${field} in a set without`);
    return first;
  });
  const [only] = values;
  return values.length === 1 && only !== undefined ? only : Buffer.concat(values.map(padded));
}

/** With zeros behind it up to whole registers of four bytes. */
function padded(value: Buffer): Buffer {
  const length = (value.length + 3) & ~3;
  if (length === value.length) return value;
  const bytes = Buffer.allocUnsafe(length);
  bytes.set(value);
  return bytes.fill(0, value.length);
}

function listed(...attributes: readonly Buffer[]): Buffer {
  return nested(NFTA_LIST_ELEM, ...attributes);
}

function keyAttribute(value: Buffer, type: number = NFTA_SET_ELEM.NFTA_SET_ELEM_KEY): Buffer {
  return nested(type, attribute(NFTA_DATA.NFTA_DATA_VALUE, value));
}

/** What an element of a map leads to. */
export function dataOf(data: Verdict | number | string): Buffer {
  if (typeof data === 'object') return nested(NFTA_SET_ELEM.NFTA_SET_ELEM_DATA, verdictData(data));
  if (typeof data === 'string') throw new NotEncodable(`data that was read as ${data}`);
  const zone = Buffer.alloc(ZONE_LENGTH);
  zone.writeUInt16LE(data);
  return nested(NFTA_SET_ELEM.NFTA_SET_ELEM_DATA, attribute(NFTA_DATA.NFTA_DATA_VALUE, zone));
}
