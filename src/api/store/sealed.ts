/** Records as they are on disk: with a checksum over key and content, so that a byte that changed there is noticed, not served. */
import { createHash } from 'node:crypto';
import type { Json } from './store.js';

/** Hexadecimal digits: 128 bits of a SHA-256. Against accidents; who may write the file may write checksums. */
const DIGITS = 32;
const SEALED = /^[0-9a-f]{32} /;

export interface Opened {
  readonly value: Json;
  readonly digest: string;
}

export function seal(key: string, value: Json): string {
  const text = JSON.stringify(value);
  return `${digestOf(key, text)} ${text}`;
}

/** @returns undefined for what is not as it was written. What schema 1 wrote has no checksum, and the digest that it would have. */
export function unseal(key: string, stored: string): Opened | undefined {
  const isSealed = SEALED.test(stored);
  const text = isSealed ? stored.slice(DIGITS + 1) : stored;
  const digest = digestOf(key, text);
  if (isSealed && !stored.startsWith(digest)) return undefined;
  try {
    return { value: JSON.parse(text) as Json, digest };
  } catch {
    return undefined;
  }
}

export function isSealed(stored: string): boolean {
  return SEALED.test(stored);
}

/** Of the record that a stored text holds. */
export function digestIn(stored: string): string {
  return stored.slice(0, DIGITS);
}

function digestOf(key: string, text: string): string {
  return createHash('sha256').update(key).update('\n').update(text).digest('hex').slice(0, DIGITS);
}

/** Of no record. */
export const EMPTY_SUM = '0'.repeat(DIGITS);

/** Of all records together, in any order: adding one and taking it out are the same (exclusive or). */
export function toggled(sum: string, digest: string): string {
  return (BigInt(`0x${sum}`) ^ BigInt(`0x${digest}`)).toString(16).padStart(DIGITS, '0');
}
