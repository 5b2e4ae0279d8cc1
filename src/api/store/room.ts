/** Whether a file system has room for a commit. */
import { statfsSync } from 'node:fs';

/**
 * Kept free: LMDB writes whole pages, copies of those on the way to what changed, and its list of free ones. In bytes.
 *
 * LMDB as we have it must not meet a full disk itself: its write fails, and once in about ten times its memory is corrupt then, and the process
 * is aborted ("free(): invalid size"; test/client/disk-full.test.ts).
 */
const RESERVE_BYTES = 512 * 1024;
/** Of what is stored, at most: old pages stay until no reader needs them. */
const COPIES = 4;

/**
 * @param path of the store's folder
 * @param size of what a commit writes, in bytes
 */
export function hasRoom(path: string, size: number): boolean {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize >= RESERVE_BYTES + COPIES * size;
}
