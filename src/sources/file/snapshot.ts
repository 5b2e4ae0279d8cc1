/**
 * Reads files that somebody may be writing: what is opened must not change for a while. A file that is renamed over stays
 * what it was for whoever has it open, so that a writer who replaces it without a pause is followed all the same.
 */
import { realpath, stat, type FileHandle } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { BigIntStats } from 'node:fs';
import { openDocument } from './open.js';
import { documentFiles, readAll, unreadable, type ReadResult } from './read.js';

export interface Snapshot {
  /** The {@link fingerprint} of what was read. */
  readonly mark: string;
  readonly result: ReadResult;
}

/**
 * @param settle for how long the files must stay the same, in milliseconds
 * @returns undefined when somebody is writing them
 */
export async function readSettled(path: string, settle: number): Promise<Snapshot | undefined> {
  const handles: FileHandle[] = [];
  const before = await fingerprint(path);
  try {
    const target = await realpath(path);
    const files = await documentFiles(target);
    for (const file of files) handles.push(await openDocument(file));
    const marks = async (mark: InodeMark): Promise<string> => marksOf(target, files, handles, mark);
    const [mark, contents] = [await marks(inodeMark), await marks(contentMark)];
    await setTimeout(settle);
    const result = await readAll(files.map(shownAs(target, path)), async (_file, index) => textOf(handles[index]));
    const isSame = (await marks(contentMark)) === contents && sameFiles(files, await documentFiles(target));
    return isSame ? { mark, result } : undefined;
  } catch (error) {
    // An editor may have taken the old file away and be about to bring the new one.
    await setTimeout(settle);
    if ((await fingerprint(path)) !== before) return undefined;
    // No fingerprint is like it: what hinders may go without a trace (a right, a free descriptor), so that it is tried again.
    return { mark: `${before} not read`, result: unreadable(path, error) };
  } finally {
    for (const handle of handles) await handle.close();
  }
}

/** Changes when what a path leads to changes. */
export async function fingerprint(path: string): Promise<string> {
  try {
    const target = await realpath(path);
    const files = await documentFiles(target);
    const marks = await Promise.all(files.map(async (file) => inodeMark(file, await stat(file, { bigint: true }))));
    return [target, ...marks].join('\n');
  } catch (error) {
    return unreadableMark(error);
  }
}

type InodeMark = (file: string, stats: BigIntStats) => string;

/** The same as {@link fingerprint}, of what is open. */
async function marksOf(
  target: string,
  files: readonly string[],
  handles: readonly FileHandle[],
  mark: InodeMark,
): Promise<string> {
  const stats = await Promise.all(handles.map(async (handle) => handle.stat({ bigint: true })));
  const marks = stats.map((of, index) => mark(files[index] ?? '', of));
  return [target, ...marks].join('\n');
}

/**
 * With the time of the last change of the inode itself, which nobody can set: whoever unpacks an archive, or copies with `cp -p`, gives a file
 * the time that it had elsewhere, and the number of the inode that was there may be taken again.
 */
function inodeMark(file: string, stats: BigIntStats): string {
  return `${contentMark(file, stats)} ${stats.ctimeNs.toString()}`;
}

/** Without it: being renamed over changes that, and not the content of what is open. */
function contentMark(file: string, { dev, ino, mode, size, mtimeNs }: BigIntStats): string {
  return [file, dev, ino, mode, size, mtimeNs].join(' ');
}

function unreadableMark(error: unknown): string {
  return `unreadable ${error instanceof Error ? error.message : String(error)}`;
}

async function textOf(handle: FileHandle | undefined): Promise<string> {
  return (await handle?.readFile('utf8')) ?? '';
}

function sameFiles(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((file, index) => file === b[index]);
}

/** Problems name files as the user did, not where links lead. */
function shownAs(target: string, path: string): (file: string) => string {
  return (file) => path + file.slice(target.length);
}
