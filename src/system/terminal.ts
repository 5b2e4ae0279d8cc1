/** Words to a terminal that may be stopped (Ctrl-S, a reader that hangs): Node would wait for it for ever. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';

/** Between two tries. */
const PAUSE_MS = 20;

/**
 * Writes to a terminal, and gives up what it does not take in time.
 * @param within in milliseconds.
 * @returns false where it cannot be written to without waiting; then nothing was written.
 */
export function writeToTerminal(descriptor: number, text: string, within: number): boolean {
  const terminal = openedAnew(descriptor);
  if (terminal === undefined) return false;
  const until = performance.now() + within;
  let rest = Buffer.from(text);
  while (rest.length > 0 && performance.now() < until) {
    try {
      rest = rest.subarray(writeSync(terminal, rest));
    } catch (error) {
      // It is gone: nobody is left to tell.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) break;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
  closeSync(terminal);
  return true;
}

/** A pipe or a terminal, opened once more; others who hold it wait as before. Sockets cannot be, nor what somebody else owns. */
export function openedAnew(descriptor: number): number | undefined {
  try {
    return openSync(
      `/proc/self/fd/${descriptor.toString()}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY | constants.O_APPEND,
    );
  } catch {
    return undefined;
  }
}
