/** Address groups. */
import { z } from 'zod';
import { parsePrefix } from '../../../compiler/model/index.js';
import { invalidInput } from '../errors.js';
import { attribute, defaulted, fixed, STANDARD, TEXTS, words, type RecordOf } from './attribute.js';
import { list, shown, type Parser } from './parsers.js';

/** Addresses in all groups of a project together: Neutron knows no quota of them. */
export const MOST_ADDRESSES = 100_000;

/** A prefix in network form, `10.0.0.0/24`, `10.0.0.1/32`. */
export function networkForm(value: unknown, name: string): string {
  const prefix = typeof value === 'string' ? parsePrefix(value) : undefined;
  if (prefix === undefined) throw invalidInput(name, `'${shown(value)}' is not a valid IP subnet`);
  return prefix.text.includes('/') ? prefix.text : `${prefix.text}/${prefix.length.toString()}`;
}

/** Neutron asks for the length on creation, and not when addresses are added. */
const cidr: Parser<string> = (value, name) => {
  if (typeof value === 'string' && !value.includes('/')) {
    throw invalidInput(
      name,
      `'${shown(value)}' isn't a recognized IP subnet cidr, '${shown(value)}/32' is recommended`,
    );
  }
  return networkForm(value, name);
};

export const ADDRESS_GROUP = {
  ...STANDARD,
  name: words(255),
  description: words(1024),
  addresses: attribute(TEXTS, z.array(z.string()).default([]), fixed(defaulted(list(cidr, MOST_ADDRESSES), []))),
};

export type AddressGroupRecord = RecordOf<typeof ADDRESS_GROUP>;
