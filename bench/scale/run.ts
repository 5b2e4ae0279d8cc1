/** A cloud in a real etcd, filled and changed through the real store, with real source processes: what it took. */
import { setTimeout } from 'node:timers/promises';
import { Etcd } from '../../test/client/lab/etcd.js';
import { eventually, progressing } from '../../test/support/waiting.js';
import { together } from '../../src/api/store/together.js';
import { hostName, type Cloud } from './cloud.js';
import { askMembers, increase, total, type Members } from './members.js';
import { Asked, type AgentAnswer, type AgentQuestion, type EngineAnswer, type EngineQuestion } from './processes.js';

export interface RunOptions {
  readonly members: number;
  /** By number of the host. */
  readonly hosts: readonly number[];
  readonly changes: number;
  /** A second. */
  readonly rate: number;
  /** Of the quiet phases; in seconds. */
  readonly seconds: number;
  /** The hosts whose agents a change wakes, by its place among the changes. */
  readonly woken: (change: number) => ReadonlySet<number>;
  readonly onStep: (what: string) => void;
}

/** Agents that start at once: a process that starts is all of a processor. */
const STARTING = 3;
/** Between two questions to all; in milliseconds. */
const POLL = 200;

type Engine = Asked<EngineQuestion, EngineAnswer>;
type Agent = Asked<AgentQuestion, AgentAnswer>;

/** What everybody said at the end of a phase. */
export interface Look {
  readonly at: number;
  readonly members: Members;
  readonly engine: EngineAnswer;
  readonly agents: readonly AgentAnswer[];
}

export interface Run {
  readonly version: string;
  readonly fillSeconds: number;
  /** After the fill, after a compaction and a defragmentation. */
  readonly filled: Members;
  readonly compacted: Members;
  /** From the first start of an agent until all have everything. */
  readonly startSeconds: number;
  readonly looks: {
    readonly started: Look;
    /** After a phase without a change. */
    readonly quiet: Look;
    readonly changed: Look;
    /** After a phase in which agents report. */
    readonly reported: Look;
  };
  /** From the acknowledgement of a change until an agent that follows what it touched has told it; milliseconds, sorted. */
  readonly changeLatencies: readonly number[];
  /** Of the changes themselves; milliseconds, sorted. */
  readonly commitTimes: readonly number[];
}

export async function runCloud(cloud: Cloud, options: RunOptions): Promise<Run> {
  // The history of a large cloud's fill is more than the default quota; compaction is ours.
  const more = ['--quota-backend-bytes=8589934592'];
  const etcd = await Etcd.start({ members: options.members, more });
  const ended: { end(): void }[] = [];
  try {
    options.onStep('the store is filled');
    const engine: Engine = new Asked('engine.js', etcd.url(), JSON.stringify(cloud.shape));
    ended.push(engine);
    const { seconds: fillSeconds } = await engine.ask({ kind: 'fill' });
    const filled = await askMembers(etcd.url());
    etcd.compact('--physical');
    etcd.ctl('--command-timeout=60s', 'defrag');
    const compacted = await askMembers(etcd.url());

    options.onStep('agents start');
    const start = performance.now();
    const { revision } = await engine.ask({ kind: 'look' });
    const agents: Agent[] = [];
    await together([...options.hosts.entries()], STARTING, async ([index, host]) => {
      const url = etcd.url(index % options.members);
      const agent: Agent = new Asked('agent.js', url, hostName(host), cloud.shape.ports.toString());
      ended.push(agent);
      agents[index] = agent;
      await eventually(async () => {
        await setTimeout(POLL);
        return (await agent.ask('how far')).revision >= revision;
      });
      options.onStep(`the agent of ${hostName(host)} has everything`);
    });
    const startSeconds = (performance.now() - start) / 1000;
    const look = async (question: AgentQuestion = 'look'): Promise<Look> => ({
      agents: await inOrder(agents, question),
      engine: await engine.ask({ kind: 'look' }),
      members: await askMembers(etcd.url()),
      at: performance.now(),
    });
    /** Waits until each agent has a revision. */
    const reached = async (wanted: (agent: number) => number): Promise<AgentAnswer[][]> => {
      const answers: AgentAnswer[][] = [];
      let said = 0;
      await progressing(
        () => 'every agent to have what concerns it',
        async () => {
          await setTimeout(POLL);
          const now = await Promise.all(agents.map(async (agent) => agent.ask('how far')));
          answers.push(now);
          const have = now.filter(({ revision }, agent) => revision >= wanted(agent)).length;
          if (have > said) options.onStep(`${have} of ${now.length} agents have it`);
          said = Math.max(said, have);
          return have === now.length;
        },
        () => answers.at(-1)?.map(({ revision }) => revision),
      );
      return answers;
    };
    // Watches are there when they were asked for and answered.
    await setTimeout(2000);
    const started = await look();

    options.onStep('nothing changes');
    await setTimeout(1000 * options.seconds);
    const quiet = await look();

    options.onStep('changes');
    const { acknowledged } = await engine.ask({ kind: 'change', count: options.changes, rate: options.rate });
    const told = (await reached(newestOf(acknowledged, options))).flat();
    const changed = await look();

    options.onStep('agents report');
    await engine.ask({ kind: 'follow reports' });
    await look('report');
    await setTimeout(1000 * options.seconds);
    const reported = await look();
    return {
      version: etcd.version(),
      ...{ fillSeconds, filled, compacted, startSeconds },
      looks: { started, quiet, changed, reported },
      changeLatencies: latencies(acknowledged, [...told, ...changed.agents], options),
      commitTimes: acknowledged.map(({ took }) => took).sort((a, b) => a - b),
    };
  } finally {
    for (const one of ended) one.end();
    await etcd.end();
  }
}

type Concerned = Pick<RunOptions, 'hosts' | 'woken'>;

/** The newest revision that concerns an agent. */
function newestOf(acknowledged: EngineAnswer['acknowledged'], { hosts, woken }: Concerned): (agent: number) => number {
  const newest = new Map<number, number>();
  for (const [change, { revision }] of acknowledged.entries())
    for (const host of woken(change)) newest.set(host, revision);
  return (agent) => newest.get(hosts[agent] ?? -1) ?? 0;
}

/** Few at once: each collects its memory. @returns in the order of the agents */
async function inOrder(agents: readonly Agent[], question: AgentQuestion): Promise<readonly AgentAnswer[]> {
  const answers: AgentAnswer[] = [];
  await together([...agents.entries()], STARTING, async ([index, agent]) => {
    answers[index] = await agent.ask(question);
  });
  return answers;
}

/** Of each change and each agent that it wakes: whoever told a later revision told it, too. */
function latencies(
  acknowledged: EngineAnswer['acknowledged'],
  answers: readonly AgentAnswer[],
  { hosts, woken }: Concerned,
): readonly number[] {
  const toldBy = hosts.map((host) => answers.filter((one) => one.host === hostName(host)).flatMap(({ told }) => told));
  return acknowledged
    .flatMap(({ revision, at }, change) => {
      const concerned = woken(change);
      return toldBy.flatMap((told, index) => {
        const one = concerned.has(hosts[index] ?? -1) ? told.find((line) => line.revision >= revision) : undefined;
        // Some know before who made it is told.
        return one === undefined ? [] : [Math.max(0, one.at - at)];
      });
    })
    .sort((a, b) => a - b);
}

/** Over all agents or all members, from one look to the next. */
export function between(
  before: Look,
  after: Look,
): {
  readonly seconds: number;
  readonly events: number;
  readonly proposals: number;
  readonly cpuSeconds: number;
  readonly agentsReceived: number;
  readonly agentsSent: number;
  readonly engineReceived: number;
  readonly engineSent: number;
} {
  const sum = (look: Look, of: 'received' | 'sent'): number => total(look.agents.map((agent) => agent[of]));
  return {
    seconds: (after.at - before.at) / 1000,
    events: increase(before.members, after.members, 'events'),
    proposals: increase(before.members, after.members, 'proposals') / after.members.proposals.length,
    cpuSeconds: increase(before.members, after.members, 'cpuSeconds'),
    agentsReceived: sum(after, 'received') - sum(before, 'received'),
    agentsSent: sum(after, 'sent') - sum(before, 'sent'),
    engineReceived: after.engine.received - before.engine.received,
    engineSent: after.engine.sent - before.engine.sent,
  };
}
