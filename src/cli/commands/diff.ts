/** What `portcullis diff` does: what would loading change in this kernel? */
import { compile } from '../../../compiler/index.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import { renderDifference } from '../render-difference.js';
import {
  checkBackend,
  compileOptions,
  portsOfHost,
  readTopology,
  sayCompiling,
  wantedBy,
  type BackendArguments,
  type DatapathArguments,
} from '../topology-options.js';

export interface DiffArguments extends BackendArguments, DatapathArguments {
  readonly topology: readonly string[];
  readonly host: string;
  readonly 'skip-invalid': boolean;
}

/** Prints what loading would change. */
export async function diffOnce(args: DiffArguments): Promise<void> {
  checkBackend(args);
  const topology = await readTopology(args.topology, args['skip-invalid']);
  const options = compileOptions(args, args.datapath);
  const { isNoDifference, planLoad, readLoadedDevices, withFormerDevices } = await import('../../../agent/index.js');
  const loaded = await readLoadedDevices(args.backend);
  const local = withFormerDevices(topology, portsOfHost(topology, args.host), loaded, options);
  sayCompiling(topology);
  const compiled = compile(local.topology, local.isLocal, options);
  const difference = await planLoad(wantedBy(args.backend, compiled, options));
  for (const line of renderDifference(difference, colours)) printLine(line);
  if (isNoDifference(difference)) say('what is loaded is what the topology says');
  else process.exitCode = EXIT.differs;
}
