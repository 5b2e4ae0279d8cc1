/** `portcullis status`: what the agent of this host is doing. */
import type { CommandModule } from 'yargs';
import type { AgentStatus, IsolatedStatus, PortStatus } from '../../../agent/index.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine } from '../output.js';
import { asShown, shownText } from '../shown-text.js';
import { askAgent, askHealth, socketOption, understood } from '../socket.js';

interface StatusArguments {
  readonly socket: string;
  readonly json: boolean;
  readonly health: boolean;
  readonly ports: boolean;
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: 'status',
  describe:
    'say what the agent of this host is doing; exit 0 when all is well, otherwise a number that says what is not',
  builder: (yargs) =>
    yargs
      .options({
        ...socketOption,
        json: { type: 'boolean', default: false, describe: 'the status as JSON' },
        health: {
          type: 'boolean',
          default: false,
          describe: 'one line, and exit 0 while the kernel holds the rules that the agent wants, in audit mode, too',
        },
        ports: { type: 'boolean', default: false, describe: 'every port, not only a summary and what is abnormal' },
      })
      .example('$0 status --ports', 'all of them')
      .example('$0 status --json', 'for a program'),
  handler: async (args) => {
    if (args.health) {
      const { isWell, line } = await askHealth(args.socket);
      printLine(args.json ? JSON.stringify({ isWell, line }) : shownText(line));
      if (!isWell) process.exitCode = EXIT.differs;
      return;
    }
    const { body } = await askAgent(args.socket, '/status');
    const { lines, exitCode } = understood(args.socket, () => {
      const status = JSON.parse(body, args.json ? undefined : asShown) as AgentStatus;
      const shown = args.json ? [JSON.stringify(status, null, 2)] : render(status, args.ports);
      return { lines: shown, exitCode: exitCodeOf(status) };
    });
    for (const line of lines) printLine(line);
    process.exitCode = exitCode;
  },
};

/** The first of what is wrong; 0 for nothing. */
function exitCodeOf(status: AgentStatus): number {
  if (status.lateSince !== undefined) return EXIT.late;
  if (!status.enforced) return EXIT.differs;
  if (status.source.staleSince !== undefined) return EXIT.stale;
  if (isEveryPortAbsent(status)) return EXIT.absent;
  if (status.notFiltered.length > 0) return EXIT.notFiltered;
  return isolatedHere(status).length > 0 ? EXIT.isolated : EXIT.done;
}

function isolatedHere({ isolated }: AgentStatus): readonly IsolatedStatus[] {
  return isolated.filter(({ isHere }) => isHere);
}

function isEveryPortAbsent({ ports }: AgentStatus): boolean {
  return ports.length > 0 && ports.every(({ isDevicePresent }) => !isDevicePresent);
}

function render(status: AgentStatus, isEveryPortShown: boolean): readonly string[] {
  const { source, lastTransaction: last, drift, flows, watching } = status;
  const revision = source.revision === undefined ? '' : `, revision ${source.revision.toString()} in force`;
  return [
    headline(status),
    ...abnormal(status),
    `host ${status.host}, ${status.backend}, ${status.datapath}, process ${status.pid.toString()} since ${status.startedAt}`,
    source.staleSince === undefined
      ? `source ${source.name}, read at ${source.readAt ?? 'no time yet'}${revision}`
      : colours.red(`source ${source.name}: STALE since ${source.staleSince}, the last good state stays`),
    ...shownOf(source.problems).map((problem) => `  ${problem}`),
    last === undefined
      ? 'no transaction yet'
      : `last transaction ${last.at}: ${last.way}${last.reason === '' ? '' : ` (${last.reason})`}, ${last.milliseconds.toString()} ms, ${last.latencyMilliseconds.toString()} ms after the change`,
    `drift: ${drift.foreign.toString()} foreign changes, ${drift.found.toString()} found${drift.last === undefined ? '' : `, last by ${drift.last}`}`,
    `watching process: ${watching.losses === 0 ? 'never away' : `away ${watching.losses.toString()} times, last: ${watching.lastReason ?? ''}`}`,
    `live flows: ${flows.revoked.toString()} cut, ${flows.restored.toString()} let go on`,
    ...status.overlaps.map((overlap) => colours.red(`overlap: ${overlap}`)),
    ...status.markWriters.map((rule) => colours.red(`writes whole marks, and ours with them: ${rule}`)),
    summaryOf(status.ports),
    ...portTable(isEveryPortShown ? status.ports : shownPorts(status.ports)),
  ];
}

/** What somebody should look at, each by itself. */
function abnormal(status: AgentStatus): readonly string[] {
  const { lateSince, leftover, overtaking, watching, formerDevices, notFiltered } = status;
  return [
    ...(lateSince === undefined ? [] : [colours.red(`LATE: a change waits since ${lateSince}`)]),
    ...(watching.awaySince === undefined
      ? []
      : [
          colours.red(
            `NOBODY HEARS what others change since ${watching.awaySince}: ${watching.lastReason ?? 'starting'}`,
          ),
        ]),
    ...(isEveryPortAbsent(status)
      ? [colours.red('NO DEVICE of any port is there: nothing passes that these rules judge')]
      : []),
    ...(notFiltered.length === 0
      ? []
      : [colours.red(`NOT FILTERED, and look like guests’: ${shownOf(notFiltered).join(', ')}`)]),
    ...shownOf(isolatedHere(status).map(isolatedLine)).map((line) => colours.red(line)),
    ...shownOf(overtaking).map((rule) => colours.red(`BEFORE OURS, packets may end there: ${rule}`)),
    ...(leftover === undefined ? [] : [colours.red(`left over, and tried again: ${leftover}`)]),
    ...(formerDevices.length === 0
      ? []
      : [`closed, since they were a port’s once (portcullis release DEVICE): ${shownOf(formerDevices).join(', ')}`]),
  ];
}

function isolatedLine({ object, consequence, problems: [problem = ''], ports }: IsolatedStatus): string {
  const concerned = ports.length === 0 ? '' : ` (ports here: ${shownOf(ports).join(', ')})`;
  return `ISOLATED: ${object}: ${consequence}${concerned}: ${problem}`;
}

/** More of a kind than this are counted. */
const MOST_SHOWN = 20;

function shownOf(list: readonly string[]): readonly string[] {
  const more = list.length - MOST_SHOWN;
  return more > 0 ? [...list.slice(0, MOST_SHOWN), `... and ${more.toString()} more`] : list;
}

/** All of a few; of many those that are not as they should be. */
function shownPorts(ports: readonly PortStatus[]): readonly PortStatus[] {
  if (ports.length <= MOST_SHOWN) return ports;
  return ports
    .filter(
      ({ state, isDevicePresent }) =>
        state === 'refused' || state === 'closed' || state === 'pending' || !isDevicePresent,
    )
    .slice(0, MOST_SHOWN);
}

function summaryOf(ports: readonly PortStatus[]): string {
  if (ports.length === 0) return 'no port is bound to this host';
  const states = new Map<string, number>();
  for (const { state } of ports) states.set(state, (states.get(state) ?? 0) + 1);
  const absent = ports.filter(({ isDevicePresent }) => !isDevicePresent).length;
  const counts = [...states].sort().map(([state, count]) => `${count.toString()} ${state}`);
  return `${ports.length.toString()} ports: ${[...counts, ...(absent === 0 ? [] : [`${absent.toString()} without a device`])].join(', ')}`;
}

function headline({ audit, enforced, lastError }: AgentStatus): string {
  if (audit) return colours.red('AUDIT: NOTHING IS ENFORCED; what would be dropped is counted and passes');
  if (enforced) return colours.green('enforced');
  return colours.red(`NOT ENFORCED: ${lastError ?? 'not known to be, see below'}`);
}

function portTable(ports: readonly PortStatus[]): readonly string[] {
  const rows = ports.map((port) => [
    port.device,
    port.isDevicePresent ? 'present' : 'absent',
    port.state,
    port.name === '' ? port.id : port.name,
    port.securityGroups.map(({ id, name }) => (name === '' ? id : name)).join(', '),
    port.lastError ?? '',
  ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
