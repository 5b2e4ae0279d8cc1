/** The agent of this host, as it says itself: is one there, does it enforce, is it of this version? */
import { z } from 'zod';
import { failed, ok, unknown, warning, type Finding } from './finding.js';

/** What is asked of `portcullis status --json`; an agent of another version may say more. */
const STATUS = z.object({
  version: z.string(),
  pid: z.int(),
  datapath: z.enum(['routed', 'bridge', 'bridge-netfilter']),
  backend: z.enum(['nftables', 'iptables']),
  audit: z.boolean(),
  enforced: z.boolean(),
  lastError: z.string().optional(),
  lateSince: z.string().optional(),
  source: z.object({
    name: z.string(),
    staleSince: z.string().optional(),
    problems: z.array(z.string()).optional(),
  }),
  isolated: z.array(z.object({ object: z.string(), consequence: z.string(), isHere: z.boolean() })).optional(),
  formerDevices: z.array(z.string()),
  ports: z.array(z.object({ id: z.string(), name: z.string(), device: z.string(), isDevicePresent: z.boolean() })),
});
export type ReadStatus = z.infer<typeof STATUS>;

export type AgentFacts =
  | { readonly kind: 'answers'; readonly status: ReadStatus }
  /** Errno of the socket; `late` where one takes the question and says nothing. */
  | { readonly kind: 'silent'; readonly why: string }
  | { readonly kind: 'unreadable' };

export function readStatus(body: string): AgentFacts {
  try {
    return { kind: 'answers', status: STATUS.parse(JSON.parse(body)) };
  } catch {
    return { kind: 'unreadable' };
  }
}

export interface Surroundings {
  readonly socket: string;
  /** Of this program. */
  readonly version: string;
  /** Tables of ours are in the kernel. */
  readonly isLoaded: boolean;
  /** Devices of the managed prefixes that are there. */
  readonly taps: readonly string[];
}

/** What mends it that no agent is at work. */
export const START = 'systemctl enable --now portcullis-agent';
const ASK = 'portcullis status';
const RESTART = 'systemctl restart portcullis-agent';

export function judgeAgent(facts: AgentFacts, { socket, version, isLoaded, taps }: Surroundings): readonly Finding[] {
  switch (facts.kind) {
    case 'unreadable':
      return [unknown(`what answers at ${socket} is no agent that this program knows`, RESTART)];
    case 'silent':
      return [judgeSilence(facts.why, socket, isLoaded, taps)];
    case 'answers':
      return judgeStatus(facts.status, version);
  }
}

function judgeSilence(why: string, socket: string, isLoaded: boolean, taps: readonly string[]): Finding {
  if (why === 'late') return failed(`the agent at ${socket} takes questions and does not answer: it hangs`, RESTART);
  if (why === 'EACCES') return unknown(`${socket} may not be asked: ${why}`, 'run it as root');
  if (isLoaded)
    return warning(`no agent answers at ${socket} (${why}): rules are loaded and stay, changes wait`, START);
  if (taps.length === 0) return ok('none is at work, nothing is loaded, and no device of a managed prefix is there');
  return failed(
    `no agent answers at ${socket} (${why}), and nothing is loaded: ${taps.length.toString()} devices of guests are open`,
    `portcullis baseline, then ${START}`,
  );
}

function judgeStatus(status: ReadStatus, own: string): readonly Finding[] {
  const { version, audit, enforced, lastError, pid } = status;
  const findings: Finding[] = [];
  if (audit)
    findings.push(warning('audit mode: nothing is enforced', 'take --audit out of its options and restart it'));
  else if (!enforced) findings.push(failed(`not enforced: ${lastError ?? 'not known to be'}`, ASK));
  findings.push(...whatIsNotInForce(status));
  if (version !== own) findings.push(warning(`the agent is of version ${version}, this program of ${own}`, RESTART));
  return findings.length > 0 ? findings : [ok(`version ${version}, process ${pid.toString()}, enforced`)];
}

/** An agent that enforces may enforce what was wanted yesterday. */
function whatIsNotInForce({ lateSince, source, isolated = [] }: ReadStatus): readonly Finding[] {
  const { name, staleSince, problems: [problem = 'it cannot be used'] = [] } = source;
  const [first, ...more] = isolated.filter(({ isHere }) => isHere);
  const others = more.length === 0 ? '' : `, and ${more.length.toString()} more`;
  return [
    ...(lateSince === undefined ? [] : [failed(`a change waits since ${lateSince}`, ASK)]),
    ...(staleSince === undefined
      ? []
      : [warning(`${name} is stale since ${staleSince}, the last good state stays: ${problem}`, ASK)]),
    ...(first === undefined ? [] : [warning(`isolated: ${first.object}: ${first.consequence}${others}`, ASK)]),
  ];
}
