/** What was predicted, and beside it what was measured. */
import type { Change } from './changes.js';
import { total } from './members.js';
import { LOOK_EVERY, type AgentNeeds, type ChangeNeeds, type CloudNeeds, type ScaleModel } from './model.js';
import { between, type Run } from './run.js';

export interface Predicted {
  readonly cloud: CloudNeeds;
  readonly agents: readonly AgentNeeds[];
  readonly changes: ChangeNeeds;
}

/** One figure; undefined where nothing was measured. */
export interface Line {
  readonly what: string;
  readonly unit: 'number' | 'bytes';
  readonly predicted: number;
  readonly measured: number | undefined;
}

/** @param hosts that have agents; where there is none, the first ten stand for all. */
export function predict(model: ScaleModel, changes: readonly Change[], hosts: readonly number[]): Predicted {
  return {
    cloud: model.cloudNeeds(),
    agents: hosts.map((host) => model.agentNeeds(host)),
    changes: model.changeNeeds(changes, hosts),
  };
}

/** By name, for whoever compares them. */
export function linesOf({ cloud, agents, changes }: Predicted, run: Run | undefined): Readonly<Record<string, Line>> {
  const mean = (values: readonly number[]): number => total(values) / values.length;
  const of = (what: keyof AgentNeeds): number => mean(agents.map((agent) => agent[what]));
  const { started, quiet, changed } = run?.looks ?? {};
  const during = quiet === undefined || changed === undefined ? undefined : between(quiet, changed);
  const still = started === undefined || quiet === undefined ? undefined : between(started, quiet);
  /** Looks of all agents, at nothing new, in as many seconds; without a run as of the first ones. */
  const looks = (seconds: number | undefined): number => ((seconds ?? LOOK_EVERY) / LOOK_EVERY) * agents.length;
  return {
    keys: { what: 'keys in etcd', unit: 'number', predicted: cloud.keys, measured: run?.compacted.keys[0] },
    file: {
      what: 'file of a member',
      unit: 'bytes',
      predicted: cloud.fileBytes,
      measured: run?.compacted.databaseBytes[0],
    },
    watches: {
      what: 'watches of these agents',
      unit: 'number',
      predicted: of('scopes') * agents.length,
      // One is the engine's.
      measured: started === undefined ? undefined : total(started.members.watches) - 1,
    },
    start: {
      what: 'an agent’s start, to it',
      unit: 'bytes',
      predicted: of('startBytes'),
      measured: started === undefined ? undefined : mean(started.agents.map(({ received }) => received)),
    },
    agentMemory: {
      what: 'an agent’s memory',
      unit: 'bytes',
      predicted: of('memory'),
      measured:
        quiet === undefined ? undefined : mean(quiet.agents.map(({ memory }) => memory?.resident ?? Number.NaN)),
    },
    engineMemory: {
      what: 'the engine’s memory',
      unit: 'bytes',
      predicted: cloud.engineMemory,
      measured: quiet?.engine.memory.resident,
    },
    looksReceived: {
      what: 'all looks at nothing new, to agents',
      unit: 'bytes',
      predicted: looks(still?.seconds) * of('lookReceived'),
      measured: still?.agentsReceived,
    },
    looksSent: {
      what: 'the same, from agents',
      unit: 'bytes',
      predicted: looks(still?.seconds) * of('lookSent'),
      measured: still?.agentsSent,
    },
    events: {
      what: 'events of the changes, to agents and engine',
      unit: 'number',
      predicted: changes.agentEvents + changes.engineEvents,
      measured: during?.events,
    },
    agentBytes: {
      what: 'bytes of the changes, to agents, with looks',
      unit: 'bytes',
      predicted: changes.agentBytes + looks(during?.seconds) * of('lookReceived'),
      measured: during?.agentsReceived,
    },
    engineBytes: {
      what: 'bytes of the changes, to the engine',
      unit: 'bytes',
      predicted: changes.engineBytes,
      measured: during?.engineReceived,
    },
  };
}

const MEBIBYTE = 1024 * 1024;

export function shown(value: number | undefined, unit: Line['unit']): string {
  if (value === undefined) return '-';
  if (unit === 'number') return Math.round(value).toString();
  if (value >= MEBIBYTE) return `${(value / MEBIBYTE).toFixed(1)} MiB`;
  return value >= 10_000 ? `${(value / 1024).toFixed(1)} KiB` : `${Math.round(value)} B`;
}

export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** What nobody predicts: it is this machine's. */
export function observations(run: Run): readonly string[] {
  const { started, quiet, changed, reported } = run.looks;
  const [still, during, said] = [between(started, quiet), between(quiet, changed), between(changed, reported)];
  const milliseconds = (sorted: readonly number[]): string =>
    [0.5, 0.99, 1].map((share) => `${quantile(sorted, share).toFixed(1)} ms`).join(', ');
  const perSecond = (value: number, seconds: number): string => (value / seconds).toFixed(1);
  const reports = reported.engine.reports - changed.engine.reports;
  return [
    `fill: ${run.fillSeconds.toFixed(1)} s; file before compaction ${shown(run.filled.databaseBytes[0], 'bytes')}`,
    `all agents have everything ${run.startSeconds.toFixed(1)} s after the first was started`,
    `memory of a member: ${shown(run.compacted.resident[0], 'bytes')} without agents, ${shown(quiet.members.resident[0], 'bytes')} with them`,
    `commit of a change (median, 99 %, most): ${milliseconds(run.commitTimes)}`,
    `from there until an agent whom it concerns has compiled it: ${milliseconds(run.changeLatencies)}`,
    `CPU of all members: ${(100 * (still.cpuSeconds / still.seconds)).toFixed(1)} % while nothing changes, ${(100 * (during.cpuSeconds / during.seconds)).toFixed(1)} % with changes, ${(100 * (said.cpuSeconds / said.seconds)).toFixed(1)} % with reports`,
    `writes a second that etcd agrees on: ${perSecond(still.proposals, still.seconds)} while nothing changes, ${perSecond(during.proposals, during.seconds)} with changes, ${perSecond(said.proposals, said.seconds)} with ${perSecond(reports, said.seconds)} reports a second`,
    `sources that could not follow for a while: ${total(reported.agents.map(({ stale }) => stale))}`,
  ];
}
