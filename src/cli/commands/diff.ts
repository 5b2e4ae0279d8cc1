/** `portcullis diff`: what would loading change in this kernel? */
import type { CommandModule } from 'yargs';
import { compile } from '../../../compiler/index.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import { renderTransaction } from '../render-transaction.js';
import {
  compileOptions,
  datapathOption,
  hostOption,
  portsOfHost,
  readTopology,
  skipInvalidOption,
  topologyOption,
  type DatapathArguments,
} from '../topology-options.js';

interface DiffArguments extends DatapathArguments {
  readonly topology: string;
  readonly host: string;
  readonly 'skip-invalid': boolean;
}

export const diffCommand: CommandModule<object, DiffArguments> = {
  command: 'diff',
  describe: 'print what loading would change in this kernel; exit 2 if anything',
  builder: (yargs) =>
    yargs
      .options({
        ...topologyOption,
        host: { ...hostOption.host, demandOption: true },
        ...datapathOption,
        ...skipInvalidOption,
      })
      .example('$0 diff -t topology.yaml --host compute-1', 'before compile: - goes, + comes, ~ is rewritten'),
  handler: async (args) => {
    const topology = await readTopology(args.topology, args['skip-invalid']);
    const options = compileOptions(args);
    const { ruleset } = compile(topology, portsOfHost(topology, args.host), options);
    const { planLoad } = await import('../../../agent/index.js');
    const transaction = await planLoad(ruleset.tables);
    const paint = { removed: colours.red, added: colours.green, heading: colours.bold };
    for (const line of renderTransaction(transaction, paint)) printLine(line);
    if (transaction.length === 0) say('what is loaded is what the topology says');
    else process.exitCode = EXIT.differs;
  },
};
