/** `portcullis diff`: what would loading change in this kernel? */
import type { CommandModule } from 'yargs';
import { compile } from '../../../compiler/index.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import { renderDifference } from '../render-difference.js';
import {
  backendOption,
  checkBackend,
  compileOptions,
  datapathOption,
  hostOption,
  portsOfHost,
  readTopology,
  skipInvalidOption,
  topologyOption,
  wantedBy,
  type BackendArguments,
  type DatapathArguments,
} from '../topology-options.js';

interface DiffArguments extends BackendArguments, DatapathArguments {
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
        ...backendOption,
        ...datapathOption,
        ...skipInvalidOption,
      })
      .example('$0 diff -t topology.yaml --host compute-1', 'before compile: - goes, + comes, ~ is rewritten'),
  handler: async (args) => {
    checkBackend(args);
    const topology = await readTopology(args.topology, args['skip-invalid']);
    const options = compileOptions(args, args.datapath);
    const { isNoDifference, planLoad, readLoadedDevices, withFormerDevices } = await import('../../../agent/index.js');
    const loaded = await readLoadedDevices(args.backend);
    const local = withFormerDevices(topology, portsOfHost(topology, args.host), loaded, options);
    const compiled = compile(local.topology, local.isLocal, options);
    const difference = await planLoad(wantedBy(args.backend, compiled, options));
    for (const line of renderDifference(difference, colours)) printLine(line);
    if (isNoDifference(difference)) say('what is loaded is what the topology says');
    else process.exitCode = EXIT.differs;
  },
};
