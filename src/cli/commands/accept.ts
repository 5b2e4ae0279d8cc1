/** `portcullis accept`: obey a topology that the agent holds back since this host's ports have gone from it. */
import type { CommandModule } from 'yargs';
import { EXIT } from '../exit-codes.js';
import { say } from '../output.js';
import { askAgent, socketOption } from '../socket.js';

interface AcceptArguments {
  readonly socket: string;
}

export const acceptCommand: CommandModule<object, AcceptArguments> = {
  command: 'accept',
  describe: 'have the agent obey the topology that it holds back; exit 1 when it holds none back',
  builder: (yargs) => yargs.options({ ...socketOption }).example('$0 accept', 'the host is meant to be empty'),
  handler: async ({ socket }) => {
    const { code, body } = await askAgent(socket, '/accept', 'POST');
    say(body.trimEnd());
    if (code !== 200) process.exitCode = EXIT.invalidInput;
  },
};
