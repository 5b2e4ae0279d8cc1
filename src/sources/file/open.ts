/** Opens files that somebody else may put in our way: only regular ones, and never so that opening waits for anybody. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/** A topology of a hundred thousand ports is a fifth of it; in bytes. */
const MOST_BYTES = 256 * 1024 * 1024;

/** What a path leads to is not what a document is; the message says what it is. */
export class NotADocument extends Error {
  override readonly name = 'NotADocument';
}

/** @throws NotADocument, or the system's own error (ENOENT, EACCES, ELOOP, EMFILE, ...). To be closed by the caller. */
export async function openDocument(path: string): Promise<FileHandle> {
  // A pipe without a writer would keep the opening thread for ever; there are four of these.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = await handle.stat();
    const kind = stats.isFIFO()
      ? 'a named pipe'
      : stats.isDirectory()
        ? 'a folder'
        : stats.isCharacterDevice() || stats.isBlockDevice()
          ? 'a device'
          : stats.isFile()
            ? undefined
            : 'no file';
    if (kind !== undefined) throw new NotADocument(`is ${kind}: valid is a regular file`);
    if (stats.size > MOST_BYTES) {
      throw new NotADocument(`has ${stats.size.toString()} bytes: valid are at most ${MOST_BYTES.toString()}`);
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The text of a document. @throws as {@link openDocument} */
export async function readDocument(path: string): Promise<string> {
  const handle = await openDocument(path);
  try {
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}
