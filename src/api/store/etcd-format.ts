/**
 * How a store lies in etcd, below its prefix:
 *
 * | key | value |
 * |---|---|
 * | `head` | {@link Head}: the revision, and who made it. Every commit compares it and writes it |
 * | `identity` | made with the store, and never again |
 * | `records/KIND/ID` | a record as JSON; `#N` where it is longer than {@link MOST_VALUE_BYTES}: then it lies in N pieces |
 * | `pieces/KIND/ID/NNNNNN` | a piece of it |
 * | `view`, `view/…`, `reports/…` | for agents: sources/etcd/layout.ts; written by the commit that changes what it shows |
 * | `parts/COMMIT/NNNNNN` | a part of a commit that is larger than one transaction of etcd: a list of {@link Write} |
 *
 * etcd takes 128 operations and 1.5 MiB a transaction at most (`--max-txn-ops`, `--max-request-bytes`). A larger commit is written as
 * parts first; it is decided by the one transaction that names it in the head (`next`), carried out by as many as it takes, and seen
 * when the head has its revision. Who finds one that was left halfway carries it out to its end.
 */
import { z } from 'zod';
import { jsonOf } from '../../../compiler/model/json-text.js';
import { VIEW, VIEW_VERSION } from '../../sources/etcd/layout.js';
import type { ViewChanges } from '../topology/host-view.js';
import type { Changes, Json } from './store.js';

/** In bytes, of UTF-8; so that a few of them and what is around them go into one request. */
export const MOST_VALUE_BYTES = 384 * 1024;
/** Of one transaction. */
export const MOST_BYTES = 1024 * 1024;
export const MOST_OPERATIONS = 100;

const HEAD = z.object({
  revision: z.int().nonnegative(),
  schema: z.int().positive(),
  /** Of the commit that made it. */
  by: z.string(),
  next: z.object({ by: z.string(), schema: z.int().positive(), parts: z.int().positive() }).optional(),
});
export type Head = z.infer<typeof HEAD>;

/** A key below the prefix, and what it is to hold; undefined for one that goes. */
export type Write = readonly [key: string, value: string | undefined];

const PART = z.array(z.tuple([z.string(), z.string().nullable()]));

/** @throws Error for what is none; one line. */
export function readHead(text: string): Head {
  const head = HEAD.safeParse(jsonOf(text));
  if (!head.success) throw new Error('head: not as it was written');
  return head.data;
}

export function printHead(head: Head): string {
  // Agents read the head, and not the key of the version.
  return JSON.stringify({ ...head, view: VIEW_VERSION });
}

export function printPart(writes: readonly Write[]): string {
  return JSON.stringify(writes.map(([key, value]) => [key, value ?? null]));
}

/** @throws Error for what is none; one line. */
export function readPart(text: string): readonly Write[] {
  const part = PART.safeParse(jsonOf(text));
  if (!part.success) throw new Error('parts: not as they were written');
  return part.data.map(([key, value]) => [key, value ?? undefined]);
}

/** Holds of which version what is below {@link VIEW} is; of another one it is written anew. */
export const VIEW_VERSION_KEY = 'view';

export const RECORDS = 'records/';
export const PIECES = 'pieces/';

/** @param piecesBefore of how many pieces a record is now; 0 for one that is whole or not there. */
export function writesOf(changes: Changes, piecesBefore: (key: string) => number): readonly Write[] {
  return [...changes].flatMap(([key, value]): readonly Write[] => {
    const text = value === undefined ? undefined : JSON.stringify(value);
    const pieces = text === undefined || Buffer.byteLength(text) <= MOST_VALUE_BYTES ? [] : cut(text);
    const gone = Array.from({ length: Math.max(0, piecesBefore(key) - pieces.length) }, (_, index): Write => {
      return [pieceKey(key, pieces.length + index), undefined];
    });
    const marker = pieces.length === 0 ? text : `#${pieces.length.toString()}`;
    return [...pieces.map((piece, index): Write => [pieceKey(key, index), piece]), ...gone, [RECORDS + key, marker]];
  });
}

/** Transactions of etcd of which no two write the same key: in whatever order they are carried out, or at once, the outcome is the same. */
export type Stage = readonly (readonly Write[])[];

/**
 * What a commit writes, in transactions of etcd, stage by stage. Of one that takes several, the first stage marks what agents see of it, so
 * that each knows before it sees anything else that there is more to come; the last one marks it again, so that each knows that it has all.
 * @param by the commit's name.
 */
export function transactionsOf(
  by: string,
  records: readonly Write[],
  { writes, touched, gone }: ViewChanges,
): readonly Stage[] {
  const content: readonly Write[] = [...[...writes].map(([key, text]): Write => [VIEW + key, text]), ...records];
  const marks = [...touched].map((scope): Write => [VIEW + scope, by]);
  const ends = [...gone].map((scope): Write => [VIEW + scope, undefined]);
  const whole = batchesOf([...marks, ...ends, ...content]);
  if (whole.length <= 1) return [whole];
  const first = [...marks, ...[...gone].map((scope): Write => [VIEW + scope, by])];
  return [batchesOf(first), batchesOf(content), batchesOf([...marks, ...ends])];
}

/** Writes that go into one transaction of etcd each. */
function batchesOf(writes: readonly Write[]): Stage {
  const batches: Write[][] = [];
  let bytes = Infinity;
  for (const write of writes) {
    const size = sizeOf(write);
    const last = batches.at(-1);
    if (last === undefined || last.length >= MOST_OPERATIONS || bytes + size > MOST_BYTES) {
      batches.push([write]);
      bytes = size;
    } else {
      last.push(write);
      bytes += size;
    }
  }
  return batches;
}

/** About, as JSON in a part: quotes and control characters take more than one byte. */
function sizeOf([key, value]: Write): number {
  return key.length + (value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value))) + 16;
}

/** What is written below the prefix, as records; what is read of them is what {@link writesOf} wrote. */
export class Pieces {
  readonly #counts = new Map<string, number>();

  /** Of how many pieces a record is. */
  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /**
   * The records that are among what was written.
   * @param pieceOf the text of a piece.
   * @throws Error with one line for what was not written by us.
   */
  changes(writes: Iterable<Write>, pieceOf: (key: string) => string | undefined): Map<string, Json | undefined> {
    const changes = new Map<string, Json | undefined>();
    for (const [written, text] of writes) {
      if (!written.startsWith(RECORDS)) continue;
      const key = written.slice(RECORDS.length);
      changes.set(key, text === undefined ? undefined : this.#value(key, text, pieceOf));
      if (text?.startsWith('#') === true) this.#counts.set(key, Number(text.slice(1)));
      else this.#counts.delete(key);
    }
    return changes;
  }

  #value(key: string, text: string, pieceOf: (key: string) => string | undefined): Json {
    const whole = text.startsWith('#')
      ? Array.from({ length: Number(text.slice(1)) }, (_, index) => pieceOf(pieceKey(key, index)) ?? '').join('')
      : text;
    const value = jsonOf(whole);
    if (value === undefined) throw new Error(`${key} is not as it was written`);
    // What jsonOf reads is JSON.
    return value as Json;
  }
}

function pieceKey(key: string, index: number): string {
  return `${PIECES}${key}/${index.toString().padStart(6, '0')}`;
}

/** Texts of at most {@link MOST_VALUE_BYTES} bytes as JSON; never through the middle of a character. */
function cut(text: string): readonly string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + MOST_VALUE_BYTES);
    while (Buffer.byteLength(text.slice(at, end)) > MOST_VALUE_BYTES) end = at + Math.floor((end - at) / 2);
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--;
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
