/** `portcullis wait`: returns when every live host has a revision in force, or names those that have not. */
import { setTimeout } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { apiUrlOptions, type ApiUrlArguments } from '../api-url-options.js';
import { printLine, say } from '../output.js';
import { shownText } from '../shown-text.js';

interface Arguments extends ApiUrlArguments {
  readonly revision: number | undefined;
  readonly latest: boolean;
  readonly timeout: number;
  readonly json: boolean;
}

const LOOK_EVERY_MS = 200;

export const waitCommand: CommandModule<object, Arguments> = {
  command: 'wait',
  describe: 'return when every live host has a revision in force; else name those that have not, and exit 2',
  builder: (yargs) =>
    yargs
      .options({
        ...apiUrlOptions,
        revision: {
          type: 'number',
          requiresArg: true,
          describe: 'as an answer of the API had it in X-Portcullis-Revision',
        },
        latest: { type: 'boolean', default: false, describe: 'the newest one, as this begins' },
        timeout: { type: 'number', default: 30, requiresArg: true, describe: 'seconds to wait at most' },
        json: { type: 'boolean', default: false, describe: 'what came of it, as JSON' },
      })
      .example('$0 wait --latest', 'is what I changed in force everywhere?'),
  handler: async (args) => {
    const { revision, latest, timeout } = args;
    if ((revision === undefined) !== latest) {
      throw new CommandError(EXIT.usage, '--revision and --latest: valid is one of them');
    }
    if (revision !== undefined && !(Number.isSafeInteger(revision) && revision >= 0)) {
      throw new CommandError(EXIT.usage, `--revision: ${revision.toString()} is no revision`);
    }
    if (!(timeout >= 0 && timeout <= 86_400)) {
      throw new CommandError(EXIT.usage, `--timeout: ${timeout.toString()} is not a number of seconds (0-86400)`);
    }
    const { hostsOf, missingFrom } = await import('../hosts-of-api.js');
    const end = performance.now() + 1000 * timeout;
    let answer = await hostsOf(args);
    const wanted = revision ?? answer.revision;
    if (wanted > answer.revision) {
      throw new CommandError(
        EXIT.invalidInput,
        `--revision: ${wanted.toString()} was not made yet: the newest is ${answer.revision.toString()}`,
      );
    }
    let missing = missingFrom(answer, wanted);
    while (missing.length > 0 && performance.now() < end) {
      await setTimeout(LOOK_EVERY_MS);
      answer = await hostsOf(args);
      missing = missingFrom(answer, wanted);
    }
    const silent = answer.hosts.filter(({ alive }) => !alive).map(({ host }) => host);
    const count = answer.hosts.length - silent.length;
    if (args.json) {
      const inForce = missing.length === 0;
      printLine(JSON.stringify({ revision: wanted, inForce, hosts: count, missing, silent }, null, 2));
      if (!inForce) process.exitCode = EXIT.differs;
      return;
    }
    if (missing.length > 0) {
      for (const line of missing) say(shownText(line));
      throw new CommandError(EXIT.differs, `revision ${wanted.toString()} is not in force everywhere`);
    }
    if (silent.length > 0) say(`not asked, since they are silent: ${shownText(silent.join(', '))}`);
    say(`revision ${wanted.toString()} is in force on ${count.toString()} host${count === 1 ? '' : 's'}`);
  },
};
