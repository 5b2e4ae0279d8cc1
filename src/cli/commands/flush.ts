/** `portcullis flush`: remove everything of ours from the kernel. */
import type { CommandModule } from 'yargs';
import { besideNoAgent } from '../agent-lock.js';
import { say } from '../output.js';

interface FlushArguments {
  readonly force: boolean;
}

export const flushCommand: CommandModule<object, FlushArguments> = {
  command: 'flush',
  describe: 'remove our rules from the kernel, nftables and iptables: every port is OPEN afterwards',
  builder: (yargs) =>
    yargs
      .options({
        force: {
          type: 'boolean',
          default: false,
          describe: 'also beside a running agent, which loads its rules again',
        },
      })
      .example('$0 flush', 'for taking portcullis off a host; to close every port use baseline'),
  handler: async ({ force }) => {
    const { deletionOfLoaded, KERNEL, unload } = await import('../../../agent/index.js');
    const flush = async (): Promise<boolean> => {
      const deletion = await deletionOfLoaded(KERNEL);
      return (await unload(KERNEL, deletion)) || deletion !== '';
    };
    const instead = 'stop it first (systemctl stop portcullis-agent), or --force';
    const wasLoaded = await (force ? flush() : besideNoAgent(instead, flush));
    say(!wasLoaded ? 'nothing of ours is loaded' : 'our rules are gone: ports of this host are no longer filtered');
  },
};
