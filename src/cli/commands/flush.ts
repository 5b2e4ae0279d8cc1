/** `portcullis flush`: remove everything of ours from the kernel. */
import type { CommandModule } from 'yargs';
import { say } from '../output.js';

export const flushCommand: CommandModule = {
  command: 'flush',
  describe: 'remove our rules from the kernel, nftables and iptables: every port is OPEN afterwards',
  builder: (yargs) => yargs.example('$0 flush', 'for taking portcullis off a host; to close every port use baseline'),
  handler: async () => {
    const { applyText, deletionOfLoadedTables, removeIptables } = await import('../../../agent/index.js');
    const deletion = await deletionOfLoadedTables();
    if (deletion !== '') await applyText(deletion);
    const wasInIptables = await removeIptables();
    say(
      deletion === '' && !wasInIptables
        ? 'nothing of ours is loaded'
        : 'our rules are gone: ports of this host are no longer filtered',
    );
  },
};
