/** `portcullis check`: what it takes. What it does is loaded when it is done. */
import type { CommandModule } from 'yargs';
import { topologyOption } from '../topology-options.js';
import type { CheckArguments } from './check.js';

export const checkCommand: CommandModule<object, CheckArguments> = {
  command: 'check [paths..]',
  describe: 'validate a topology: every error with file, path and reason',
  builder: (yargs) =>
    yargs
      .positional('paths', {
        type: 'string',
        array: true,
        describe: 'in place of --topology',
      })
      .options({
        topology: { ...topologyOption.topology, demandOption: false },
        json: { type: 'boolean', default: false, describe: 'problems as a JSON list on standard output' },
      })
      .example('$0 check topology.yaml', 'one document')
      .example('$0 check dump/ --json', 'a folder of documents, for a program'),
  handler: async (args) => (await import('./check.js')).checkOnce(args),
};
