/** `portcullis diff`: what it takes. What it does is loaded when it is done. */
import type { CommandModule } from 'yargs';
import { backendOption, datapathOption, hostOption, skipInvalidOption, topologyOption } from '../topology-options.js';
import type { DiffArguments } from './diff.js';

export const diffCommand: CommandModule<object, DiffArguments> = {
  command: 'diff',
  describe: 'print what loading would change in this kernel; exit 2 if anything',
  builder: (yargs) =>
    yargs
      .options({
        ...topologyOption,
        host: { ...hostOption.host, demandOption: true },
        ...backendOption,
        ...datapathOption,
        ...skipInvalidOption,
        raw: { type: 'boolean', default: false, describe: 'what changes in the kernel: sets, chains and rules' },
        json: { type: 'boolean', default: false, describe: 'both as JSON' },
      })
      .example('$0 diff -t topology.yaml --host compute-1', 'before compile: - goes, + comes, ~ is rewritten')
      .example('$0 diff -t topology.yaml --host compute-1 --raw', 'the same, in the kernel’s words'),
  handler: async (args) => (await import('./diff.js')).diffOnce(args),
};
