/** What `portcullis check` does: is a topology valid? */
import { overlapsByHost, overlapText } from '../../../compiler/index.js';
import { formatProblem } from '../../../compiler/model/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { printLine, say, sayProblems } from '../output.js';
import { parsedTopology } from '../topology-options.js';

export interface CheckArguments {
  readonly topology: readonly string[] | undefined;
  readonly paths: readonly string[] | undefined;
  readonly json: boolean;
}

/** Says what is wrong with a topology. */
export async function checkOnce(args: CheckArguments): Promise<void> {
  const paths = [...(args.topology ?? []), ...(args.paths ?? [])];
  if (paths.length === 0) throw new CommandError(EXIT.usage, 'check needs --topology (-t), or paths');
  const { topology, problems } = await parsedTopology(paths);
  const failures = problems.filter((problem) => problem.severity !== 'notice').length;
  if (args.json)
    printLine(
      JSON.stringify(
        problems.map((problem) => ({ ...problem, text: formatProblem(problem) })),
        null,
        2,
      ),
    );
  else {
    sayProblems(problems);
    for (const [host, overlaps] of overlapsByHost(topology.ports.values())) {
      for (const overlap of overlaps)
        say(`notice: ${host === '' ? 'no host' : host}, where it routes: ${overlapText(overlap)}`);
    }
  }
  const valid = [...topology.ports.values()].filter(({ filtering }) => filtering !== 'closed');
  say(
    `${valid.length.toString()} ports, ${topology.securityGroups.size.toString()} security groups, ` +
      `${topology.addressGroups.size.toString()} address groups: ` +
      (failures === 0 ? 'valid' : `${failures.toString()} problem(s)`),
  );
  if (failures > 0) process.exitCode = EXIT.invalidInput;
}
