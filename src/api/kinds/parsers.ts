/** Readers of values that clients give: each takes one as Neutron does, or refuses it in Neutron's words. */
import { isUuid } from '../../../compiler/model/index.js';
import { isObject, listOf, type Fields } from '../../openstack/answer.js';
import { invalidInput } from '../errors.js';

export { isObject, listOf, type Fields };

/** Reads a value; throws ApiError (400) with the attribute's name when it is not one. */
export type Parser<T> = (value: unknown, name: string) => T;

/** How long a text is: in characters (code points), as Python and databases count. */
export function characters(value: string): number {
  let count = 0;
  for (let index = 0; index < value.length; index++) {
    const unit = value.charCodeAt(index);
    // The second half of a pair is not a character more.
    if (unit < 0xdc00 || unit > 0xdfff) count++;
  }
  return count;
}

/** True for what every store, database and client can hold: no NUL, and no half of a surrogate pair (what is no valid Unicode). */
export function isStorable(value: string): boolean {
  return !value.includes('\0') && !/\p{Surrogate}/u.test(value);
}

/** @param most characters. */
export function text(most: number): Parser<string> {
  return (value, name) => {
    if (typeof value !== 'string') throw invalidInput(name, `'${shown(value)}' is not a valid string`);
    if (characters(value) > most)
      throw invalidInput(name, `'${shown(value)}' exceeds maximum length of ${most.toString()}`);
    if (!isStorable(value)) throw invalidInput(name, `'${shown(value)}' holds NUL or is no valid Unicode`);
    return value;
  };
}

/** As Neutron reads one: true and false, 0 and 1, and words for them. */
export const truth: Parser<boolean> = (value, name) => {
  const found = asTruth(value);
  if (found === undefined) throw invalidInput(name, `'${shown(value)}' cannot be converted to boolean`);
  return found;
};

export function asTruth(value: unknown): boolean | undefined {
  const word = typeof value === 'string' ? value.toLowerCase() : value;
  if (word === true || word === 1 || ['true', '1', 'yes', 'on', 't', 'y'].includes(String(word))) return true;
  if (word === false || word === 0 || ['false', '0', 'no', 'off', 'f', 'n'].includes(String(word))) return false;
  return undefined;
}

export function integer(least: number, most: number): Parser<number> {
  return (value, name) => {
    const number = typeof value === 'string' && /^-?\d{1,10}$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number))
      throw invalidInput(name, `'${shown(value)}' is not an integer`);
    if (number < least || number > most) {
      throw invalidInput(name, `'${shown(value)}' is not in range ${least.toString()} through ${most.toString()}`);
    }
    return number;
  };
}

export function nullable<T>(parse: Parser<T>): Parser<T | null> {
  return (value, name) => (value === null ? null : parse(value, name));
}

export function oneOf<T extends string>(values: readonly T[]): Parser<T> {
  return (value, name) => {
    const found = values.find((one) => one === value);
    if (found === undefined)
      throw invalidInput(name, `'${shown(value)}' is not in [${values.map((one) => `'${one}'`).join(', ')}]`);
    return found;
  };
}

export const uuid: Parser<string> = (value, name) => {
  if (!isUuid(value)) throw invalidInput(name, `'${shown(value)}' is not a valid UUID`);
  return value.toLowerCase();
};

/** A list; null is an empty one. @param most entries. */
export function list<T>(parse: Parser<T>, most = 10_000): Parser<readonly T[]> {
  return (value, name) => {
    if (value === null) return [];
    if (!Array.isArray(value)) throw invalidInput(name, `'${shown(value)}' is not a list`);
    if (value.length > most) throw invalidInput(name, `more than ${most.toString()} entries`);
    return listOf(value).map((entry) => parse(entry, name));
  };
}

/** The same, with nothing in it twice. */
export function distinct(parse: Parser<string>, most?: number): Parser<readonly string[]> {
  return (value, name) => {
    const seen = new Set<string>();
    for (const one of list(parse, most)(value, name)) {
      if (seen.has(one)) throw invalidInput(name, `Duplicate items in the list: '${shown(one)}'`);
      seen.add(one);
    }
    return [...seen];
  };
}

export const object: Parser<Fields> = (value, name) => {
  if (!isObject(value)) throw invalidInput(name, `'${shown(value)}' is not a dictionary`);
  return value;
};

/** Of a value in a message, in characters. */
const MOST_SHOWN = 80;

/** A value in a message: short, on one line. */
export function shown(value: unknown): string {
  // Its type says a text, and it gives undefined for undefined.
  const said = typeof value === 'string' ? value : ((JSON.stringify(value) as string | undefined) ?? 'undefined');
  // Cut first: it may be megabytes, and is read by nobody.
  const safe = said.slice(0, MOST_SHOWN).replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?');
  return said.length > MOST_SHOWN ? `${safe}...` : safe;
}
