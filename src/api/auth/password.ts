/** Passwords in a file of users: as they are, or as hashes (scrypt, RFC 7914). */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { isSameSecret } from './secret.js';

/** OWASP's recommendation for scrypt: 128 MiB would be better and is too much for a service that anybody may ask; this is 32 MiB. */
const COST = { N: 2 ** 15, r: 8, p: 3 } as const;
const LENGTH = 32;
/** What a hash of a file may cost us, in bytes (128 * N * r). */
const MOST_MEMORY_BYTES = 256 * 1024 * 1024;

const HASH = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/]{16,}={0,2})\$([A-Za-z0-9+/]{22,}={0,2})$/;

interface Hash {
  readonly cost: { readonly N: number; readonly r: number; readonly p: number };
  readonly salt: Buffer;
  readonly key: Buffer;
}

/** @returns undefined for a password as it is. @throws Error for what begins as a hash and is none that can be used. */
export function parseHash(text: string): Hash | undefined {
  if (!text.startsWith('scrypt$')) return undefined;
  const [, N = '', r = '', p = '', salt = '', key = ''] = HASH.exec(text) ?? [];
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const isUsable =
    cost.N > 1 &&
    Number.isInteger(Math.log2(cost.N)) &&
    cost.r > 0 &&
    cost.p > 0 &&
    128 * cost.N * cost.r <= MOST_MEMORY_BYTES;
  if (!isUsable || cost.p > 16) {
    throw new Error('begins with scrypt$ and is no hash: valid is what `portcullis api hash-password` prints');
  }
  return { cost, salt: Buffer.from(salt, 'base64'), key: Buffer.from(key, 'base64') };
}

/** In the form that {@link parseHash} reads. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await derived(password, salt, LENGTH, COST);
  const { N, r, p } = COST;
  return ['scrypt', N, r, p, salt.toString('base64'), key.toString('base64')].join('$');
}

/**
 * Takes as long for a user who is not there as for one with a hash, and as for one whose password is in the file as it is: else who
 * asks learns who is there.
 * @param known undefined for no such user
 */
export async function isPassword(given: string, known: string | undefined, derive = derived): Promise<boolean> {
  const hash = known === undefined ? undefined : parseHash(known);
  const { salt, key: right, cost } = hash ?? NOBODY;
  const key = await derive(given, salt, right.length, cost);
  if (hash === undefined) return known !== undefined && isSameSecret(given, known);
  return timingSafeEqual(key, right);
}

const NOBODY: Hash = { cost: COST, salt: Buffer.alloc(16), key: Buffer.alloc(LENGTH) };

async function derived(password: string, salt: Buffer, length: number, cost: Hash['cost']): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, { ...cost, maxmem: 2 * MOST_MEMORY_BYTES }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
