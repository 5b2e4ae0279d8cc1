/** `portcullis stats`: what the loaded rules have counted. */
import { setTimeout } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import type { RuleCounter } from '../../../agent/index.js';
import { CommandError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine } from '../output.js';

interface StatsArguments {
  readonly watch: boolean;
  readonly all: boolean;
  readonly json: boolean;
}

const INTERVAL = 1000;

export const statsCommand: CommandModule<object, StatsArguments> = {
  command: 'stats',
  describe: 'how often each loaded rule matched; needs root',
  builder: (yargs) =>
    yargs
      .options({
        watch: { type: 'boolean', default: false, describe: 'look every second, and show what came since' },
        all: { type: 'boolean', default: false, describe: 'rules that never matched, too' },
        json: { type: 'boolean', default: false, describe: 'the counters as JSON' },
      })
      .example('$0 stats --watch', 'what is dropped just now?'),
  handler: async (args) => {
    if (args.watch && args.json) throw new CommandError(EXIT.usage, '--json: not with --watch');
    const { readCounters } = await import('../../../agent/index.js');
    let before = await readCounters();
    if (args.json) printLine(JSON.stringify(before, null, 2));
    else print(before, args.all);
    while (args.watch) {
      await setTimeout(INTERVAL);
      const now = await readCounters();
      if (process.stdout.isTTY) process.stdout.write('\u001b[2J\u001b[H');
      print(since(before, now), args.all);
      before = now;
    }
  },
};

const key = ({ family, chain, label }: RuleCounter): string => `${family} ${chain} ${label}`;

function since(before: readonly RuleCounter[], now: readonly RuleCounter[]): readonly RuleCounter[] {
  const earlier = new Map(before.map((counter) => [key(counter), counter]));
  return now.map((counter) => {
    const old = earlier.get(key(counter));
    // A chain that was rewritten counts from zero again.
    if (old === undefined || old.packets > counter.packets) return counter;
    return { ...counter, packets: counter.packets - old.packets, bytes: counter.bytes - old.bytes };
  });
}

function print(counters: readonly RuleCounter[], all: boolean): void {
  const shown = counters.filter(({ packets }) => all || packets > 0).sort((a, b) => b.packets - a.packets);
  if (shown.length === 0) printLine('no rule matched');
  for (const { packets, bytes, verdict, chain, label } of shown) {
    const colour = verdict === 'drop' ? colours.red : verdict === 'accept' ? colours.green : colours.dim;
    printLine(
      `${packets.toString().padStart(10)} packets ${bytes.toString().padStart(12)} bytes  ${colour(verdict.padEnd(6))} ${chain}: ${label}`,
    );
  }
}
