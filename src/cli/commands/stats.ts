/** `portcullis stats`: what the loaded rules have counted. */
import { setTimeout } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import type { AuditedFlow, Count, Counters } from '../../../agent/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine } from '../output.js';
import { topologyOption } from '../topology-options.js';
import { socketOption } from '../socket.js';

interface StatsArguments {
  readonly watch: boolean;
  readonly all: boolean;
  readonly json: boolean;
  readonly topology: readonly string[] | undefined;
  readonly host: string | undefined;
  readonly socket: string;
}

/** Between two looks with `--watch`, in seconds. */
const INTERVAL = 1;
const CLEAR_SCREEN = '\u001b[2J\u001b[H';

export const statsCommand: CommandModule<object, StatsArguments> = {
  command: 'stats',
  describe: 'who was dropped, by port and reason, and what each rule let through; needs root',
  builder: (yargs) =>
    yargs
      .options({
        watch: { type: 'boolean', default: false, describe: 'look every second, and show what came since' },
        all: { type: 'boolean', default: false, describe: 'what never matched, and what is summed up, too' },
        json: { type: 'boolean', default: false, describe: 'everything as JSON' },
        topology: {
          ...topologyOption.topology,
          demandOption: false,
          describe: 'name rules and ports by this topology, not by the agent',
        },
        host: { type: 'string', requiresArg: true, describe: 'with --topology: the host whose ports are here' },
        ...socketOption,
      })
      .example('$0 stats --watch', 'what is dropped just now?')
      .example('$0 stats -t topology.yaml --host compute-1', 'whose rules are these, while no agent runs?'),
  handler: async (args) => {
    if (args.watch && args.json) throw new CommandError(EXIT.usage, '--json: not with --watch');
    if (args.host !== undefined && args.topology === undefined) {
      throw new CommandError(EXIT.usage, '--host: only with --topology');
    }
    const { readCounters } = await import('../../../agent/index.js');
    let before = await readCounters();
    await show(before, args);
    while (args.watch) {
      await setTimeout(1000 * INTERVAL);
      const now = await readCounters();
      await show(grownSince(before, now), args, INTERVAL);
      before = now;
    }
  },
};

async function show(counters: Counters, args: StatsArguments, lastSeconds?: number): Promise<void> {
  const { knowledge } = await import('../stats/known.js');
  const { reportOf } = await import('../stats/report.js');
  const { renderStats } = await import('../stats/render.js');
  const { known, since, nameless } = await knowledge(args);
  const report = reportOf(counters, known, since);
  if (args.json) {
    printLine(JSON.stringify(report, null, 2));
    return;
  }
  if (lastSeconds !== undefined && process.stdout.isTTY) process.stdout.write(CLEAR_SCREEN);
  for (const line of renderStats(report, { all: args.all, paint: colours, nameless, lastSeconds })) printLine(line);
}

function grownSince(before: Counters, now: Counters): Counters {
  return {
    rules: grown(
      before.rules,
      now.rules,
      ({ family, chain, digest, label }) => `${family} ${chain} ${digest} ${label}`,
    ),
    drops: grown(before.drops, now.drops, ({ device, direction }) => `${direction} ${device}`),
    audited: {
      drops: grown(before.audited.drops, now.audited.drops, ({ device, direction }) => `${direction} ${device}`),
      flows: grown(before.audited.flows, now.audited.flows, flowKey),
    },
  };
}

function flowKey({ chain, device, source, destination, protocol, port }: AuditedFlow): string {
  return [chain, device, source, destination, protocol, port].join(' ');
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
