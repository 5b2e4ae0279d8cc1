/** What `portcullis doctor` does: can this host enforce, and what stands in the way? */
import { once } from 'node:events';
import { DEFAULT_OPTIONS, type CompileOptions, type Datapath } from '../../../compiler/index.js';
import { readStatus, type AgentFacts } from '../doctor/agent-state.js';
import { worstOf, type CheckedFinding } from '../doctor/finding.js';
import { jsonOfFindings, renderFindings } from '../doctor/render.js';
import { EXIT } from '../exit-codes.js';
import { colours, printLine, say } from '../output.js';
import { askAgent, AgentSilence } from '../socket.js';
import { refuseEtcdOptions, type EtcdArguments } from '../store-options.js';
import { compileOptions, type DatapathArguments } from '../topology-options.js';
import { version } from '../version.js';

export interface DoctorArguments extends Omit<DatapathArguments, 'datapath'>, EtcdArguments {
  readonly datapath: Datapath | undefined;
  readonly source: string | undefined;
  readonly socket: string;
  readonly json: boolean;
}

/** Of a check; programs have less. */
const DEADLINE_MS = 15_000;

/** Looks at this host, and says what it finds. */
export async function look(args: DoctorArguments): Promise<void> {
  if (args.source?.startsWith('etcd:') !== true) refuseEtcdOptions(args);
  const agent = await askForStatus(args.socket);
  const { listLinks } = await import('../../../agent/index.js');
  const { checksOf } = await import('../doctor/checks.js');
  const { runChecks } = await import('../doctor/run-checks.js');
  const { clockSourceOf, readClock } = await import('../doctor/source-clock.js');
  const options = await optionsOf(args, agent);
  const source = args.source ?? (agent.kind === 'answers' ? agent.status.source.name : undefined);
  const clockSource = source === undefined ? undefined : await clockSourceOf(source, args);
  const patient = {
    options,
    socket: args.socket,
    version: version(),
    agent,
    links: listLinks,
    clock: async () => readClock(clockSource),
  };
  const findings = await runChecks(checksOf(patient), DEADLINE_MS);
  if (args.json) printLine(jsonOfFindings(findings, { version: version(), datapath: options.datapath }));
  else {
    for (const line of renderFindings(findings, colours)) printLine(line);
    say(summaryOf(findings));
  }
  process.exitCode = exitCodeOf(findings);
  await endAnyway();
}

async function askForStatus(socket: string): Promise<AgentFacts> {
  try {
    const { body } = await askAgent(socket, '/status');
    return readStatus(body);
  } catch (error) {
    if (error instanceof AgentSilence) return { kind: 'silent', why: error.why };
    throw error;
  }
}

/** How taps reach this host: as it is said, as the agent has it, or as the taps show; routed where nothing shows it. */
async function optionsOf(args: DoctorArguments, agent: AgentFacts): Promise<CompileOptions> {
  const told = args.datapath ?? (agent.kind === 'answers' ? agent.status.datapath : undefined);
  if (told !== undefined) return compileOptions(args, told);
  const options = compileOptions(args, DEFAULT_OPTIONS.datapath);
  const { detectDatapath, KERNEL } = await import('../../../agent/index.js');
  // Where nft cannot be asked, that is found, and said, by its own check.
  const shown = await detectDatapath(KERNEL, options, 'nftables').catch(() => undefined);
  return { ...options, datapath: shown ?? DEFAULT_OPTIONS.datapath };
}

function summaryOf(findings: readonly CheckedFinding[]): string {
  const counts = (
    [
      ['failed', 'failed'],
      ['warning', 'to be looked at'],
      ['unknown', 'cannot be told'],
    ] as const
  ).map(([result, word]) => [findings.filter((finding) => finding.result === result).length, word] as const);
  const said = counts.filter(([count]) => count > 0).map(([count, word]) => `${count.toString()} ${word}`);
  return said.length === 0 ? 'nothing stands in the way' : said.join(', ');
}

function exitCodeOf(findings: readonly CheckedFinding[]): number {
  switch (worstOf(findings)) {
    case 'ok':
      return EXIT.done;
    case 'failed':
      return EXIT.unfit;
    case 'warning':
    case 'unknown':
      return EXIT.doubtful;
  }
}

/** A check that hangs would keep the process: what it waits for is nobody's concern any more. */
async function endAnyway(): Promise<void> {
  if (process.stdout.writableLength > 0) await once(process.stdout, 'drain');
  process.exit();
}
