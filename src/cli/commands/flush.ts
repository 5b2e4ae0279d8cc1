/** `portcullis flush`: remove everything of ours from the kernel. */
import type { CommandModule } from 'yargs';
import { say } from '../output.js';

export const flushCommand: CommandModule = {
  command: 'flush',
  describe: 'remove our tables from the kernel: every port is OPEN afterwards',
  builder: (yargs) => yargs.example('$0 flush', 'for taking portcullis off a host; to close every port use baseline'),
  handler: async () => {
    const { applyText, deletionOfLoadedTables } = await import('../../../agent/index.js');
    const deletion = await deletionOfLoadedTables();
    if (deletion === '') {
      say('nothing of ours is loaded');
      return;
    }
    await applyText(deletion);
    say('our tables are gone: ports of this host are no longer filtered');
  },
};
