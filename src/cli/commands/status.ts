/** `portcullis status`: what the agent of this host is doing. */
import type { CommandModule } from 'yargs';
import type { AgentStatus, PortStatus } from '../../../agent/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine } from '../output.js';
import { askAgent, askHealth, socketOption } from '../socket.js';

interface StatusArguments {
  readonly socket: string;
  readonly json: boolean;
  readonly health: boolean;
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: 'status',
  describe: 'say what the agent of this host is doing; exit 2 unless the policy is enforced',
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
      })
      .example('$0 status --json', 'for a program'),
  handler: async (args) => {
    if (args.health) {
      if (args.json) throw new CommandError(EXIT.usage, '--json: not with --health');
      const { isWell, line } = await askHealth(args.socket);
      printLine(line);
      if (!isWell) process.exitCode = EXIT.differs;
      return;
    }
    const { body } = await askAgent(args.socket, '/status');
    const status = JSON.parse(body) as AgentStatus;
    if (args.json) printLine(JSON.stringify(status, null, 2));
    else for (const line of render(status)) printLine(line);
    if (!status.enforced) process.exitCode = EXIT.differs;
  },
};

function render(status: AgentStatus): readonly string[] {
  const { source, lastTransaction: last, drift, flows } = status;
  return [
    headline(status),
    `host ${status.host}, ${status.backend}, ${status.datapath}, process ${status.pid.toString()} since ${status.startedAt}`,
    source.staleSince === undefined
      ? `source ${source.name}, read at ${source.readAt ?? 'no time yet'}`
      : colours.red(`source ${source.name}: STALE since ${source.staleSince}, the last good state stays`),
    ...source.problems.map((problem) => `  ${problem}`),
    last === undefined
      ? 'no transaction yet'
      : `last transaction ${last.at}: ${last.way}${last.reason === '' ? '' : ` (${last.reason})`}, ${last.milliseconds.toString()} ms, ${last.latencyMilliseconds.toString()} ms after the change`,
    `drift: ${drift.foreign.toString()} foreign changes, ${drift.found.toString()} found${drift.last === undefined ? '' : `, last by ${drift.last}`}`,
    `live flows: ${flows.revoked.toString()} cut, ${flows.restored.toString()} let go on`,
    ...portTable(status.ports),
  ];
}

function headline({ audit, enforced, lastError }: AgentStatus): string {
  if (audit) return colours.red('AUDIT: NOTHING IS ENFORCED; what would be dropped is counted and passes');
  if (enforced) return colours.green('enforced');
  return colours.red(`NOT ENFORCED: ${lastError ?? 'starting'}`);
}

function portTable(ports: readonly PortStatus[]): readonly string[] {
  if (ports.length === 0) return ['no port is bound to this host'];
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
