/** `portcullis api hash-password`: the hash of a password, for the file of users. */
import type { CommandModule } from 'yargs';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { printLine } from '../output.js';

/** Of a password, in bytes. */
const MOST = 4096;

export const hashPasswordCommand: CommandModule = {
  command: 'hash-password',
  describe: 'read a password from standard input and print its hash (scrypt), for the file of users',
  builder: (yargs) =>
    yargs.example('$0 api hash-password < password', 'for `password:` in the file of --auth tokens:FILE'),
  handler: async () => {
    const { hashPassword } = await import('../../api/index.js');
    const password = await firstLine();
    if (password === '') throw new CommandError(EXIT.invalidInput, 'standard input: the password is empty');
    printLine(await hashPassword(password));
  },
};

async function firstLine(): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of process.stdin) {
    parts.push(part as Buffer);
    if (Buffer.concat(parts).length > MOST) {
      throw new CommandError(EXIT.invalidInput, `standard input: more than ${MOST.toString()} bytes are no password`);
    }
  }
  return Buffer.concat(parts)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}
