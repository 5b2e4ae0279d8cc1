/** `npm run simulate`: a cloud by numbers, what it needs in etcd and of agents by the model, and beside it in a real run. See docs/scale.md. */
import { availableParallelism, release } from 'node:os';
import { changesOf } from './scale/changes.js';
import { Cloud } from './scale/cloud.js';
import { ScaleModel } from './scale/model.js';
import { OptionError, readOptions, type Options } from './scale/options.js';
import { linesOf, observations, predict, shown } from './scale/report.js';
import { runCloud, type Run } from './scale/run.js';

/** Hosts that stand for all where no agent runs. */
const SAMPLE = 200;

function options(): Options {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    process.stderr.write(`simulate: ${error.message}\n`);
    process.exit(64);
  }
}

const asked = options();
const say = (line: string): void => {
  if (!asked.json) process.stdout.write(`${line}\n`);
};
const cloud = new Cloud(asked);
const model = new ScaleModel(cloud);
const hosts = Array.from(
  { length: asked.agents === 0 ? Math.min(SAMPLE, asked.hosts) : asked.agents },
  (_, host) => host,
);
const changes = changesOf(cloud, asked.changes * asked.seconds);
const predicted = predict(model, changes, hosts);

say(
  `${asked.hosts} hosts, ${cloud.portCount} ports, ${cloud.groupCount} groups; ${asked.changes} changes a second for ${asked.seconds} s; seed ${asked.seed}`,
);
let run: Run | undefined;
if (asked.agents > 0) {
  run = await runCloud(cloud, {
    ...{
      members: asked.members,
      hosts,
      changes: changes.length,
      rate: asked.changes,
      seconds: Math.min(30, asked.seconds / 2),
    },
    woken: (change) => {
      const one = changes[change];
      return one === undefined ? new Set() : model.woken(one);
    },
    onStep: (what) => {
      process.stderr.write(`simulate: ${what}\n`);
    },
  });
  say(
    `${asked.members} members of etcd ${run.version}, ${asked.agents} agents, ${availableParallelism()} processors, Linux ${release()}, Node ${process.versions.node}`,
  );
}
const lines = linesOf(predicted, run);
say('\n| | predicted | measured | measured / predicted |\n| --- | --- | --- | --- |');
for (const { what, unit, predicted: one, measured } of Object.values(lines)) {
  const ratio = measured === undefined ? '-' : (measured / one).toFixed(3);
  say(`| ${what} | ${shown(one, unit)} | ${shown(measured, unit)} | ${ratio} |`);
}
const { watches, fanOut } = predicted.cloud;
say(
  `\nwatches of all ${asked.hosts} agents: ${watches}; hosts that a change of a port wakes: ${fanOut.mean.toFixed(1)} (mean), ${fanOut.most} (most)`,
);
if (run !== undefined) for (const line of observations(run)) say(line);
if (asked.json) {
  const stale = run?.looks.reported.agents.reduce((sum, agent) => sum + agent.stale, 0);
  process.stdout.write(`${JSON.stringify({ lines, stale })}\n`);
}
