/** The lock of the agent of this network namespace, and what other commands do while an agent has it. */
import { holdersOf, LockError, lockPath, takeFileLock, type Release } from '../system/file-lock.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

/** Only root can write there: who takes a lock elsewhere could keep the agent away. */
const FOLDER = '/run/portcullis';
const NAME = 'agent';

/**
 * @returns undefined where another process has it.
 * @throws CommandError where nobody can have it.
 */
export async function takeAgentLock(): Promise<Release | undefined> {
  try {
    return await takeFileLock(FOLDER, NAME);
  } catch (error) {
    if (error instanceof LockError) throw new CommandError(EXIT.kernelRefused, `the lock: ${error.message}`);
    throw error;
  }
}

/**
 * For commands that change what an agent keeps: it would undo that at once, and what was meant would be in force for an instant.
 * @param instead what is to be done.
 * @throws CommandError while an agent is at work here.
 */
export async function refuseBesideAgent(instead: string): Promise<void> {
  const release = await takeAgentLock();
  if (release !== undefined) {
    release();
    return;
  }
  const [pid] = holdersOf(lockPath(FOLDER, NAME));
  const who = pid === undefined ? '' : ` (process ${pid.toString()})`;
  throw new CommandError(
    EXIT.kernelRefused,
    `an agent is at work here${who}, and would undo this at once: nothing was changed; ${instead}`,
  );
}
