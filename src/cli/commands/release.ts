/** `portcullis release`: leave alone a device that is closed since it was a port's once. */
import type { CommandModule } from 'yargs';
import { EXIT } from '../exit-codes.js';
import { say } from '../output.js';
import { askAgent, socketOption } from '../socket.js';

interface ReleaseArguments {
  readonly socket: string;
  readonly device: string;
}

export const releaseCommand: CommandModule<object, ReleaseArguments> = {
  command: 'release <device>',
  describe: 'leave alone a device that is closed since it was a port’s once: NOTHING IS FILTERED there any more',
  builder: (yargs) =>
    yargs
      .positional('device', { type: 'string', demandOption: true, describe: 'its name, as `status` lists it' })
      .options({ ...socketOption })
      .example('$0 release vnet7', 'it is now a guest that nothing is to be filtered for'),
  handler: async ({ socket, device }) => {
    const { code, body } = await askAgent(socket, `/release?device=${encodeURIComponent(device)}`, 'POST');
    say(body.trimEnd());
    if (code !== 200) process.exitCode = EXIT.invalidInput;
  },
};
