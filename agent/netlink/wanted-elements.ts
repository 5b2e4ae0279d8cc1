/**
 * Elements of ours as the kernel would tell of them, as texts of their bytes (canonical.ts). A host has the same addresses and devices in many
 * sets: what each is to the kernel is made once, and a host's elements are some ten thousands.
 */
import type { Component, Field, Key, Verdict } from '../../compiler/index.js';
import { elementTexts } from './canonical.js';
import { attribute, ATTRIBUTE_HEADER_LENGTH, withoutNestedFlags } from './message.js';
import { endsOf, FIELDS } from './nf-tables-fields.js';
import { NFTA_DATA, NFTA_SET_ELEM } from './nf-tables-header.js';
import { dataOf, declaration, elementAttributes, flagsIn, paddedLength, type SetShape } from './nf-tables-sets.js';
import { NotKnown } from './not-known.js';

/** With zeros behind it up to whole registers of four bytes, and so up to the next attribute. */
interface Ends {
  readonly first: string;
  readonly last: string;
}

/** For one comparison: it keeps what it made. */
export class WantedElements {
  readonly #ends = new Map<Field, Map<string | number, Ends>>();
  readonly #data = new Map<string | number, string>();

  /** In the order of the set's, as {@link elementTexts} has them. @throws NotEncodable, NotKnown */
  of(set: SetShape): readonly string[] {
    const { fields, interval, content } = set;
    if (interval && fields.length === 1) return eachAlone(set);
    const ofKey = headerOf(fields, NFTA_SET_ELEM.NFTA_SET_ELEM_KEY);
    const ofEnd = headerOf(fields, NFTA_SET_ELEM.NFTA_SET_ELEM_KEY_END);
    return content.elements.map((element) => {
      const key = 'key' in element ? element.key : element;
      const data = 'key' in element ? this.#dataOf(element.data) : '';
      if (!interval) return `${ofKey}${this.#bytes(fields, key, 'only')}${data}`;
      return `${ofKey}${this.#bytes(fields, key, 'first')}${ofEnd}${this.#bytes(fields, key, 'last')}${data}`;
    });
  }

  #bytes(fields: readonly Field[], key: Key, end: 'first' | 'last' | 'only'): string {
    let bytes = '';
    for (const [index, field] of fields.entries()) {
      const { first, last } = this.#endsOf(field, key[index]);
      if (end === 'only' && first !== last) throw new NotKnown(`an interval of ${field} in a set without`);
      bytes += end === 'last' ? last : first;
    }
    return bytes;
  }

  #endsOf(field: Field, component: Component | undefined): Ends {
    let known = this.#ends.get(field);
    if (known === undefined) {
      known = new Map();
      this.#ends.set(field, known);
    }
    const name = nameOf(component);
    let ends = known.get(name);
    if (ends === undefined) {
      const { first, last } = endsOf(field, component);
      const text = (bytes: Buffer): string => bytes.toString('latin1').padEnd(paddedLength(field), '\0');
      ends = { first: text(first), last: text(last) };
      known.set(name, ends);
    }
    return ends;
  }

  #dataOf(data: Verdict | number): string {
    const name = typeof data === 'number' ? data : `${data.kind} ${'chain' in data ? data.chain : ''}`;
    let text = this.#data.get(name);
    if (text === undefined) {
      text = withoutNestedFlags(dataOf(data)).toString('latin1');
      this.#data.set(name, text);
    }
    return text;
  }
}

/** Of both ends of an interval, which are elements of their own. */
function eachAlone(set: SetShape): readonly string[] {
  const flags = flagsIn(Buffer.concat(declaration(set, 0)));
  return set.content.elements.map((element) => {
    const bytes = withoutNestedFlags(Buffer.concat(elementAttributes(set, [element], 'keys and data')));
    const [text, ...others] = elementTexts(flags, [bytes]);
    if (text === undefined || others.length > 0) throw new NotKnown('an element');
    return text;
  });
}

/** What stands before a key: the header of the attribute, and of the value in it (linux/netlink.h). */
function headerOf(fields: readonly Field[], type: number): string {
  const [field] = fields;
  const padded = fields.reduce((sum, one) => sum + paddedLength(one), 0);
  const length = fields.length === 1 && field !== undefined ? FIELDS[field].length : padded;
  const value = attribute(NFTA_DATA.NFTA_DATA_VALUE, Buffer.alloc(length));
  const whole = attribute(type, value);
  return whole.toString('latin1', 0, 2 * ATTRIBUTE_HEADER_LENGTH);
}

function nameOf(component: Component | undefined): string | number {
  if (typeof component !== 'object') return component ?? '';
  return 'family' in component ? component.text : `${component.first.toString()}-${component.last.toString()}`;
}
