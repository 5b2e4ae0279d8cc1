/** `portcullis hosts`: which revision each host's kernel holds, and what is wrong there. */
import { setTimeout } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import { EXIT } from '../exit-codes.js';
import { enrolCommand } from './enrol.js';
import { apiUrlOptions, type ApiUrlArguments } from '../api-url-options.js';
import type { HostLine } from '../hosts-of-api.js';
import { colours, printLine, say } from '../output.js';
import { shownText } from '../shown-text.js';

const LOOK_EVERY_MS = 250;
const LOOKS = 12;

interface Arguments extends ApiUrlArguments {
  readonly json: boolean;
}

export const hostsCommand: CommandModule<object, Arguments> = {
  command: 'hosts',
  describe: 'which revision each host has in force; exit 2 when one is behind, silent or in trouble',
  builder: (yargs) =>
    yargs
      .command(enrolCommand)
      .options({ ...apiUrlOptions, json: { type: 'boolean', default: false, describe: 'what the API says, as JSON' } })
      .example('$0 hosts --api https://api:9696 --token-file /etc/portcullis/agent-token', 'is every host well?'),
  handler: async (args) => {
    const { hostsOf, whyNotThere } = await import('../hosts-of-api.js');
    let answer = await hostsOf(args);
    // A host that a change does not concern says only when it is asked that it has it.
    for (let looks = 0; looks < LOOKS && answer.hosts.some(isBehind); looks++) {
      await setTimeout(LOOK_EVERY_MS);
      answer = await hostsOf(args);
    }
    const { revision, hosts } = answer;
    if (args.json) printLine(JSON.stringify(answer, null, 2));
    else {
      for (const host of hosts) printLine(lineOf(host, host.alive ? whyNotThere(host, revision) : silence(host)));
      say(`newest revision: ${revision.toString()}; ${hosts.length.toString()} hosts`);
    }
    if (hosts.some((host) => !host.alive || whyNotThere(host, revision) !== undefined)) process.exitCode = EXIT.differs;
  },
};

function isBehind({ alive, behind_seconds: seconds }: HostLine): boolean {
  return alive && seconds !== null;
}

function silence({ heard_seconds_ago: seconds }: HostLine): string {
  return `nothing was heard for ${seconds.toString()} s`;
}

/** @param why it is not as it should be; undefined when it is. */
function lineOf(host: HostLine, why: string | undefined): string {
  const state = why === undefined ? colours.green('in force') : colours.red(host.alive ? 'behind' : 'silent');
  const revision = host.revision === null ? '-' : host.revision.toString();
  const parts = [
    `${shownText(host.host)}  ${state}  revision ${revision}  ${host.ports.toString()} ports`,
    ...(why === undefined ? [] : [shownText(why)]),
    ...(host.behind_seconds === null || host.behind_seconds === 0
      ? []
      : [`behind for ${host.behind_seconds.toString()} s`]),
    ...host.refused.slice(1).map(({ port }) => `port ${shownText(port)} is refused, too`),
    ...(host.isolated === 0 ? [] : [`${host.isolated.toString()} bad objects`]),
    ...(host.drift === 0 ? [] : [`${host.drift.toString()} changes by others`]),
  ];
  return parts.join('; ');
}
