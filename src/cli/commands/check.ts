/** `portcullis check`: is a topology valid? */
import type { CommandModule } from 'yargs';
import { overlapsByHost, overlapText } from '../../../compiler/index.js';
import { formatProblem } from '../../model/index.js';
import { EXIT } from '../exit-codes.js';
import { printLine, say, sayProblems } from '../output.js';
import { topologyOption } from '../topology-options.js';

interface CheckArguments {
  readonly topology: string;
  readonly json: boolean;
}

export const checkCommand: CommandModule<object, CheckArguments> = {
  command: 'check',
  describe: 'validate a topology: every error with file, path and reason',
  builder: (yargs) =>
    yargs
      .options({
        ...topologyOption,
        json: { type: 'boolean', default: false, describe: 'problems as a JSON list on standard output' },
      })
      .example('$0 check -t topology.yaml', 'one document')
      .example('$0 check -t dump/ --json', 'a folder of documents, for a program'),
  handler: async (args) => {
    const { loadTopology } = await import('../../sources/file/index.js');
    const { topology, problems } = await loadTopology(args.topology);
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
  },
};
