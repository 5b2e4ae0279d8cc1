/** `portcullis stats`: what the loaded rules have counted. */
import { setTimeout } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import type { AgentStatus, Counters } from '../../../agent/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine } from '../output.js';
import { askAgent, socketOption } from '../socket.js';

interface StatsArguments {
  readonly watch: boolean;
  readonly all: boolean;
  readonly json: boolean;
  readonly socket: string;
}

/** Names of ports by device. */
type PortNames = ReadonlyMap<string, string>;

interface Count {
  readonly packets: number;
  readonly bytes: number;
}

const INTERVAL = 1000;
const CLEAR_SCREEN = '\u001b[2J\u001b[H';

export const statsCommand: CommandModule<object, StatsArguments> = {
  command: 'stats',
  describe: 'how often each loaded rule matched, and what was dropped for each port; needs root',
  builder: (yargs) =>
    yargs
      .options({
        watch: { type: 'boolean', default: false, describe: 'look every second, and show what came since' },
        all: { type: 'boolean', default: false, describe: 'rules that never matched, too' },
        json: { type: 'boolean', default: false, describe: 'the counters as JSON' },
        ...socketOption,
      })
      .example('$0 stats --watch', 'what is dropped just now?'),
  handler: async (args) => {
    if (args.watch && args.json) throw new CommandError(EXIT.usage, '--json: not with --watch');
    const { readCounters } = await import('../../../agent/index.js');
    let before = await readCounters();
    if (args.json) printLine(JSON.stringify(before, null, 2));
    else print(before, await portNames(args.socket), args.all);
    while (args.watch) {
      await setTimeout(INTERVAL);
      const now = await readCounters();
      const names = await portNames(args.socket);
      if (process.stdout.isTTY) process.stdout.write(CLEAR_SCREEN);
      print(since(before, now), names, args.all);
      before = now;
    }
  },
};

/** The agent knows them; without one, devices are all that is shown. */
async function portNames(socket: string): Promise<PortNames> {
  try {
    const { body } = await askAgent(socket, '/status');
    const { ports } = JSON.parse(body) as AgentStatus;
    return new Map(ports.map(({ device, name, id }) => [device, name === '' ? id : name]));
  } catch {
    return new Map();
  }
}

function since(before: Counters, now: Counters): Counters {
  return {
    rules: grown(before.rules, now.rules, ({ family, chain, label }) => `${family} ${chain} ${label}`),
    drops: grown(before.drops, now.drops, ({ device, direction }) => `${direction} ${device}`),
  };
}

function grown<T extends Count>(before: readonly T[], now: readonly T[], key: (item: T) => string): readonly T[] {
  const earlier = new Map(before.map((item) => [key(item), item]));
  return now.map((item) => {
    const old = earlier.get(key(item));
    // A chain that was rewritten counts from zero again.
    if (old === undefined || old.packets > item.packets) return item;
    return { ...item, packets: item.packets - old.packets, bytes: item.bytes - old.bytes };
  });
}

function print({ rules, drops }: Counters, names: PortNames, all: boolean): void {
  const shown = [...rules].filter(({ packets }) => all || packets > 0).sort(byPackets);
  if (shown.length === 0) printLine('no rule matched');
  for (const { packets, bytes, verdict, chain, label } of shown) {
    const colour = verdict === 'drop' ? colours.red : verdict === 'accept' ? colours.green : colours.dim;
    printLine(`${count({ packets, bytes })}  ${colour(verdict.padEnd(6))} ${chain}: ${label}`);
  }
  const lost = [...drops].filter(({ packets }) => packets > 0).sort(byPackets);
  if (lost.length > 0) printLine(colours.bold('not let through, by port:'));
  for (const { packets, bytes, device, direction } of lost) {
    const name = names.get(device);
    printLine(
      `${count({ packets, bytes })}  ${direction.padEnd(7)} ${device}${name === undefined ? '' : ` (${name})`}`,
    );
  }
}

const byPackets = (a: Count, b: Count): number => b.packets - a.packets;

function count({ packets, bytes }: Count): string {
  return `${packets.toString().padStart(10)} packets ${bytes.toString().padStart(12)} bytes`;
}
