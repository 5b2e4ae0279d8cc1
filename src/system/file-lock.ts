/**
 * A lock of one process in a folder that nobody else may write: flock(2), which the kernel gives back when the process ends, however
 * it ends. Node cannot ask for it; flock(1) can, on a file that we hold open.
 */
import { spawn } from 'node:child_process';
import { lstatSync, mkdirSync, openSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** For flock(1), which only asks the kernel; in milliseconds. */
const DEADLINE = 10_000;
/** Permissions of a group and of others to write. */
const OTHERS_WRITE = 0o022;

export class LockError extends Error {
  override readonly name = 'LockError';
}

/**
 * Takes the lock of this network namespace for as long as the process lives.
 * @returns false when another process has it.
 * @throws LockError when the folder is somebody else's, or cannot be made.
 */
export async function takeFileLock(folder: string, name: string): Promise<boolean> {
  const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? '';
  let descriptor: number;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const { uid, mode } = lstatSync(folder);
    const isOurs = (uid === 0 || uid === process.geteuid?.()) && (mode & OTHERS_WRITE) === 0;
    if (!isOurs) throw new LockError(`${folder}: others may write there: valid is a folder of root, mode 0755`);
    descriptor = openSync(join(folder, `${name}-${namespace}.lock`), 'a', 0o600);
  } catch (error) {
    if (error instanceof LockError) throw error;
    throw new LockError(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return new Promise((resolve, reject) => {
    // The lock is the open file's, which we keep; the program shares it and ends.
    const child = spawn('flock', ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', descriptor] });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new LockError('flock(1) does not answer'));
    }, DEADLINE);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new LockError(`flock(1) cannot be started: ${error.message}`));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code === 0);
    });
  });
}
