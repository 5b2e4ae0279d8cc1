/**
 * A lock of one process on a file that nobody else may write: flock(2), which the kernel gives back when the process ends, however
 * it ends. Node cannot ask for it; flock(1) can, on a file that we hold open.
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, lstatSync, mkdirSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** For flock(1), which only asks the kernel. */
const DEADLINE_MS = 10_000;
/** Permissions of a group and of others to write. */
const OTHERS_WRITE = 0o022;

export class LockError extends Error {
  override readonly name = 'LockError';
}

/** Held until it is released; the end of the process does that, too. */
export interface FileLock {
  readonly release: () => void;
  /** Of the open file: a child that is given it holds the lock as well, until both have let it go. */
  readonly descriptor: number;
}

/**
 * Takes the lock of this network namespace.
 * @returns undefined when another process has it.
 * @throws LockError when the folder is somebody else's, or cannot be made.
 */
export async function takeFileLock(folder: string, name: string): Promise<FileLock | undefined> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const { uid, mode } = lstatSync(folder);
    const isOurs = (uid === 0 || uid === process.geteuid?.()) && (mode & OTHERS_WRITE) === 0;
    if (!isOurs) throw new LockError(`${folder}: others may write there: valid is a folder of root, mode 0755`);
  } catch (error) {
    if (error instanceof LockError) throw error;
    throw new LockError(`${folder}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return lockFile(lockPath(folder, name));
}

/** The file that {@link takeFileLock} locks. */
export function lockPath(folder: string, name: string): string {
  const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? '';
  return join(folder, `${name}-${namespace}.lock`);
}

/** Processes that have the file open, as far as they may be looked at. */
export function holdersOf(path: string): readonly number[] {
  const isHeldBy = (pid: string): boolean => {
    try {
      const folder = join('/proc', pid, 'fd');
      return readdirSync(folder).some((descriptor) => linkOf(join(folder, descriptor)) === path);
    } catch {
      // It ended meanwhile, or is somebody else's.
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter(isHeldBy)
    .map(Number);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Takes the lock of a file, which is made when it is not there and stays: whoever may write it may take it.
 * @returns undefined when another process has it, or this one does.
 * @throws LockError
 */
export async function lockFile(path: string): Promise<FileLock | undefined> {
  let descriptor: number;
  try {
    descriptor = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW,
      0o600,
    );
  } catch (error) {
    throw new LockError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const release = (): void => {
    closeSync(descriptor);
  };
  try {
    if (await isTaken(descriptor)) return { release, descriptor };
  } catch (error) {
    release();
    throw error;
  }
  release();
  return undefined;
}

/** @returns true when the lock is the open file's now, which we keep; the program shares it and ends. */
async function isTaken(descriptor: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', descriptor] });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new LockError('flock(1) does not answer'));
    }, DEADLINE_MS);
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
