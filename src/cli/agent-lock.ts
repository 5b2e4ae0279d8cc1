/** The lock of whoever keeps or changes what is loaded in this network namespace: the agent, as long as it lives, or a command. */
import { readFileSync } from 'node:fs';
import { holdersOf, LockError, lockPath, takeFileLock, type FileLock } from '../system/file-lock.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

/** Only root can write there: who takes a lock elsewhere could keep the agent away. */
const FOLDER = '/run/portcullis';
const NAME = 'agent';

/**
 * For the agent, until it ends.
 * @returns undefined where another process has it.
 * @throws CommandError where nobody can have it.
 */
export async function takeAgentLock(): Promise<FileLock | undefined> {
  try {
    return await takeFileLock(FOLDER, NAME);
  } catch (error) {
    if (error instanceof LockError) throw new CommandError(EXIT.kernelRefused, `the lock: ${error.message}`);
    throw error;
  }
}

/** Why an agent does not begin where another process has the lock. */
export function besideAnother(): CommandError {
  const { isAgent, who } = holder();
  return new CommandError(
    EXIT.kernelRefused,
    isAgent
      ? 'another agent is at work here: one at a time on a host'
      : `a command is changing what is loaded here${who}: start again when it has ended`,
  );
}

/**
 * For commands that change what an agent keeps: it would undo that at once, and what was meant would be in force for an instant. So none
 * is at work before, and none starts until the work is done.
 * @param instead what is to be done.
 * @param work is given the lock's descriptor, for a child that goes on with it when the command is gone.
 * @throws CommandError while an agent, or another command, is at work here.
 */
export async function besideNoAgent<T>(instead: string, work: (descriptor: number) => Promise<T>): Promise<T> {
  const lock = await takeAgentLock();
  if (lock === undefined) {
    const { isAgent, who } = holder();
    throw new CommandError(
      EXIT.kernelRefused,
      isAgent
        ? `an agent is at work here${who}, and would undo this at once: nothing was changed; ${instead}`
        : `another command is changing what is loaded here${who}: nothing was changed; wait until it has ended`,
    );
  }
  try {
    return await work(lock.descriptor);
  } finally {
    lock.release();
  }
}

/** Who has it, as far as that can be seen. */
function holder(): { readonly isAgent: boolean; readonly who: string } {
  const [pid] = holdersOf(lockPath(FOLDER, NAME));
  if (pid === undefined) return { isAgent: true, who: '' };
  return { isAgent: commandLine(pid).includes('agent'), who: ` (process ${pid.toString()})` };
}

function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid.toString()}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
