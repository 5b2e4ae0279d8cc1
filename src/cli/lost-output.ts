/** What is printed and not taken is never passed over: `diff` that says nothing, and exits with 0, says that nothing differs. */
import { fstatSync, writeSync } from 'node:fs';
import { EXIT } from './exit-codes.js';

const STANDARD_OUTPUT = 1;

/** From here on the process ends where standard output takes nothing any more. */
export function endWithOutput(): void {
  process.stdout.on('error', outputLost);
  // Whom could it be told? The exit status still says what there was to say.
  process.stderr.on('error', () => undefined);
}

function outputLost(error: NodeJS.ErrnoException): never {
  // A reader that has seen enough (`| head`) knows that it has not seen all.
  if (error.code !== 'EPIPE') {
    process.stderr.write(`error: standard output: ${error.message}: what was printed is not whole\n`);
  }
  process.exit(EXIT.inputOutput);
}

let isFile: boolean | undefined;

/**
 * Prints all of a text, or ends the process. Node writes to a file once, and does not look how much of it was taken: on a disk that
 * is almost full the rest would be lost without a word.
 */
export function print(text: string): void {
  isFile ??= fstatSync(STANDARD_OUTPUT).isFile();
  if (!isFile) {
    process.stdout.write(text);
    return;
  }
  let rest = Buffer.from(text);
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(STANDARD_OUTPUT, rest));
  } catch (error) {
    if (error instanceof Error) outputLost(error);
    throw error;
  }
}
